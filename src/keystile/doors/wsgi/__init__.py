"""The inside of the WSGI door: what a host says of itself, envelopes and JSON bodies, and the check after the app.

Knows the answers, the rules and the words, and nothing of ASGI. The iterables and `start_response` of these modules can
be changed here alone; what must hold on both doors is tested by the suite that runs over both.
"""
