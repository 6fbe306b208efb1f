"""`keystile webhooks endpoints`: where customers want their messages."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from ..opening import Place, called
from ..records.changing import check_stdout, confirm, show_secret, yes_option
from ..records.pages import page_options, pages, part_of
from ..records.shown import print_pages, print_record
from ..shown import print_json
from ..tables import printable
from ..typed import as_headers, as_seconds, json_option
from .opening import outbox_of, outbox_option
from .shown import ENDPOINT_COLUMNS, endpoint_shape

_endpoint_id = click.argument("endpoint_id", metavar="ID")
_types = click.option(
    "--type", "event_types", metavar="TYPE", multiple=True, help="Only messages of this type; repeatable."
)
_headers = click.option(
    "--header",
    "headers",
    metavar="'NAME: VALUE'",
    multiple=True,
    callback=as_headers,
    help="A header that messages carry too; repeatable. It is kept sealed.",
)
_description = click.option("--description", metavar="TEXT", help="A label for people.")


@click.group()
def endpoints() -> None:
    """Keep endpoints: where customers want their messages, and what these are signed with."""


@endpoints.command()
@click.argument("url")
@click.option("--organization", "organization_id", metavar="ID", required=True, help="Whose it is.")
@_types
@click.option(
    "--scheme",
    type=click.Choice(["standard", "hex_body", "timestamped"]),
    default="standard",
    help="How messages are signed; default: standard (Standard Webhooks).",
)
@click.option("--signature-header", metavar="NAME", help="The header with the signature, for the other schemes.")
@_headers
@_description
@json_option
@outbox_option
@click.pass_obj
def create(
    place: Place,
    /,
    *,
    named: str | None,
    url: str,
    scheme: str,
    signature_header: str | None,
    event_types: tuple[str, ...],
    as_json: bool,
    **given: Any,
) -> None:
    """Make an endpoint and print the secret that its messages are signed with, this once."""
    check_stdout()
    wanted = {**given, "scheme": _scheme(scheme, signature_header), "event_types": event_types or None}
    with outbox_of(place, named) as outbox:
        issued = called(outbox.endpoints.create, url, **wanted)
    _show(issued, as_json=as_json)


@endpoints.command("list")
@click.option("--organization", "organization_id", metavar="ID", help="Only its own.")
@page_options()
@json_option
@outbox_option
@click.pass_obj
def list_endpoints(
    place: Place,
    /,
    *,
    named: str | None,
    organization_id: str | None,
    limit: int | None,
    after: str | None,
    everything: bool,
    as_json: bool,
) -> None:
    """List endpoints, oldest first."""
    part = part_of(limit, after, everything)
    with outbox_of(place, named) as outbox:
        found = pages(partial(outbox.endpoints.list, organization_id=organization_id), part)
        print_pages(found, ENDPOINT_COLUMNS, for_machines=as_json, shape=endpoint_shape)


@endpoints.command()
@_endpoint_id
@json_option
@outbox_option
@click.pass_obj
def show(place: Place, /, *, named: str | None, endpoint_id: str, as_json: bool) -> None:
    """Show one endpoint."""
    with outbox_of(place, named) as outbox:
        _print(called(outbox.endpoints.get, endpoint_id), as_json=as_json)


@endpoints.command()
@_endpoint_id
@click.option("--url", metavar="URL", help="Where messages go from now on, also those that wait.")
@_types
@_headers
@_description
@click.option(
    "--clear",
    "cleared",
    type=click.Choice(["type", "header", "description"]),
    multiple=True,
    help="Take this away; without types it gets all messages. Repeatable.",
)
@json_option
@outbox_option
@click.pass_obj
def update(
    place: Place, /, *, named: str | None, endpoint_id: str, cleared: tuple[str, ...], as_json: bool, **given: Any
) -> None:
    """Change an endpoint. What is not named stays."""
    wanted = {name: value for name, value in given.items() if value}
    for what in cleared:
        name, nothing = _CLEARED[what]
        if name in wanted:
            raise click.UsageError(f"--{what} and --clear {what} contradict each other; leave one of them out")
        wanted[name] = nothing
    with outbox_of(place, named) as outbox:
        _print(called(outbox.endpoints.update, endpoint_id, **wanted), as_json=as_json)


@endpoints.command()
@_endpoint_id
@click.option(
    "--grace",
    metavar="SPAN",
    callback=as_seconds,
    default="1d",
    help="How long the secret before it signs as well: 90s, 30m, 12h or 7d; default: 1d. hex_body needs 0.",
)
@yes_option
@json_option
@outbox_option
@click.pass_obj
def rotate(place: Place, /, *, named: str | None, endpoint_id: str, grace: float, yes: bool, as_json: bool) -> None:
    """Give an endpoint a new secret and print it, this once. Asks first if the one before it ends at once."""
    check_stdout()
    with outbox_of(place, named) as outbox:
        found = called(outbox.endpoints.get, endpoint_id)
        if not grace:
            confirm(f"End the secret of {_named(found)} at once?", yes=yes)
        issued = called(outbox.endpoints.rotate, endpoint_id, grace=grace)
    _show(issued, as_json=as_json)


@endpoints.command()
@_endpoint_id
@json_option
@outbox_option
@click.pass_obj
def enable(place: Place, /, *, named: str | None, endpoint_id: str, as_json: bool) -> None:
    """Have an endpoint get messages again, also those that wait."""
    with outbox_of(place, named) as outbox:
        _print(called(outbox.endpoints.enable, endpoint_id), as_json=as_json)


@endpoints.command()
@_endpoint_id
@click.option("--reason", metavar="TEXT", default="by hand", help="Why; default: by hand.")
@json_option
@outbox_option
@click.pass_obj
def disable(place: Place, /, *, named: str | None, endpoint_id: str, reason: str, as_json: bool) -> None:
    """Let an endpoint get nothing until it is enabled. What is added meanwhile is not kept for it."""
    with outbox_of(place, named) as outbox:
        _print(called(outbox.endpoints.disable, endpoint_id, reason=reason), as_json=as_json)


@endpoints.command()
@_endpoint_id
@yes_option
@outbox_option
@click.pass_obj
def delete(place: Place, /, *, named: str | None, endpoint_id: str, yes: bool) -> None:
    """End an endpoint for good. What is due to it is dropped."""
    with outbox_of(place, named) as outbox:
        found = called(outbox.endpoints.get, endpoint_id)
        confirm(f"Delete {_named(found)} for good? What is due to it is dropped.", yes=yes)
        called(outbox.endpoints.delete, endpoint_id)
    click.echo(f"The endpoint {endpoint_id} is deleted.", err=True)


@endpoints.command()
@_endpoint_id
@json_option
@outbox_option
@click.pass_obj
def test(place: Place, /, *, named: str | None, endpoint_id: str, as_json: bool) -> None:
    """Have a message of the type webhook.test sent to an endpoint, and print its id. A worker sends it."""
    with outbox_of(place, named) as outbox:
        message_id = called(outbox.test, endpoint_id)
    if as_json:
        print_json({"message_id": message_id})
    else:
        click.echo(message_id)


_CLEARED: dict[str, tuple[str, Any]] = {
    "type": ("event_types", None),
    "header": ("headers", {}),
    "description": ("description", None),
}


def _scheme(name: str, header: str | None) -> Any:
    from ...webhooks import Scheme

    if (name == "standard") is not (header is None):
        raise click.UsageError("--signature-header belongs to hex_body and timestamped, which need it")
    if header is None:
        return name
    return Scheme.hex_body(header) if name == "hex_body" else Scheme.timestamped(header)


def _named(endpoint: Any) -> str:
    return printable(f"the endpoint {endpoint.id} ({endpoint.url}, of {endpoint.organization_id})")


def _print(endpoint: Any, *, as_json: bool) -> None:
    print_record(endpoint, for_machines=as_json, shape=endpoint_shape)


def _show(issued: Any, *, as_json: bool) -> None:
    shown = {"endpoint": endpoint_shape(issued.endpoint), "secret": issued.secret} if as_json else None
    show_secret(issued.secret, f"the endpoint {issued.endpoint.id}", "rotate it, or delete it", shown)
