"""Commands about the programs that send by themselves and let their callbacks come here."""

import sys
from uuid import UUID

import click

from .. import figures, probing, replaying, sources
from ..figures import SourceRow
from .opening import Rooms, as_json, now, print_object, with_rooms

_AT_ONCE = 1_000


@click.group()
def source() -> None:
    """Callback URLs and secrets for messages that other programs send."""


@source.command("add")
@click.argument("name")
@as_json
@with_rooms
def source_add(rooms: Rooms, name: str, as_json: bool) -> None:
    """Make a source called NAME and print the URL and secret to put into that program's deliveryReport."""
    _print_address(rooms, sources.add(rooms.database, name, now()).id, as_json)


@source.command("list")
@as_json
@with_rooms
def source_list(rooms: Rooms, as_json: bool) -> None:
    """List the sources with their URLs and secrets."""
    for row in figures.source_rows(rooms.database, rooms.stamper):
        told = {
            "id": str(row.id),
            "name": row.name,
            "url": row.address.url,
            "secret": row.address.secret,
            "oldUrl": row.old.url if row.old else None,
            "pausedAt": row.paused_at.isoformat() if row.paused_at else None,
            "held": sum(address.held for address in row.addresses),
        }
        print_object(told, as_json)


@source.command("rotate")
@click.argument("name")
@as_json
@with_rooms
def source_rotate(rooms: Rooms, name: str, as_json: bool) -> None:
    """Give NAME a new URL and secret, and print them; the old ones work on until they are retired."""
    _print_address(rooms, sources.rotate(rooms.database, source_id(rooms, name), now()), as_json)
    click.echo(f"the old address works on until: wasl source retire {name}", err=True)


@source.command("retire")
@click.argument("name")
@with_rooms
def source_retire(rooms: Rooms, name: str) -> None:
    """Let what comes at NAME's old URL tell nothing any more. It is kept."""
    row = _row(rooms, name)
    if row.old is None:
        raise click.ClickException(f"{name} has one address: make a new one first, with wasl source rotate")
    sources.retire(rooms.database, row.id, row.old.id, now())
    click.echo(f"the old address of {name} is retired", err=True)


@source.command("restore")
@click.argument("name")
@with_rooms
def source_restore(rooms: Rooms, name: str) -> None:
    """Use the URL of NAME that was retired last again, and take in what came there meanwhile."""
    row = _row(rooms, name)
    if not row.retired:
        raise click.ClickException(f"{name} has no retired address")
    latest = max(row.retired, key=lambda address: (address.retired_at, address.id))
    sources.restore(rooms.database, row.id, latest.id)
    click.echo(f"{latest.url} is in use again; callbacks taken in: {_take_in(rooms, row.id):,}", err=True)


@source.command("pause")
@click.argument("name")
@with_rooms
def source_pause(rooms: Rooms, name: str) -> None:
    """Let what comes for NAME tell nothing until it goes on. It is kept."""
    sources.pause(rooms.database, source_id(rooms, name), now())
    click.echo(f"{name} is paused", err=True)


@source.command("resume")
@click.argument("name")
@with_rooms
def source_resume(rooms: Rooms, name: str) -> None:
    """Let NAME go on, and take in what came while it was paused."""
    found = source_id(rooms, name)
    sources.resume(rooms.database, found)
    click.echo(f"{name} goes on; callbacks taken in: {_take_in(rooms, found):,}", err=True)


@source.command("test")
@click.argument("name")
@with_rooms
def source_test(rooms: Rooms, name: str) -> None:
    """Post a probe to NAME's URL as OTPIQ would, and say which link of the way is broken; exit code 1 when one is."""
    row = _row(rooms, name)
    done = probing.probe(rooms.stamper.issue(row.address.id))
    click.echo(probing.in_english(done))
    sys.exit(1 if done.broken else 0)


def source_id(rooms: Rooms, name: str) -> UUID:
    for found in sources.named(rooms.database):
        if found.name == name:
            return found.id
    raise click.ClickException(f"there is no source {name}")


def _take_in(rooms: Rooms, source_id: UUID) -> int:
    """All that was held and need not be any more; returns how many that were."""
    taken_in = 0
    while held := figures.held_callbacks(rooms.database, source_id, _AT_ONCE):
        done = replaying.replay(rooms.database, callback_ids=held)
        if not done.moved:  # the source is paused: it would go on for ever
            break
        taken_in += sum(done.moved.values())
    return taken_in


def _row(rooms: Rooms, name: str) -> SourceRow:
    found = source_id(rooms, name)
    return next(row for row in figures.source_rows(rooms.database, rooms.stamper) if row.id == found)


def _print_address(rooms: Rooms, address_id: UUID, as_json: bool) -> None:
    stamp = rooms.stamper.issue(address_id)
    print_object({"id": str(address_id), "url": stamp.url, "secret": stamp.secret}, as_json)
