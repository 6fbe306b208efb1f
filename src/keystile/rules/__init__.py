"""Plain functions on plain values: about a request (`requests`), who sends it (`network`), and windows (`limits`).

Knows the words (`model`, `policy`), the exceptions and `_ground`, nothing else. There is no I/O, no clock and no
randomness: moments and tokens are arguments. So a rule can be changed here alone and tested without a gate. `outcomes`
is the table of refusals: a code that is added there also needs a line in docs/reference/errors.md.
"""
