"""The options that name members of a key. Several commands have them, each those that it can set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from ...model import ENVIRONMENTS
from ..typed import as_moment, as_object

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS: dict[str, Callable[[Any], Any]] = {
    "organization_id": click.option("--organization", "organization_id", metavar="ID", help="Whom the key belongs to."),
    "project_id": click.option("--project", "project_id", metavar="ID", help="The project that the key belongs to."),
    "owner_id": click.option("--owner", "owner_id", metavar="ID", help="Whom the key belongs to in it."),
    "environment": click.option(
        "--environment",
        type=click.Choice(ENVIRONMENTS),
        help="What it is used for. A new key has its project's, or else production.",
    ),
    "plan": click.option(
        "--plan",
        metavar="NAME",
        help="One of the gate's plans. A key without one has its organization's, or else default_plan.",
    ),
    "limits": click.option(
        "--limits", metavar="NOTATION", help="Limits that replace its plan's, like '60/minute; 5000/day'."
    ),
    "scopes": click.option("--scope", "scopes", metavar="S", multiple=True, help="What the key may do; repeatable."),
    "may": click.option(
        "--may",
        metavar="MATCH",
        multiple=True,
        help="Requests that it may make, like 'GET /v1/*'; repeatable. A key without any may make all.",
    ),
    "ip_allowlist": click.option(
        "--allow",
        "ip_allowlist",
        metavar="CIDR",
        multiple=True,
        help="Address or network that it may be used from; repeatable. A key without any may be used from anywhere.",
    ),
    "expires_at": click.option(
        "--expires",
        "expires_at",
        callback=as_moment,
        metavar="TIME",
        help="When it ends: 2030-01-31T12:00:00Z, 30d or 12h. A key without this never ends.",
    ),
    "metadata": click.option(
        "--metadata", callback=as_object, metavar="JSON", help="A JSON object to keep with the key."
    ),
}
OF_KEYS = tuple(_OPTIONS)
# What `--clear` calls a member, and what it is then.
CLEARED: dict[str, tuple[str, Any]] = {
    "project": ("project_id", None),
    "plan": ("plan", None),
    "limits": ("limits", None),
    "scopes": ("scopes", ()),
    "may": ("may", None),
    "allow": ("ip_allowlist", None),
    "expires": ("expires_at", None),
    "metadata": ("metadata", None),
}


def key_options(*names: str) -> Callable[[Command], Command]:
    """Give a command the options for these members of a key."""

    def decorated(command: Command) -> Command:
        for name in reversed(names):
            command = _OPTIONS[name](command)
        return command

    return decorated


def given(described: Mapping[str, Any]) -> dict[str, Any]:
    """The members that were typed."""
    return {name: value for name, value in described.items() if value is not None and value != ()}


def changes(described: Mapping[str, Any], cleared: tuple[str, ...]) -> dict[str, Any]:
    """What to set, from what was typed and what is to be cleared.

    Raises:
        click.UsageError: there is nothing to change, or a member is both.
    """
    found = given(described)
    for word in cleared:
        name, value = CLEARED[word]
        if name in given(described):
            raise click.UsageError(f"--clear {word} and the option that sets it contradict each other; leave one out")
        found[name] = value
    if not found:
        raise click.UsageError("nothing to change: name an option, as --help lists them")
    return found
