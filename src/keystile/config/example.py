"""The commented file of `keystile init`: every setting that has an example, with its description."""

from __future__ import annotations

from textwrap import wrap

from ..policy.reading import Setting
from .tables import SETTINGS

EXAMPLE_STORE = "keystile.db"

_HEAD = """\
# keystile: who may call this service. `keystile check` says whether this file can be used.
# Keep it to yourself: it may hold a secret. ${NAME} in a string is taken from the environment.
# For editors: `keystile schema > keystile.schema.json`, and as the first line "#:schema ./keystile.schema.json".
"""
_WIDTH = 118


def example(pepper: str | None) -> str:
    """A file to start with.

    Args:
        pepper: the secret to write into it; without one, the line is a comment that shows how to name one.
    """
    # Tables come last: a setting after a table's heading would belong to that table.
    shown = sorted(
        (each for each in SETTINGS.values() if each.example is not None), key=lambda each: each.kind.is_table
    )
    made = {} if pepper is None else {"peppers": f'["{pepper}"]'}
    return "\n".join([_HEAD, *(_part(each, made.get(each.name)) for each in shown)])


def _part(each: Setting, value: str | None) -> str:
    """A setting: its meaning in a comment, then a line with this value or, without one, the example."""
    lines = [f"# {line}" for line in wrap(each.meaning.replace("`", ""), _WIDTH, break_on_hyphens=False)]
    text = str(each.example) if each.kind.is_table else f"{each.name} = {value or each.example}"
    in_force = each.begins or value is not None
    lines += [line if in_force or not line else f"# {line}" for line in text.splitlines()]
    return "\n".join(lines) + "\n"
