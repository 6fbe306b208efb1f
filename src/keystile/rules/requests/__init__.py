"""What a request says: its credential, its path, its body; and which rules hold for it.

Knows the words and `_ground`, and the notation of limits. Each module reads one thing in time linear to its length, and
can be changed alone. What strangers send arrives here first: what is ambiguous is refused, and what cannot be read
never permits anything.
"""
