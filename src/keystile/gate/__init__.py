"""The gate: THE order of checks, written once, and the steps that need more than a rule.

Knows the keys, the stores, the limiters, the rules and the words. It returns an outcome and leaves it to the answers
what that looks like, but for the ids of requests and the shape of an answer, which it fetches from there. It does not
know which door runs it. How the failure budget waits (`budget`), what speaks against a caller (`callers`) and how a
client is found (`transport`) can each be changed in their module; the order itself is in `gate` and nowhere else.
"""

from .gate import Gate

__all__ = ["Gate"]
