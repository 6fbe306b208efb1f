"""The `keystile` command: set up a file, check it, manage what its store keeps, and show what keys have used.

Stands on top: it knows the configuration, the operations of the gate, its limiter, `wrap` and `demo`, and nothing
imports it but `__main__`. `records` has the commands about what a store keeps, `tables` and `shown` what people and
machines read, `typed` the parsing of what people type, `reference` the page docs/reference/cli.md. Options and JSON
members are a public interface: scripts depend on them.
"""

from .commands import main

__all__ = ["main"]
