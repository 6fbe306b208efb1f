"""Keys in places that need more than a header's grammar: which one is meant, whether it may stand there, and what an
app must not see of it.

Knows the words and `requests`. Nothing here is on the path of a request whose gate accepts plain headers alone.
"""
