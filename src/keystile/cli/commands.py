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
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import click

from .. import __version__
from ..config.example import EXAMPLE_STORE, example
from ..config.file import PEPPER_VARIABLE, default_path, load, open_gate, write_private
from ..exceptions import KeystileError
from ..gate import Gate
from .checking import check
from .dashboard.command import dashboard
from .explain.command import explain
from .limits import limits
from .migrating import migrate
from .opening import GATE_OPTION, Place, where
from .records.audit import audit
from .records.keys import keys
from .records.organizations import organizations
from .records.projects import projects
from .records.purging import purge
from .scan import pattern, scan
from .usage import usage
from .webhooks.group import webhooks

_WITHOUT_GATE = ("init", "schema", "demo")


class OneLine(click.Group):
    """A group that turns an error into one line."""

    def invoke(self, ctx: click.Context) -> Any:
        """See click."""
        try:
            return super().invoke(ctx)
        except KeystileError as error:
            raise click.ClickException(str(error)) from None
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # click ends quietly: the reader of the output has closed it
            raise click.ClickException(error.strerror or type(error).__name__) from None


@click.group(cls=OneLine, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="keystile", message="%(prog)s %(version)s")
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The configuration; default: $KEYSTILE_CONFIG, else ./keystile.toml.",
)
@click.option(
    GATE_OPTION,
    metavar="NAME",
    help="A gate in code instead: main:gate, or main:make_gate(); default: $KEYSTILE_GATE.",
)
@click.pass_context
def main(ctx: click.Context, config: Path | None, gate: str | None) -> None:
    """API keys for any ASGI or WSGI app."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show must not be an error
            stream.reconfigure(errors="backslashreplace")
    if ctx.invoked_subcommand not in _WITHOUT_GATE:
        ctx.obj = where(config, gate)
    elif gate is None:
        ctx.obj = Place(config)
    else:
        raise click.UsageError(f"{ctx.invoked_subcommand} needs no gate; leave {GATE_OPTION} out")


@main.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.pass_obj
def init(place: Place, file: Path | None) -> None:
    """Write a commented configuration and create its key store. Needs no gate."""
    path = file or place.config or default_path()
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
def schema() -> None:
    """Print the JSON Schema of keystile.toml, for editors. Needs no gate."""
    from ..config.schema import schema_of_file

    click.echo(json.dumps(schema_of_file(), indent=2, ensure_ascii=False))


_ON_KEYS = (keys, projects, organizations, audit, limits, usage, purge)
for _command in (check, explain, *_ON_KEYS, webhooks, dashboard, migrate, scan, pattern):
    main.add_command(_command)


@main.command()
@click.pass_context
def demo(ctx: click.Context) -> None:
    """See the gate at work in front of two small services."""
    from ..demo import run

    ctx.exit(run())


def commands_on(gate: Gate, source: str) -> click.Group:
    """The commands that work on a gate, for a host with a command line of its own.

    Args:
        gate: the host's. It stays open when a command ends.
        source: what has this gate, for errors.
    """

    def found(ctx: click.Context) -> None:
        ctx.obj = Place(gate=gate, gate_from=source)

    listed = {name: command for name, command in main.commands.items() if name not in _WITHOUT_GATE}
    shown = {"help_option_names": ["-h", "--help"]}
    return OneLine("keystile", listed, callback=click.pass_context(found), help=main.help, context_settings=shown)
