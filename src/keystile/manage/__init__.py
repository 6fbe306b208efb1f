"""Keys by HTTP and by hand: the management API, and pages for people.

Knows the gate and what is below it, and nothing of what stands beside it. `requests` holds the plain values that both
doors read and send, `asgi` and `wsgi` are the doors of the management app.
"""
