"""The inside of the WSGI door: reading a request, sending an answer, envelopes, JSON bodies, and judging again.

Knows the answers, the gate, the rules and the words, and nothing of ASGI. The types of PEP 3333 are in `protocol`. Each
module can be changed here alone; the suite that runs over both doors tests what must hold on both.
"""
