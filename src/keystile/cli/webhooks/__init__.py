"""`keystile webhooks`: the worker that sends."""

import click

from .work import work


@click.group()
def webhooks() -> None:
    """Endpoints of customers, and messages on their way to them."""


webhooks.add_command(work)

__all__ = ["webhooks"]
