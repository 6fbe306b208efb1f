"""How often each key was used, with which outcome: counted in this process, written every ten seconds, and read.

`counting` is what a request's path knows of it, and what writes the counts. `reading` gives them to the service.
"""
