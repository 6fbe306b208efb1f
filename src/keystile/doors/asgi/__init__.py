"""The inside of the ASGI door: what a server hands over, envelopes and JSON bodies, and the check after the app.

Knows the answers, the rules and the words, and nothing of WSGI. The `send` and `receive` of these modules can be
changed here alone; what must hold on both doors is tested by the suite that runs over both.
"""
