"""Receiving: messages are verified before the app runs, and the app gets the same octets.

Which requests concern a receiver (`paths`), what a message goes through (`order`) and where ids are kept (`ids`,
`memory`, `sqlite`) know no door. `asgi` and `wsgi` do what only their door can: read a body, hand it on, and watch the
answer.
"""
