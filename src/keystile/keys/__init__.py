"""The life of a key: its format, its hash, the proofs that are remembered, and the ring that creates and revokes.

Knows the stores, the limiters' contract, the rules and the words, and nothing of requests. A hasher or a key format can
be changed or added here alone, but keys and hashes that exist must still be read: `format` and `hashing` say what is
fixed. `quick` proves after a restart what a hash would prove slowly. `opaque` and `foreign` read keys and hashes from
before keystile, `importing` brings them in, and `leaks` says how keys are found in texts. What a record holds is in
`model`, how it is kept in `stores`.
"""
