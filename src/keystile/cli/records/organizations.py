"""`keystile organizations`: create, list, show, rename, suspend and resume organizations, and give them plans."""

from __future__ import annotations

import click

from ..opening import Place, called, opened
from ..typed import json_option
from .changing import actor
from .pages import page_options, pages, part_of
from .shown import ORGANIZATION_COLUMNS, print_pages, print_record

_organization_id = click.argument("organization_id", metavar="ID")


@click.group()
def organizations() -> None:
    """Keep organizations: their plans hold for all their keys."""


@organizations.command()
@_organization_id
@click.option("--name", metavar="TEXT", help="A label for people; default: its id.")
@click.option("--plan", metavar="NAME", help="The plan of its keys that have none of their own.")
@json_option
@click.pass_obj
def create(place: Place, organization_id: str, name: str | None, plan: str | None, as_json: bool) -> None:
    """Keep an organization under your own id. Keys and projects that name it belong to it already."""
    with opened(place, "store") as gate:
        made = called(gate.organizations.create, organization_id, name=name, plan=plan, actor=actor())
        print_record(made, for_machines=as_json)


@organizations.command("list")
@page_options()
@json_option
@click.pass_obj
def list_organizations(place: Place, limit: int | None, after: str | None, everything: bool, as_json: bool) -> None:
    """List organizations, oldest first."""
    part = part_of(limit, after, everything)
    with opened(place, "store") as gate:
        print_pages(
            pages(lambda **part: called(gate.organizations.list, **part), part),
            ORGANIZATION_COLUMNS,
            for_machines=as_json,
        )


@organizations.command()
@_organization_id
@json_option
@click.pass_obj
def show(place: Place, organization_id: str, as_json: bool) -> None:
    """Show one organization's record."""
    with opened(place, "store") as gate:
        print_record(called(gate.organizations.get, organization_id), for_machines=as_json)


@organizations.command()
@_organization_id
@click.option("--name", metavar="TEXT", required=True, help="Its new label.")
@json_option
@click.pass_obj
def update(place: Place, organization_id: str, name: str, as_json: bool) -> None:
    """Give an organization another name."""
    with opened(place, "store") as gate:
        print_record(called(gate.organizations.update, organization_id, name=name, actor=actor()), for_machines=as_json)


@organizations.command()
@_organization_id
@click.argument("plan", required=False)
@click.option("--none", is_flag=True, help="Take its plan away: its keys have default_plan then.")
@json_option
@click.pass_obj
def plan(place: Place, organization_id: str, plan: str | None, none: bool, as_json: bool) -> None:
    """Give an organization a plan, for the next request of each of its keys that have none of their own."""
    if (plan is None) is not none:
        raise click.UsageError("name either a plan or --none")
    with opened(place, "store") as gate:
        print_record(called(gate.organizations.set_plan, organization_id, plan, actor=actor()), for_machines=as_json)


@organizations.command()
@_organization_id
@json_option
@click.pass_obj
def suspend(place: Place, organization_id: str, as_json: bool) -> None:
    """Refuse all its keys from their next request on, until it is resumed."""
    with opened(place, "store") as gate:
        print_record(called(gate.organizations.suspend, organization_id, actor=actor()), for_machines=as_json)


@organizations.command()
@_organization_id
@json_option
@click.pass_obj
def resume(place: Place, organization_id: str, as_json: bool) -> None:
    """Take back that an organization was suspended."""
    with opened(place, "store") as gate:
        print_record(called(gate.organizations.resume, organization_id, actor=actor()), for_machines=as_json)
