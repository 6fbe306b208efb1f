"""What a change asks before, says after, and leaves in the audit.

The answer of a change goes to stdout: a secret alone on its line, or a record. Questions and notes go to stderr. A
secret is written before everything else, so that nothing can come between it and whoever waits for it.
"""

from __future__ import annotations

import os
import sys

import click

from ...model import Actor, ApiKey, IssuedKey, Via
from ..shown import print_json
from ..tables import printable

yes_option = click.option("--yes", is_flag=True, help="Do not ask first.")
# Nobody types more than this for yes.
_LONGEST_ANSWER = 100


def actor(via: Via = "cli") -> Actor:
    """Who is at work here, for the audit: the user of the system. Its environment could say anything."""
    name = _user()
    return Actor("cli", name, name, via)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before what cannot be undone; click.ClickException if nobody says yes."""
    if yes:
        return
    click.echo(f"{question} [y/N] ", nl=False, err=True)
    answer = "" if sys.stdin is None else sys.stdin.readline(_LONGEST_ANSWER)
    if not answer or not sys.stdin.isatty():
        click.echo(err=True)  # a terminal has begun a new line by itself
    if not answer:
        raise click.ClickException("nothing was done, because nobody answered; --yes does it without asking")
    if answer.strip().lower() not in {"y", "yes"}:
        raise click.ClickException("nothing was done")


def named(record: ApiKey) -> str:
    """A key as people know it: with its name, and whose it is."""
    whose = next(filter(None, (record.owner_id, record.project_id, record.organization_id)), None)
    return printable(f"{record.id} ({record.name}{'' if whose is None else f', of {whose}'})")


def check_stdout() -> None:
    """A secret needs somewhere to go; asked before it is made."""
    if sys.stdout is None:
        raise click.ClickException("stdout is closed: the secret could not be shown")


def print_secret(issued: IssuedKey, shape: dict[str, object] | None) -> None:
    """The secret of a key, this once, and what happened to others on the way.

    Args:
        issued: the key.
        shape: what is printed for machines, with the secret in it; None prints the secret alone.
    """
    show_secret(issued.secret, f"the key {issued.key.id}", "rotate the key, or revoke it", shape)
    if issued.revoked:
        click.echo(f"Its plan allows no more keys, so older ones were revoked: {', '.join(issued.revoked)}.", err=True)


def show_secret(secret: str, of: str, remedy: str, shape: dict[str, object] | None) -> None:
    """A secret, this once.

    Args:
        secret: what is printed for people.
        of: what it belongs to.
        remedy: what helps if it is lost.
        shape: what is printed for machines, with the secret in it; None prints the secret alone.
    """
    try:
        if shape is None:
            click.echo(secret)
        else:
            print_json(shape)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise click.ClickException(f"the secret of {of} could not be shown: {reason}; it is lost: {remedy}") from None
    click.echo(f"The secret of {of} is shown this once; keep it now.", err=True)


def _user() -> str:
    try:
        import pwd
    except ImportError:  # a system without such a list of users
        return printable(os.environ.get("USERNAME", "")) or "unknown"
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # containers run as numbers that nobody gave a name
        return f"uid {os.getuid()}"
