"""`keystile explain`: which rules hold for a request, and what follows from them."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

import click

from ...gate import Gate
from ...rules.requests.canonical import LONGEST, ambiguous, below, canonical
from ..opening import Place, opened
from ..shown import print_json, print_table
from ..typed import json_option
from .told import Asked, record, rows

# A method of HTTP, or what looks like one (RFC 9110 section 5.6.2), then a path as it stands in a request line.
_REQUEST = re.compile(r"(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+) )?(/[^\s?#]*)(?:\?[^\s#]*)?")
_WRONG = 'expected a method and a path as a client sends them, like "POST /v1/exports/7"'


def _as_request(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[str, str]:
    found = _REQUEST.fullmatch(value)
    if found is None or len(value) > LONGEST:
        raise click.BadParameter(_WRONG)
    return found[1] or "GET", found[2]


@click.command()
@click.argument("request", callback=_as_request, metavar='"METHOD /path"')
@json_option
@click.pass_obj
def explain(place: Place, request: tuple[str, str], as_json: bool) -> None:
    """Show which rules hold for a request, and what it must bring.

    The path is as clients send it; its query does not matter. Without a method it is GET.
    """
    with opened(place) as gate:
        asked = _seen(gate, *request)
        if as_json:
            print_json(record(gate, asked))
        else:
            print_table(rows(gate, asked))


def _seen(gate: Gate, method: str, target: str) -> Asked:
    raw_path = target.encode("utf-8", "surrogateescape")
    path = unquote_to_bytes(raw_path).decode("utf-8", "replace")
    root_path = gate.policy.root_path
    why = ""
    if root_path:
        if ambiguous(path, root_path):
            why = "the root path stands in it where some apps take it off and some do not"
        path = below(path, root_path)
    if not canonical(path, raw_path):
        why = "the path is not canonical"
    return Asked(method, path, raw_path, why)
