"""`keystile projects`: create, list, show, update, delete, suspend and resume projects."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from typing import Any

import click

from ..._sync import is_async
from ...config.faults import told
from ...exceptions import KeystileError, NotFound
from ...gate import Gate
from ...keys.changes.fields import MAX_PAGE
from ...model import ENVIRONMENTS, Project
from ..opening import Place, called, opened
from ..tables import printable
from ..typed import json_option
from .changing import actor, check_stdout, confirm, print_secret, yes_option
from .options import given, key_options
from .pages import page_options, pages, part_of
from .shown import PROJECT_COLUMNS, as_json, issued_json, print_pages, print_record

_project_id = click.argument("project_id")
# What `projects create` can say about the project's first key.
_OF_FIRST_KEY = ("owner_id", "plan", "limits", "scopes", "may", "ip_allowlist", "expires_at", "metadata")


@click.group()
def projects() -> None:
    """Create, list, show, change and delete projects."""


@projects.command()
@click.argument("name")
@click.option("--organization", "organization_id", metavar="ID", required=True, help="Whose it is.")
@click.option("--id", "project_id", metavar="ID", help="Your own id for it; default: one is drawn.")
@click.option(
    "--environment",
    type=click.Choice(ENVIRONMENTS),
    default="production",
    show_default=True,
    help="What its keys are made for.",
)
@click.option("--key-name", metavar="TEXT", help='The label of its first key; default: "default".')
@key_options(*_OF_FIRST_KEY)
@json_option
@click.pass_obj
def create(
    place: Place,
    /,
    *,
    name: str,
    organization_id: str,
    project_id: str | None,
    environment: Any,
    key_name: str | None,
    as_json: bool,
    **described: Any,
) -> None:
    """Make a project and its first key, and print the key's secret, this once.

    All options behind --key-name are about this key.
    """
    check_stdout()
    key = given({"name": key_name, **described})
    with opened(place, "store") as gate:
        made = called(
            gate.projects.create,
            name,
            organization_id=organization_id,
            environment=environment,
            id=project_id,
            key=key,
            actor=actor(),
        )
        print_secret(made.issued, {**_shape(made.project), **issued_json(made.issued)} if as_json else None)
    click.echo(f"It is the first key of the project {printable(made.project.id)}.", err=True)


@projects.command("list")
@click.option("--organization", "organization_id", metavar="ID", help="Only its projects.")
@page_options()
@json_option
@click.pass_obj
def list_projects(
    place: Place,
    /,
    *,
    organization_id: str | None,
    limit: int | None,
    after: str | None,
    everything: bool,
    as_json: bool,
) -> None:
    """List projects, oldest first."""
    part = part_of(limit, after, everything)
    with opened(place, "store") as gate:
        found = pages(partial(gate.projects.list, organization_id=organization_id), part)
        same = () if organization_id is None else ("ORGANIZATION",)
        print_pages(found, PROJECT_COLUMNS, for_machines=as_json, same=same)


@projects.command()
@_project_id
@json_option
@click.pass_obj
def show(place: Place, project_id: str, as_json: bool) -> None:
    """Show one project's record."""
    with opened(place, "store") as gate:
        print_record(called(gate.projects.get, project_id), for_machines=as_json)


@projects.command()
@_project_id
@click.option("--name", metavar="TEXT", help="Its label.")
@click.option(
    "--environment", type=click.Choice(ENVIRONMENTS), help="What new keys are made for; keys that are there stay."
)
@json_option
@click.pass_obj
def update(place: Place, /, *, project_id: str, as_json: bool, **described: Any) -> None:
    """Change a project. What is not named stays."""
    wanted = given(described)
    if not wanted:
        raise click.UsageError("nothing to change: name an option, as --help lists them")
    with opened(place, "store") as gate:
        print_record(called(gate.projects.update, project_id, **wanted, actor=actor()), for_machines=as_json)


@projects.command("delete")
@_project_id
@yes_option
@click.pass_obj
def delete_project(place: Place, project_id: str, yes: bool) -> None:
    """Delete a project for good. Its keys are revoked, and refused from their next request on. Asks first.

    Then the gate's on_project_deleted is called. If that fails, the same command calls it again.
    """
    with opened(place, "store") as gate:
        project: Project | None = None
        with suppress(NotFound):  # one that was deleted before can be, so that the function is called again
            project = called(gate.projects.get, project_id)
        if project is not None:
            confirm(_question(gate, project), yes=yes)
        _delete(gate, project_id)
    again = "" if project is not None else " It was before; on_project_deleted was called again, if there is one."
    click.echo(f"The project {printable(project_id)} is deleted.{again}", err=True)


@projects.command()
@_project_id
@json_option
@click.pass_obj
def suspend(place: Place, project_id: str, as_json: bool) -> None:
    """Refuse all keys of a project from their next request on, until it is resumed."""
    with opened(place, "store") as gate:
        print_record(called(gate.projects.suspend, project_id, actor=actor()), for_machines=as_json)


@projects.command()
@_project_id
@json_option
@click.pass_obj
def resume(place: Place, project_id: str, as_json: bool) -> None:
    """Take back that a project was suspended."""
    with opened(place, "store") as gate:
        print_record(called(gate.projects.resume, project_id, actor=actor()), for_machines=as_json)


def _shape(project: Project) -> dict[str, Any]:
    return {"project": as_json(project)}


def _question(gate: Gate, project: Project) -> str:
    count = len(called(gate.keys.list, project_id=project.id, live=True, limit=MAX_PAGE))
    keys = "1 live key ends" if count == 1 else f"{count}{' or more' if count == MAX_PAGE else ''} live keys end"
    named = printable(f"{project.id} ({project.name}, of {project.organization_id})")
    return f"Delete the project {named} for good? Its {keys} with it."


def _delete(gate: Gate, project_id: str) -> None:
    """Delete it; what the host's own function raises comes after that, and is told as such."""
    function = gate.parts.on_project_deleted
    delete: Any = gate.projects.adelete if function is not None and is_async(function) else gate.projects.delete
    try:
        called(delete, project_id, actor=actor())
    except KeystileError:
        raise
    except Exception as error:  # the host's function may raise anything
        with suppress(NotFound):
            called(gate.projects.get, project_id)
            raise  # by then it would be gone: this is the host's own store
        reason = f"on_project_deleted raised {told(error, os.environ)}; the same command calls it again"
        raise click.ClickException(f"the project {printable(project_id)} is deleted, but {reason}") from error
