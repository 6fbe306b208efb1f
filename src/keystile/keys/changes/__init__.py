"""What every change of a record goes through, whatever is changed.

Its members are checked (`fields`), a key is made (`making`) or gets a new secret (`rotation`), counts against a cap
(`caps`), and is written under a condition (`records`) together with what is told of it (`audit`). Each operation has a
name that blocks and one that is awaited (`twins`). What a service does with keys, projects and organizations is written
with these, in the modules above.
"""
