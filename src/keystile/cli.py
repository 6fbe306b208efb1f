"""The `keystile` command: set up a file, check it, and handle the keys of its store.

What machines read goes to stdout, notes for people to stderr. A secret is printed once, when its key is made. Whatever
goes wrong is one line on stderr and exit code 1 (2 for wrong usage).
"""

from __future__ import annotations

import errno
import io
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from . import __version__
from .config import EXAMPLE, Settings, default_path, load, open_gate
from .exceptions import KeystileError
from .keyring import MAX_PAGE, KeyRing
from .model import ENVIRONMENTS, ApiKey, Principal
from .rules.keyformat import ID_LENGTH

_DURATION = re.compile(r"([0-9]+)([dh])")
_KEY_ID = re.compile(rf"[0-9A-Za-z]{{{ID_LENGTH}}}")


class _Group(click.Group):
    """Turns what goes wrong into one line."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeystileError as error:
            raise click.ClickException(str(error)) from None
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # click ends quietly: whoever read the output has seen enough
            raise click.ClickException(error.strerror or type(error).__name__) from None


def _as_moment(_ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    duration = _DURATION.fullmatch(value)
    try:
        if duration is not None:
            return datetime.now(UTC) + timedelta(hours=int(duration[1]) * (24 if duration[2] == "d" else 1))
        moment = datetime.fromisoformat(value)
        if moment.utcoffset() is None:
            raise click.BadParameter("it has no time zone; write Z at its end for UTC")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter("expected a time like 2030-01-31T12:00:00Z, or 30d, or 12h") from None


def _as_object(_ctx: click.Context, _param: click.Parameter, value: str | None) -> dict[str, Any] | None:
    try:
        found = json.loads(value) if value is not None else {}
    except (ValueError, RecursionError):
        raise click.BadParameter("it is not JSON") from None
    if not isinstance(found, dict):
        raise click.BadParameter('expected a JSON object like {"team": "data"}')
    return found


def _check_key_id(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Never repeats what it was given: people paste whole keys here."""
    if value is None or _KEY_ID.fullmatch(value):
        return value
    raise click.ClickException(
        f"no key has this id: one has {ID_LENGTH} letters and digits, as `keystile keys list` shows them"
    )


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
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    ctx.obj = config


@main.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.pass_obj
def init(config: Path | None, file: Path | None) -> None:
    """Write a commented configuration and create its key store."""
    path = file or config or default_path()
    try:
        with path.open("x", encoding="utf-8") as new:
            new.write(EXAMPLE)
    except FileExistsError:
        raise click.ClickException(f"{path} exists already and is left as it is") from None
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from None
    try:
        open_gate(load(path)).close()
    except BaseException:
        path.unlink()  # or the next try would be refused for a file that never worked
        raise
    option = "" if path == default_path() else f" -c {path}"
    click.echo(f"Wrote {path} and made its key store. Next: keystile{option} keys create NAME")


@main.command()
@click.pass_obj
def check(config: Path | None) -> None:
    """Say whether the configuration can be used, and what it means."""
    settings = load(config)
    with closing(open_gate(settings)) as gate:
        gate.keys.list(limit=1)
    _print_table(
        [
            ("file", settings.source),
            ("store", _shown_store(settings)),
            ("rules", str(len(settings.gate.get("rules", ())))),
            ("public", " ".join(settings.gate.get("public", ())) or "-"),
            ("app", _shown_app(settings)),
        ]
    )
    if _in_memory(settings):
        click.echo("Note: keys in memory end with their process; no command can make one for a server.", err=True)


@main.group()
def keys() -> None:
    """Create, list, show and revoke keys."""


_as_json = click.option("--json", "as_json", is_flag=True, help="For machines.")


@keys.command()
@click.argument("name")
@click.option("--organization", "organization_id", metavar="ID", help="Whom the key belongs to.")
@click.option("--owner", "owner_id", metavar="ID", help="Whom in it.")
@click.option("--environment", type=click.Choice(ENVIRONMENTS), default="production", show_default=True)
@click.option("--scope", "scopes", metavar="S", multiple=True, help="What the key may do; repeatable.")
@click.option(
    "--allow", metavar="CIDR", multiple=True, help="From where it may be used; repeatable; default: anywhere."
)
@click.option(
    "--expires",
    "expires_at",
    callback=_as_moment,
    metavar="TIME",
    help="2030-01-31T12:00:00Z, 30d or 12h; default: never.",
)
@click.option("--metadata", callback=_as_object, metavar="JSON", help="An object to keep with the key.")
@_as_json
@click.pass_obj
def create(config: Path | None, /, *, allow: tuple[str, ...], as_json: bool, **described: Any) -> None:
    """Make a key and print its secret, this once."""
    if sys.stdout is None:
        raise click.ClickException("stdout is closed: the secret could not be shown")
    with _keyring(config) as ring:
        issued = ring.create(**described, ip_allowlist=allow or None)
    click.echo(f"Made the key {issued.key.id}. Its secret is shown this once; keep it now.", err=True)
    if as_json:
        _print_json({"key": _record(issued.key), "secret": issued.secret})
    else:
        click.echo(issued.secret)


