"""The page docs/reference/settings.md: every setting with its description.

``python -m keystile.config.reference`` prints it.
"""

from __future__ import annotations

from textwrap import wrap
from typing import Any

from .._ground.frozen import FrozenDict
from ..keys.parts import Parts
from ..policy import PageStyle, Plan, Policy, Rule
from ..policy.reading import Setting
from ..policy.settings import REQUIRED, settings_of
from ..policy.webhooks import Receiver, Webhooks
from .mounts import Mount
from .tables import SETTINGS, FileAlone, expected

_HEAD = """\
# Settings

Every setting by name, with its meaning, the values that it takes and its default. This page is made from the code
(`make docs`), and a test compares the two.

In code, the settings of a gate are the arguments of `Gate`. In `keystile.toml` they have the same names: `keystile
init` writes a file to start with, `keystile check` says whether a file can be used, and `keystile schema` prints a JSON
Schema for editors. TOML has no null: what is None in code is left out there, or is `false` where the default is
something else.
"""
_PARTS = (
    (Parts, "The parts of a gate", "Arguments of `Gate`: URLs and names, or, in code, objects of your own."),
    (Policy, "What a gate does", "Arguments of `Gate`."),
    (Rule, "Rules", "In code `Rule(…)`, in a file `[[rules]]`."),
    (Plan, "Plans", "In code `Plan(…)`, in a file `[plans.NAME]`."),
    (PageStyle, "Page styles", "In code `PageStyle(…)`, in a file `[page_style]`."),
    (Webhooks, "Webhooks", "In a file `[webhooks]`; in code, arguments of `WebhookMiddleware`."),
    (Receiver, "Receivers of webhooks", "In code `Receiver(…)`, in a file `[[webhooks.receive]]`."),
    (FileAlone, "Settings of the file alone", "Only `keystile.toml` has these."),
    (Mount, "Apps by prefix", "In a file `[[apps]]`."),
)


def page() -> str:
    """The whole page, in Markdown."""
    return "\n".join([_HEAD, *(section for kind, title, where in _PARTS for section in _section(kind, title, where))])


def _section(kind: type, title: str, where: str) -> list[str]:
    return [f"## {title}\n\n{where}\n", *(_entry(each) for each in settings_of(kind).values())]


def _entry(each: Setting) -> str:
    takes = f"{each.kind.name}, or None" if each.optional else each.kind.name
    in_file = each if each.in_files else SETTINGS.get(each.name)  # one that code gives is named in a file
    file = "only in code" if in_file is None else expected(in_file)
    meaning = "\n".join(wrap(each.meaning, 120, break_on_hyphens=False, break_long_words=False))
    lines = [f"### `{each.name}`", "", meaning, "", f"- Type: {takes}", f"- In a file: {file}"]
    return "\n".join([*lines, f"- Default: {_default(each.default)}", ""])


def _default(value: Any) -> str:
    if value is REQUIRED:
        return "none, it must be given"
    if isinstance(value, (tuple, FrozenDict)):
        value = list(value) if isinstance(value, tuple) else dict(value)
    elif isinstance(value, str):
        return f'`"{value}"`'
    elif callable(value):
        return f"`{value.__module__}.{value.__qualname__}`"
    elif type(value).__module__ != "builtins":
        return f"`{type(value).__name__}()`"
    return f"`{value!r}`"


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - printing is its purpose
