"""The ground: values that nobody can change, checks of arguments, and connections to SQLite and Redis.

Knows nothing of keystile but its exceptions, and everybody may use it. A check's words can be changed here alone.
`connection` and `sqlite` carry both the key store and the limiter, so their rules (forks, replaced files, who waits for
whom) hold for both. So does `redis`.
"""
