"""The inside of the ASGI door: reading a request, sending an answer, envelopes, JSON bodies, and judging again.

Knows the answers, the gate, the rules and the words, and nothing of WSGI. What a server hands over oddly is in `wire`.
Each module can be changed here alone; what must hold on both doors is tested by the suite that runs over both.
"""
