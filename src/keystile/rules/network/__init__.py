"""Who is calling: how an address is read, which client stands behind proxies, and whether a server replaced the peer.

Knows the exceptions and `_ground`, nothing else. Each module reads one thing in time linear to its length, and can be
changed alone. What cannot be read makes the client unknown, and no address list admits an unknown client.
"""