@keys.command("list")
@click.option("--organization", "organization_id", metavar="ID", help="Only its keys.")
@click.option("--owner", "owner_id", metavar="ID", help="Only theirs.")
@click.option("--limit", type=click.IntRange(1, MAX_PAGE), default=100, show_default=True, help="At most so many.")
@click.option(
    "--after", callback=_check_key_id, metavar="KEY_ID", help="Those behind this key: the last one of the page before."
)
@_as_json
@click.pass_obj
def list_keys(config: Path | None, /, *, limit: int, as_json: bool, **wanted: str | None) -> None:
    """List keys, oldest first."""
    with _keyring(config) as ring:
        found = ring.list(**wanted, limit=limit)
    if as_json:
        _print_json([_record(key) for key in found])
    else:
        _print_table([tuple(_COLUMNS), *(tuple(_cell(show(key)) for show in _COLUMNS.values()) for key in found)])
    if len(found) == limit:
        click.echo(f"There may be more: --after {found[-1].id}", err=True)


@keys.command()
@click.argument("key_id", callback=_check_key_id)
@_as_json
@click.pass_obj
def show(config: Path | None, key_id: str, as_json: bool) -> None:
    """Show one key's record."""
    with _keyring(config) as ring:
        _print_key(ring.get(key_id), as_json=as_json)


@keys.command()
@click.argument("key_id", callback=_check_key_id)
@_as_json
@click.pass_obj
def revoke(config: Path | None, key_id: str, as_json: bool) -> None:
    """Revoke a key for good, from the next request on."""
    with _keyring(config) as ring:
        _print_key(ring.revoke(key_id), as_json=as_json)


@main.command()
@click.pass_context
def demo(ctx: click.Context) -> None:
    """See the gate at work in front of two small services."""
    from .demo import run

    ctx.exit(run())


@contextmanager
def _keyring(config: Path | None) -> Iterator[KeyRing]:
    settings = load(config)
    if _in_memory(settings):
        raise settings.error("store", "keys in memory end with this command: name a store like 'sqlite:///keystile.db'")
    with closing(open_gate(settings)) as gate:
        yield gate.keys


def _in_memory(settings: Settings) -> bool:
    return _shown_store(settings).startswith("memory:")


def _shown_store(settings: Settings) -> str:
    """The store's URL without user, password and parameters."""
    url: str = settings.gate.get("store", "memory://")
    return url if url.startswith("sqlite:") else re.sub(r"//.*@", "//", url.partition("?")[0])


def _shown_app(settings: Settings) -> str:
    """The app and what serves it; the service's own errors end here, because its settings may stand in their text."""
    if settings.app is None:
        return "-"
    from .wrap import find_app, fits

    try:
        app = find_app(settings)
    except KeystileError:
        raise
    except Exception as error:  # noqa: BLE001 - a service's import may raise anything
        said = f": {error}" if isinstance(error, ImportError) else ""
        raise settings.error("app", f"importing it raised {type(error).__name__}{said}") from None
    doors = [f"keystile.wrap:{door}" for door in ("asgi", "wsgi") if fits(app, door)]
    if not doors:
        raise settings.error("app", "is neither an ASGI nor a WSGI app; is it a factory?")
    return f"{settings.app} ({' or '.join(doors)})"


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= datetime.now(UTC) else "active"


def _hints(key: ApiKey) -> list[str]:
    return [each.hint for each in key.hashes]


_COLUMNS: dict[str, Callable[[ApiKey], Any]] = {
    "ID": lambda key: key.id,
    "NAME": lambda key: key.name,
    "STATE": _state,
    "ENVIRONMENT": lambda key: key.environment,
    "ORGANIZATION": lambda key: key.organization_id,
    "OWNER": lambda key: key.owner_id,
    "SCOPES": lambda key: key.scopes,
    "EXPIRES": lambda key: key.expires_at,
    "LAST USED": lambda key: key.last_used_at,
    "ENDS IN": _hints,
}


def _plain(value: Any) -> Any:
    """The value as JSON has it: moments in ISO 8601, UTC, whole seconds."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else value


def _cell(value: Any) -> str:
    value = _plain(value)
    if isinstance(value, dict):
        return json.dumps(value) if value else "-"
    return " ".join(value) or "-" if isinstance(value, (list, tuple)) else str(value or "-")


def _record(key: ApiKey) -> dict[str, Any]:
    """Everything about a key but its hashes."""
    return {**{each.name: _plain(getattr(key, each.name)) for each in fields(Principal)}, "hints": _hints(key)}


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value))


def _print_key(key: ApiKey, *, as_json: bool) -> None:
    if as_json:
        _print_json(_record(key))
    else:
        _print_table([("state", _state(key)), *((name, _cell(value)) for name, value in _record(key).items())])


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
