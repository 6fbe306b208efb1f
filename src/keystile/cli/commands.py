"""The `keystile` command: set up a file, check it, manage the keys of its store and show what they have used.

Output for machines goes to stdout, notes for people go to stderr. A secret is printed once, when its key is made. An
error is one line on stderr and exit code 1 (2 for wrong usage).
"""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from contextlib import closing
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, cast

import click

from .. import __version__
from .._ground.checks import known
from .._sync import patiently
from ..config.example import EXAMPLE_STORE, example
from ..config.faults import told
from ..config.file import PEPPER_VARIABLE, Settings, default_path, load, open_gate, write_private
from ..exceptions import ConfigurationError, KeystileError, StoreUnavailable
from ..gate import Gate
from ..keys.ring import MAX_PAGE
from ..limiters import Usages
from ..model import ENVIRONMENTS, ApiKey, Window
from ..rules.limits.notation import parse_limits
from ..rules.limits.subjects import subject
from .explaining import explain
from .opening import in_memory, opened, url_of
from .shown import print_json, print_key, print_keys, print_table, print_usages, record, shown_plans, shown_url
from .typed import as_moment, as_object, check_key_id

# How long a command waits for a limiter that servers are writing to, in seconds.
_PATIENCE = 5.0


class _Group(click.Group):
    """Turns an error into one line."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeystileError as error:
            raise click.ClickException(str(error)) from None
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # click ends quietly: the reader of the output has closed it
            raise click.ClickException(error.strerror or type(error).__name__) from None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="keystile", message="%(prog)s %(version)s")
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The configuration; default: $KEYSTILE_CONFIG, else ./keystile.toml.",
)
@click.pass_context
def main(ctx: click.Context, config: Path | None) -> None:
    """API keys for any ASGI or WSGI app."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show must not be an error
            stream.reconfigure(errors="backslashreplace")
    ctx.obj = config


@main.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.pass_obj
def init(config: Path | None, file: Path | None) -> None:
    """Write a commented configuration and create its key store."""
    path = file or config or default_path()
    # Existing keys were made with another pepper or without one, and would be refused with a new one.
    old = path.with_name(EXAMPLE_STORE).exists() or PEPPER_VARIABLE in os.environ
    try:
        write_private(path, example(None if old else token_urlsafe(32)))
    except FileExistsError:
        raise click.ClickException(f"{path} exists already and was not changed; name another file with -c") from None
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from None
    try:
        open_gate(load(path)).close()
    except BaseException:
        path.unlink()  # otherwise the next try would be refused because of a file that never worked
        raise
    option = "" if path == default_path() else f" -c {path}"
    click.echo(f"Wrote {path} and made its key store. Next: keystile{option} keys create NAME")
    if old:
        click.echo(f"Note: {EXAMPLE_STORE} or {PEPPER_VARIABLE} existed before, so no pepper was made.", err=True)


@main.command()
@click.pass_obj
def check(config: Path | None) -> None:
    """Check that the configuration can be used, and show what it says."""
    settings = load(config)
    with closing(open_gate(settings)) as gate:
        gate.keys.list(limit=1)
        _look_at_limiter(settings, gate)
    print_table(
        [
            ("file", settings.source),
            ("store", shown_url(url_of(settings, "store"))),
            ("limiter", shown_url(url_of(settings, "limiter"))),
            *shown_plans(gate.policy),
            ("rules", str(len(settings.gate.get("rules", ())))),
            ("public", " ".join(settings.gate.get("public", ())) or "-"),
            ("app", _shown_app(settings)),
        ]
    )
    if in_memory(settings, "store"):
        click.echo("Note: keys in memory end with their process, so no command can make one for a server.", err=True)


def _look_at_limiter(settings: Settings, gate: Gate) -> None:
    """Ask the limiter for a window that nobody uses: a limiter connects when it is asked."""
    try:
        patiently(_PATIENCE, gate.limits.limiter.peek, subject("check", "check"), (Window(1, 60, ""),))
    except StoreUnavailable as error:
        place = shown_url(url_of(settings, "limiter"))
        raise settings.error("limiter", f"{place} does not answer: {error.reason}") from None


@main.command()
def schema() -> None:
    """Print the JSON Schema of keystile.toml, for editors."""
    from ..config.schema import schema_of_file

    click.echo(json.dumps(schema_of_file(), indent=2, ensure_ascii=False))


main.add_command(explain)


@main.group()
def keys() -> None:
    """Create, list, show and revoke keys."""


_as_json = click.option("--json", "as_json", is_flag=True, help="For machines.")


