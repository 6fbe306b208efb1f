"""The page docs/reference/cli.md: every command with its options.

``python -m keystile.cli.reference`` prints it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from textwrap import wrap

import click

from .commands import main

_WIDTH = 120
_HEAD = """\
# The command line

Every command with its options. This page is made from the commands (`make docs`), and a test compares the two.
[Configuration](../guides/configuration.md#the-command-line) says how a command finds the gate that it works on: a
file, or `--gate main:gate` for one in code. Everything here works on both, and on any store that outlasts the command.

```console
$ keystile init
$ keystile organizations create acme --name "Acme Inc."
$ keystile projects create Web --organization acme >first-key
$ KEY=$(keystile keys create "CI/CD" --organization acme --scope exports:write --expires 90d)
$ ID=$(keystile keys list --json | python -c "import json, sys; print(json.load(sys.stdin)[-1]['id'])")
$ keystile keys list --organization acme
ID            NAME     STATE   EXPIRES     PROJECT  …
…             default  active  -           proj_…
…             CI/CD    active  …
…
$ keystile keys rotate $ID --grace 7d >new-key
The secret of the key … is shown this once; keep it now.
The secret before it ends at ….
$ keystile keys suspend $ID --json >/dev/null
$ keystile keys resume $ID --json >/dev/null
$ keystile keys revoke $ID --yes --json >/dev/null
$ keystile audit --target $ID
AT  EVENT  TARGET  BY  CHANGED
…  key.revoke  …  revoked_at
…
```

## What goes where

- **stdout has the answer alone**: a secret on its line, a table, or JSON. Questions, notes and errors go to stderr, and
  so does what code of your own prints meanwhile.
- **A secret is printed once**, by `keys create`, `keys rotate` and `projects create`, before anything else is said. If
  it cannot be written, the command says which key has lost it and ends with 1.
- **Exit codes**: 0, done; 1, refused or failed, with one line that begins with `Error:`; 2, wrong usage. `scan` has
  codes of its own.
- **What cannot be undone is asked first**: `keys revoke`, `keys rotate` where a secret ends at once, `projects delete`.
  The question is on stderr, the answer `y` or `yes` on stdin; `--yes` does it without asking. If nobody answers,
  nothing is done.
- **Who did it** stands in the audit: the type `cli`, with the name of the user of the system.
- **Tables fit the terminal**, or 80 columns where there is none; `COLUMNS=200` names another width. Columns that have
  nothing to say are left out, and so are those that do not fit, with a note. Ids are never cut. Tables may change with
  any release: scripts use `--json`.
- **Lists come in pages**: 100 at a time, `--limit` up to 1,000, `--after ID` for the next page, `--all` for everything.
  `--all` reads page after page, so that a list of any length needs little memory.

## For machines

With `--json` each kind of record has one shape, wherever it is printed, and a list is a JSON array of it. Every member
is there, also where it is null. New members may come; none is renamed or taken away. Moments are in UTC.

A key. Its `state` is `active`, `suspended` (itself, or by its project or organization), `expired` or `revoked`. `plan`
is its own; `inherited` is what its project and organization add. `hints` are the last characters of its secrets, the
newest first; `grace_expires_at` is the end of the older one, and `grace_used_at` when that was used last:

```json
{"id": "hJ4kQ9wZx0Ab", "name": "CI/CD", "state": "active", "organization_id": "acme", "project_id": null,
 "owner_id": null, "environment": "production", "plan": null, "limits": null, "scopes": ["exports:write"], "may": null,
 "ip_allowlist": null, "created_at": "2026-01-15T10:30:00Z", "expires_at": null, "suspended_at": null,
 "revoked_at": null, "last_used_at": null, "metadata": {}, "inherited": {"plan": "pro", "suspended_at": null},
 "hints": ["x7Qe"], "grace_expires_at": null, "grace_used_at": null}
```

A key with its secret, from `keys create` and `keys rotate`. `revoked` are the ids of keys that were revoked to make
room, because the plan says so; `replaced_at_once` says whether a secret in the grace of an earlier rotation ended now.
`projects create` prints the same with the member `project` before it:

```json
{"key": {}, "secret": "acme_live_…", "revoked": [], "replaced_at_once": false}
```

A project:

```json
{"id": "proj_2Qx7mB9aLkT4vWzE", "name": "Web", "state": "active", "organization_id": "acme",
 "environment": "production", "created_at": "2026-01-15T10:30:00Z", "suspended_at": null}
```

An organization:

```json
{"id": "acme", "name": "Acme Inc.", "state": "active", "plan": "pro", "created_at": "2026-01-15T10:30:00Z",
 "suspended_at": null}
```

An entry of the audit. `before` and `after` are the members that were changed; `correlation_id` is the same for all
entries of one action:

```json
{"id": "aud_01KF0QJ4M8A7XW2C5R9T3V0000", "at": "2026-01-15T10:30:00.123456Z", "event": "key.update",
 "actor": {"type": "cli", "id": "ann", "name": "ann", "via": "cli", "client": null, "request_id": null},
 "organization_id": "acme", "targets": [{"type": "key", "id": "hJ4kQ9wZx0Ab", "name": "CI/CD"}],
 "before": {"plan": null}, "after": {"plan": "pro"}, "correlation_id": "aud_01KF0QJ4M8A7XW2C5R9T3V0000"}
```

## Commands
"""


def page() -> str:
    """The whole page, in Markdown."""
    with click.Context(main, info_name="keystile", **main.context_settings) as root:
        return "\n".join([_HEAD, *_sections(root)])


def _sections(context: click.Context) -> Iterator[str]:
    command = context.command
    yield _section(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                with click.Context(inner, info_name=name, parent=context) as below:
                    yield from _sections(below)


def _section(context: click.Context) -> str:
    usage = re.sub(r"\s+", " ", context.get_usage()).removeprefix("Usage: ")
    told = [_folded(paragraph) for paragraph in (context.command.help or "").split("\n\n")]
    lines = [f"### `{context.command_path}`", "", f"    {usage}", "", "\n\n".join(told), ""]
    options = [each for each in context.command.params if isinstance(each, click.Option)]
    records = [record for record in (each.get_help_record(context) for each in options) if record is not None]
    if records:
        lines += [*(_folded(f"- `{name}`: {meaning}", "  ") for name, meaning in records), ""]
    return "\n".join(lines)


def _folded(text: str, indent: str = "") -> str:
    words = " ".join(text.split())
    lines = wrap(words, _WIDTH, break_on_hyphens=False, break_long_words=False, subsequent_indent=indent)
    return "\n".join(lines)


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - printing is its purpose
