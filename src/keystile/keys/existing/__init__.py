"""Keys that keystile did not make: brought in by a service, as raw keys or as the hashes that another program kept, and
found again where they do not belong. What proves them is in `opaque` and `foreign`.
"""
