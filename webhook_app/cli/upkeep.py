"""Commands that hold what is stored against what follows from it, and put it right."""

import json
import sys
from datetime import datetime
from typing import Any

import click

from .. import recounting, replaying
from ..recounting import Difference
from .opening import Rooms, as_json, now, with_rooms
from .running import db

_SHOWN = 50
_WHEN = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"])
_NAMES = {  # in JSON
    "sms_type": "type",
    "sender_id": "sender",
    "is_sample": "isSample",
    "charged_iqd": "chargedIqd",
    "at_risk_iqd": "atRiskIqd",
}


@click.command()
@click.option("--since", type=_WHEN, help="Only those that came at this day or time, or later.")
@click.option("--until", type=_WHEN, help="Only those that came before this day or time.")
@click.option("--quarantined", is_flag=True, help="Only those not read, or held back (with --orphans: both).")
@click.option("--orphans", is_flag=True, help="Only those that belonged to no message.")
@as_json
@with_rooms
def replay(
    rooms: Rooms,
    since: datetime | None,
    until: datetime | None,
    quarantined: bool,
    orphans: bool,
    as_json: bool,
) -> None:
    """Put stored callbacks through today's code again; changes nothing where it has nothing to say."""
    if since is not None and until is not None and since >= until:
        raise click.UsageError("--until must be later than --since")
    only = [verdict for verdict, wanted in (("orphan", orphans), ("quarantined", quarantined)) if wanted]
    replayed = replaying.replay(
        rooms.database,
        verdicts=only or replaying.VERDICTS,
        since=_moment(rooms, since),
        until=_moment(rooms, until) or now(),  # an end, however fast callbacks come in
    )
    moves = [{"from": old, "to": new, "callbacks": n} for (old, new), n in sorted(replayed.moved.items())]
    if as_json:
        told = {"lookedAt": replayed.looked_at, "moved": moves, "messagesChanged": replayed.messages}
        click.echo(json.dumps(told))
        return
    click.echo(f"{replayed.looked_at:,} callbacks looked at, {replayed.messages:,} messages changed")
    for move in moves:
        click.echo(f"{move['callbacks']:,} {move['from']} → {move['to']}")


@db.command("recount")
@click.option("--check", "check_only", is_flag=True, help="Only compare; change nothing.")
@as_json
@with_rooms
def db_recount(rooms: Rooms, check_only: bool, as_json: bool) -> None:
    """Hold the counts against the messages and put them right; exit code 1 when something differed."""
    recount = recounting.recount(rooms.database, check_only=check_only)
    if as_json:
        differences = [_difference_json(difference) for difference in recount.differences]
        click.echo(json.dumps({"messages": recount.messages, "differences": differences}, ensure_ascii=False))
    elif not recount.differences:
        click.echo(f"nothing differed: {recount.messages:,} messages counted")
    else:
        for difference in recount.differences[:_SHOWN]:
            click.echo(_difference_line(difference))
        done = "" if check_only else ", all put right"
        click.echo(f"{len(recount.differences):,} counts differed{done}: {recount.messages:,} messages counted")
    sys.exit(1 if recount.differences else 0)


def _moment(rooms: Rooms, at: datetime | None) -> datetime | None:
    if at is not None and at.year not in range(2000, 2100):  # what an id can hold
        raise click.UsageError("--since and --until take times of 2000 to 2099: 2026-11-22 or 2026-11-22T09:30")
    return at and at.replace(tzinfo=rooms.config.time_zone)


def _difference_json(difference: Difference) -> dict[str, Any]:
    said = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in difference.key.items()}
    key = {_NAMES.get(name, name): value for name, value in said.items()}
    short = {_NAMES.get(name, name): by for name, by in difference.short.items()}
    return {"counts": difference.counts} | key | {"short": short}


def _difference_line(difference: Difference) -> str:
    """Such as `hour_tally  2026-11-22T09:00Z  delivered  messages -1`: one too many was counted."""
    hour, *words, is_sample = difference.key.values()
    words = [word if word != "" else "–" for word in words]
    fields = [difference.counts, f"{hour:%Y-%m-%dT%H:%M}Z", *map(str, words), "sample" if is_sample else ""]
    return "  ".join([*filter(None, fields), *(f"{name} {by:+,}" for name, by in difference.short.items() if by)])
