"""Redis and Valkey, for the key store and for the limiter alike: where servers are, connections, and a Cluster's map.

Nothing is ever sent twice, but for what the servers themselves say that they did not do: the script is not known, or
the key is on another node.
"""
