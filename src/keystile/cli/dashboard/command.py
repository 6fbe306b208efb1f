"""`keystile dashboard`: the pages for people, on this computer alone."""

from __future__ import annotations

import contextvars
import getpass
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from ..._sync import waited
from ...gate import Gate
from ...manage import ALL, RIGHTS, Authority
from ..opening import Place, in_memory, opened
from ..webhooks.opening import OPTION, VARIABLE, outbox_of

if TYPE_CHECKING:
    from ...webhooks.outbox import Outbox

ADDRESS = "127.0.0.1"
_NAMES = (ADDRESS, "localhost")
_PORT = 8377
_SLOWEST = 30  # seconds for a browser to send a request


@click.command()
@click.option("--port", type=click.IntRange(0, 65_535), default=_PORT, show_default=True, help="0 takes any free one.")
@click.option(
    OPTION,
    "named",
    envvar=VARIABLE,
    metavar="URL|NAME",
    help=f"Show webhook endpoints too: of a database, or of an outbox in code, like main:outbox; default: ${VARIABLE}.",
)
@click.pass_obj
def dashboard(place: Place, port: int, named: str | None) -> None:
    """Manage keys in a browser, on this computer alone. Shows a link that signs in once. Ctrl-C ends it."""
    with opened(place, "store") as gate, nullcontext() if named is None else outbox_of(place, named) as outbox:
        server = _server(port)
        origin = f"http://{ADDRESS}:{server.port}"
        server.app = _app(gate, server.port, origin, outbox)
        click.echo("Ctrl-C ends it.", err=True)
        server.serve_forever()  # until Ctrl-C


def _app(gate: Gate, port: int, origin: str, outbox: Outbox | None) -> Any:
    from ...manage.dashboard.apps import beside, local_app
    from ...manage.dashboard.local import Local

    user = _user()
    who = Authority(id=user, name=user, organization_ids=ALL, may=frozenset(RIGHTS))
    hosts = frozenset(f"{name}:{port}" for name in _NAMES) | (frozenset(_NAMES) if port == 80 else frozenset())

    def announce(path: str) -> None:
        click.echo(f"Open {origin}{path}")

    local = Local(gate, who, hosts, time.monotonic, announce, counts=not in_memory(gate, "limiter"), outbox=outbox)
    if not gate.needs_await:
        return local_app(local, gate)
    context = contextvars.copy_context()  # threads of the server do not know of the loop beside this one
    return beside(local, gate, lambda work, *args: context.copy().run(lambda: waited(work, *args)))


def _server(port: int) -> Any:
    """A server that answers several requests at once. Werkzeug's is for development: on this computer alone."""
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        """Tells nobody which pages were asked for, nor which server this is."""

        timeout = _SLOWEST

        def log(self, type: str, message: str, *args: Any) -> None: ...

        def version_string(self) -> str:
            return "keystile"

    try:
        return make_server(ADDRESS, port, lambda *_: [], threaded=True, request_handler=Quiet)
    except SystemExit:  # what Werkzeug does where a port is taken; it has told why
        raise click.ClickException(f"port {port} cannot be used; name another one with --port") from None


def _user() -> str:
    try:
        found = getpass.getuser()
    except (OSError, KeyError):
        found = ""
    return found if found.isprintable() and 0 < len(found) <= 100 else "terminal"
