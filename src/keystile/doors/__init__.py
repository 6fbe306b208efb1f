"""The insides of both doors: one package for ASGI, one for WSGI, and the check that an app fits its door.

The doors know the answers, the rules and the words. Neither package imports the other, and nothing below knows that
there are doors. How one kind of server is read or answered can be changed in its package alone, as long as both doors
still pass the suite that runs over both (`tests/test_doors.py`). The middleware classes are in `keystile.asgi` and
`keystile.wsgi`.
"""
