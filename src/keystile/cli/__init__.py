"""The `keystile` command: set up a file, check it, manage the keys of its store and show what they have used.

Stands on top: it knows the configuration, the gate's key ring and limiter, `wrap` and `demo`, and nothing imports it
but `__main__`. The texts, the tables (`shown`) and the parsing of what people type (`typed`) can be changed here alone.
Options and JSON members are a public interface: scripts depend on them.
"""

from .commands import main

__all__ = ["main"]
