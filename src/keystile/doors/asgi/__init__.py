"""The inside of the ASGI door: reading a request, sending an answer, envelopes, JSON bodies, and judging again.

Knows the answers, the gate, the rules and the words, and nothing of WSGI. Oddities of what servers hand over are in
`wire`. Each module can be changed here alone; the suite that runs over both doors tests what must hold on both.
"""