@keys.command()
@click.argument("name")
@click.option("--organization", "organization_id", metavar="ID", help="Whom the key belongs to.")
@click.option("--owner", "owner_id", metavar="ID", help="Whom in it.")
@click.option("--environment", type=click.Choice(ENVIRONMENTS), default="production", show_default=True)
@click.option("--plan", metavar="NAME", help="One of the plans in the configuration; default: its default_plan.")
@click.option("--limits", metavar="NOTATION", help="Limits that replace its plan's, like '60/minute; 5000/day'.")
@click.option("--scope", "scopes", metavar="S", multiple=True, help="What the key may do; repeatable.")
@click.option(
    "--allow",
    metavar="CIDR",
    multiple=True,
    help="Address or network that it may be used from; repeatable; default: anywhere.",
)
@click.option(
    "--expires",
    "expires_at",
    callback=as_moment,
    metavar="TIME",
    help="2030-01-31T12:00:00Z, 30d or 12h; default: never.",
)
@click.option("--metadata", callback=as_object, metavar="JSON", help="A JSON object to keep with the key.")
@_as_json
@click.pass_obj
def create(config: Path | None, /, *, allow: tuple[str, ...], as_json: bool, **described: Any) -> None:
    """Make a key and print its secret, this once."""
    if sys.stdout is None:
        raise click.ClickException("stdout is closed: the secret could not be shown")
    with opened(config, "store") as gate:
        issued = gate.keys.create(**described, ip_allowlist=allow or None)
    click.echo(f"Made the key {issued.key.id}. Its secret is shown this once; keep it now.", err=True)
    if as_json:
        print_json({"key": record(issued.key), "secret": issued.secret})
    else:
        click.echo(issued.secret)


@keys.command("list")
@click.option("--organization", "organization_id", metavar="ID", help="Only its keys.")
@click.option("--owner", "owner_id", metavar="ID", help="Only theirs.")
@click.option(
    "--limit", type=click.IntRange(1, MAX_PAGE), default=100, show_default=True, help="Show at most this many."
)
@click.option(
    "--after",
    callback=check_key_id,
    metavar="KEY_ID",
    help="Start after the key with this id: the last one of the previous page.",
)
@_as_json
@click.pass_obj
def list_keys(config: Path | None, /, *, limit: int, as_json: bool, **wanted: str | None) -> None:
    """List keys, oldest first."""
    with opened(config, "store") as gate:
        found = gate.keys.list(**wanted, limit=limit)
    print_keys(found, as_json=as_json)
    if len(found) == limit:
        click.echo(f"There may be more: --after {found[-1].id}", err=True)


@keys.command()
@click.argument("key_id", callback=check_key_id)
@_as_json
@click.pass_obj
def show(config: Path | None, key_id: str, as_json: bool) -> None:
    """Show one key's record."""
    with opened(config, "store") as gate:
        print_key(gate.keys.get(key_id), as_json=as_json)


@keys.command()
@click.argument("key_id", callback=check_key_id)
@_as_json
@click.pass_obj
def revoke(config: Path | None, key_id: str, as_json: bool) -> None:
    """Revoke a key for good, from the next request on."""
    with opened(config, "store") as gate:
        print_key(gate.keys.revoke(key_id), as_json=as_json)


@main.group()
def limits() -> None:
    """Show or reset what a key has used of its windows."""


@limits.command("show")
@click.argument("key_id", callback=check_key_id)
@_as_json
@click.pass_obj
def show_limits(config: Path | None, key_id: str, as_json: bool) -> None:
    """Show where a key stands in its own windows and in those of every rule."""
    with opened(config, "store", "limiter") as gate:
        key = gate.keys.get(key_id)
        name, windows = _windows(gate, key)
        peek = gate.limits.limiter.peek
        usages = cast("Usages", patiently(_PATIENCE, peek, name, windows) if windows else ())
    print_usages(usages, as_json=as_json)
    _note_company(gate, key)


@limits.command()
@click.argument("key_id", callback=check_key_id)
@click.pass_obj
def reset(config: Path | None, key_id: str) -> None:
    """Forget what a key has used, in its own windows and in those of every rule."""
    with opened(config, "store", "limiter") as gate:
        key = gate.keys.get(key_id)
        name, windows = _windows(gate, key)
        if windows:
            patiently(_PATIENCE, gate.limits.limiter.reset, name, windows)
    click.echo(f"Forgot what the key {key.id} has used.", err=True)
    _note_company(gate, key)


def _windows(gate: Gate, key: ApiKey) -> tuple[str, tuple[Window, ...]]:
    """The name under which a key's requests are counted, and the windows: its own, then those of the rules."""
    if not gate.quotas.knows(key.plan):
        reason = f"the key's plan {key.plan!r} is gone, so the key is refused; {known(gate.policy.plans)}"
        raise ConfigurationError(reason, key="plans")
    rules = [parse_limits(rule.limits, scope=rule.match) for rule in gate.policy.rules if not rule.public]
    more = dict.fromkeys(window for windows in rules for window in windows)
    return gate.quotas.subject(key), gate.quotas.of(key, tuple(more))


def _note_company(gate: Gate, key: ApiKey) -> None:
    if gate.quotas.subject(key) != subject("key", key.id):
        click.echo(f"Note: all keys of its {gate.policy.limit_by} are counted together.", err=True)


@main.command()
@click.pass_context
def demo(ctx: click.Context) -> None:
    """See the gate at work in front of two small services."""
    from ..demo import run

    ctx.exit(run())


def _shown_app(settings: Settings) -> str:
    """The app and the door that serves it. The service's own errors end here, because their text may hold settings."""
    if settings.app is None:
        return "-"
    from ..doors.apps import advice, fits
    from ..wrap import find_app

    try:
        app = find_app(settings)
    except KeystileError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - importing a service may raise anything, or end the process
        raise settings.error("app", f"importing it raised {told(error, os.environ)}") from None
    doors = [f"keystile.wrap:{door}" for door in ("asgi", "wsgi") if fits(app, door)]
    if not doors:
        raise settings.error("app", f"is neither an ASGI nor a WSGI app; {advice(app)}")
    return f"{settings.app} ({' or '.join(doors)})"
