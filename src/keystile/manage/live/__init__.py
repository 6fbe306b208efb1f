"""What the gate refuses, told as it happens to the one whose keys they are: the stream ``GET …/events``.

Everything here is bounded, and per process: a stream shows what the process that serves it has decided.
"""
