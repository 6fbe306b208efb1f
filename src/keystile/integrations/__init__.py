"""What keystile offers the hosts of one framework, a module for each.

The gate's door decides; a module here hands over what it decided, and decides nothing itself. Each imports its
framework, and none is imported by anybody else here.
"""
