"""The gate: THE order of checks, written once, and the steps that need more than a rule.

Knows the keys, the stores, the limiters, the rules and the words. It returns an outcome; the answers decide what that
looks like. It does not know which door runs it. How the failure budget waits (`budget`), what a caller is refused for
(`callers`), how a client is found (`transport`), what a dry run lets through (`dryrun`) and how charges are settled
(`settling`) can each be changed in their module. The order itself is in `order` and nowhere else; `gate` puts the parts
together.
"""

from .gate import Gate

__all__ = ["Gate"]
