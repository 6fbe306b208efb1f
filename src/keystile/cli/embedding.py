"""The same commands for a host that has a command line of its own, on the gate of the host's app."""

from __future__ import annotations

import click

from ..gate import Gate
from .commands import WITHOUT_GATE, OneLine, main
from .opening import Place


def commands_on(gate: Gate, source: str) -> click.Group:
    """A group with the commands of `keystile` that work on a gate.

    Args:
        gate: stays open when a command ends: it is the host's.
        source: what has this gate, for errors.
    """

    def found(ctx: click.Context) -> None:
        ctx.obj = Place(gate=gate, gate_from=source)

    commands = {name: command for name, command in main.commands.items() if name not in WITHOUT_GATE}
    context = {"help_option_names": ["-h", "--help"]}
    return OneLine(
        "keystile", commands, callback=click.pass_context(found), help="The keys of this app.", context_settings=context
    )
