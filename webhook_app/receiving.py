"""A batch of authentic callbacks: parsed, matched to their messages, merged, stored raw, counted, in one transaction.

Whoever calls (the inbox) has checked the stamp. What comes in here is never dropped: what cannot be read is
quarantined, what belongs to no message is an orphan, and both are stored like the rest.

`receive` and `_take_in` are the story from top to bottom. A batch costs the same few statements however many callbacks
it holds.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import structlog
from sqlalchemy import Connection, RowMapping, Table, bindparam, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from . import merging, status
from .database import Database
from .ids import new_id
from .merging import Held
from .models import Callback, Intake, Message, Source, SourceAddress, Spooled
from .otpiq import Report, Unreadable, parse_report, without_codes
from .phone import Carrier
from .sources import why_held
from .status import Status

_MESSAGE, _CALLBACK, _INTAKE, _SPOOLED = (
    cast(Table, model.__table__) for model in (Message, Callback, Intake, Spooled)
)
_SOURCE_AND_SMS_ID = (_MESSAGE.c.source_id, _MESSAGE.c.sms_id)
_TARGET_AND_DIGEST = (_CALLBACK.c.target_id, _CALLBACK.c.digest)


class _Statements:
    """Made once for each store: to build a statement costs more than to run it."""

    addresses = (
        # One that a process of before made, beside this one, has its own id as its only address (sources._locked).
        select(func.coalesce(SourceAddress.id, Source.id).label("id"), SourceAddress.retired_at)
        .add_columns(Source.id.label("source_id"), Source.name, Source.paused_at)
        .select_from(Source)
        .outerjoin(SourceAddress)
        .where(func.coalesce(SourceAddress.id, Source.id).in_(bindparam("ids", expanding=True)))
    )
    known_sms_ids = select(*_SOURCE_AND_SMS_ID).where(
        tuple_(*_SOURCE_AND_SMS_ID).in_(bindparam("keys", expanding=True))
    )
    stored = select(
        *_TARGET_AND_DIGEST, _CALLBACK.c.id, _CALLBACK.c.last_id, _CALLBACK.c.verdict, _CALLBACK.c.received_at
    ).where(tuple_(*_TARGET_AND_DIGEST).in_(bindparam("keys", expanding=True)))
    place_orphan = (
        update(_CALLBACK)
        .where(_CALLBACK.c.target_id == bindparam("of_target"), _CALLBACK.c.digest == bindparam("of_digest"))
        .values({name: bindparam(f"now_{name}") for name in ("verdict", "message_id", "note", "changed")})
    )

    def __init__(self, insert: Any) -> None:
        self.add_message = insert(_MESSAGE).on_conflict_do_nothing().returning(_MESSAGE.c.id)
        row = insert(_CALLBACK)
        self.add_or_repeat = row.on_conflict_do_update(
            index_elements=_TARGET_AND_DIGEST,
            set_={"repeats": _CALLBACK.c.repeats + row.excluded.repeats + 1, "last_id": row.excluded.last_id},
        )
        row = insert(_INTAKE)
        self.count = row.on_conflict_do_update(
            index_elements=_INTAKE.primary_key, set_={"callbacks": _INTAKE.c.callbacks + row.excluded.callbacks}
        )
        row = insert(_SPOOLED)
        self.move_on = row.on_conflict_do_update(
            index_elements=_SPOOLED.primary_key,
            set_={"taken_bytes": row.excluded.taken_bytes},
            where=_SPOOLED.c.taken_bytes < row.excluded.taken_bytes,
        ).returning(_SPOOLED.c.name)


_STATEMENTS = {"sqlite": _Statements(sqlite_insert), "postgresql": _Statements(postgresql_insert)}

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """An authentic callback as it came."""

    id: UUID  # its own: the same arrival is never stored twice, whatever way it takes
    target_id: UUID  # in its URL: of a message or of a source's address
    key: str  # the name of the master key its secret was made with
    raw: bytes
    headers: Mapping[str, str]  # those that may be kept
    at: datetime


@dataclass(frozen=True, kw_only=True)
class SpoolPlace:
    """Where in a spool file a batch ends."""

    name: str
    end_bytes: int


@dataclass(kw_only=True)
class Read:
    """An arrival, read, and what is found out about it on the way."""

    arrival: Arrival
    report: Report | None
    note: str | None  # why it cannot be understood
    body: bytes  # as it may be kept
    digest: str
    message: Held | None = None  # locked
    stored: RowMapping | None = None  # the row of the same body, when that came before
    verdict: str = ""  # accepted, orphan, quarantined; or repeat
    changed: bool = False

    @property
    def key(self) -> tuple[UUID, str]:
        """What a repeat is known by."""
        return self.arrival.target_id, self.digest

    @property
    def is_itself(self) -> bool:
        """The very same arrival once more, by way of the spool: no repeat, and counted before."""
        return self.stored is not None and self.arrival.id in (self.stored["id"], self.stored["last_id"])

    @property
    def is_found(self) -> bool:
        """One of old that had no place, or was not understood, and is now."""
        has_place = self.message is not None and self.report is not None and self.note is None
        return has_place and self.stored is not None and self.stored["verdict"] != "accepted"


def receive(database: Database, batch: Sequence[Arrival], place: SpoolPlace | None = None) -> list[str]:
    """Store and merge; once durable, return each one's verdict: accepted, repeat, orphan or quarantined.

    With `place` the batch comes from a spool file, and is taken once, also when it is handed in twice.
    """
    return _take_in(database, [read_body(arrival) for arrival in batch], place)


def _take_in(database: Database, read: Sequence[Read], place: SpoolPlace | None = None) -> list[str]:
    if not read:
        return []
    with database.writing() as connection:  # which commits at its end, and not before
        if place is not None and not _move_on(connection, place):
            return ["repeat"] * len(read)
        find_messages(connection, read)
        _find_stored(connection, read)
        _judge(read)
        merging.save(connection, {one.message.row["id"]: one.message for one in read if one.message}.values())
        _insert(connection, read)
        _count(connection, database.writer, read)
    _log(read)
    return [one.verdict for one in read]


def set_aside(database: Database, arrival: Arrival, why: str) -> None:
    """Store, without looking into it, what `receive` stumbles over: a fault of ours must not lose a callback."""
    try:
        body = without_codes(arrival.raw)
    except Exception:  # noqa: BLE001 - what it stumbles over may be just this, and a code must not be kept
        body = b"not kept: it could not be searched for codes"
    digest = hashlib.sha256(body).hexdigest()
    _take_in(database, [Read(arrival=arrival, report=None, note=why, body=body, digest=digest)])


def forget_places(database: Database, names: Sequence[str]) -> None:
    """Of spool files that are gone."""
    if names:
        with database.writing() as connection:
            connection.execute(delete(_SPOOLED).where(_SPOOLED.c.name.in_(names)))


def read_body(arrival: Arrival) -> Read:
    body = without_codes(arrival.raw)
    digest = hashlib.sha256(body).hexdigest()  # of what is kept: a bare hash of a code gives the code away
    try:
        report, note = parse_report(arrival.raw), None
    except Unreadable as why:
        report, note = None, str(why)
    return Read(arrival=arrival, report=report, note=note, body=body, digest=digest)


def find_messages(connection: Connection, read: Sequence[Read]) -> None:
    """Hold the message of each: the one its URL names, or the source's with the body's smsId, made if it is new.

    First the URLs' own, then the sources', each in one order: two batches wait for each other, they cannot deadlock.
    """
    targets = {one.arrival.target_id for one in read}
    own = {message.row["id"]: message for message in merging.hold(connection, targets)}
    for one in read:
        one.message = own.get(one.arrival.target_id)
    if strangers := targets - own.keys():
        _find_messages_of_sources(connection, [one for one in read if one.arrival.target_id in strangers])


def _find_messages_of_sources(connection: Connection, read: Sequence[Read]) -> None:
    statements = _STATEMENTS[connection.dialect.name]
    ids = list({one.arrival.target_id for one in read})
    addresses = {row.id: row for row in connection.execute(statements.addresses, {"ids": ids})}
    named: dict[tuple[UUID, str], list[Read]] = defaultdict(list)
    for one in read:
        address = addresses.get(one.arrival.target_id)
        if one.report is None or address is None:
            continue
        if one.report.sms_id is None:
            one.note = "the body has no smsId"  # a source's message is known by it alone
        elif why := why_held(address.paused_at, address.retired_at, one.arrival.at):
            one.note = why
        else:
            named[address.source_id, one.report.sms_id].append(one)
    if not named:
        return
    keys = sorted(named)
    # Made before any is locked: who holds an old one while he waits for another's new one could be waited for himself.
    known = {tuple(row) for row in connection.execute(statements.known_sms_ids, {"keys": keys})}
    made: set[UUID] = set()
    firsts = [named[key][0] for key in keys if key not in known]
    if new := [_first_seen(one, addresses[one.arrival.target_id]) for one in firsts]:
        made.update(connection.execute(statements.add_message, new).scalars())
    held = {
        (message.row["source_id"], message.row["sms_id"]): message
        for message in merging.hold_of_sources(connection, keys)
    }
    for message in held.values():
        message.is_new = message.row["id"] in made
    for key, of_one_message in named.items():
        for one in of_one_message:
            one.message = held.get(key)


def _first_seen(one: Read, address: Any) -> dict[str, Any]:
    """A message another program sent: made by its first callback; number and cost are OTPIQ's to tell."""
    assert one.report is not None
    row = {
        "id": new_id(one.arrival.at),
        "created_at": one.arrival.at,
        "asked_by": f"source:{address.name}",
        "source_id": address.source_id,
        "stamp_key": one.arrival.key or None,  # a replayed one does not know it
        "is_sample": False,
        "carrier": Carrier.OTHER,
        "sms_type": "unknown",
        "provider": None,
        "sender_id": one.report.sender_id,
        "send_state": Status.ACCEPTED,
        "sms_id": one.report.sms_id,
        "track_at": None,
    }
    return row | merging.columns_after(row, status.NOTHING, is_news=False)


def _find_stored(connection: Connection, read: Sequence[Read]) -> None:
    """Which of these bodies came before."""
    keys = list({one.key for one in read})
    found = connection.execute(_STATEMENTS[connection.dialect.name].stored, {"keys": keys})
    stored = {(row.target_id, row.digest): row._mapping for row in found}
    for one in read:
        one.stored = stored.get(one.key)


def _judge(read: Sequence[Read]) -> None:
    """Give each its verdict, and tell its message."""
    seen: set[tuple[UUID, str]] = set()
    for one in read:
        if one.key in seen or (one.stored is not None and not one.is_found):
            one.verdict = "repeat"
            continue
        seen.add(one.key)
        if one.message is not None and one.report is not None:
            at = one.stored["received_at"] if one.stored is not None else one.arrival.at
            one.changed = one.message.tell(one.report.fact(at))
        one.verdict = "quarantined" if one.note else "accepted" if one.message is not None else "orphan"


def _insert(connection: Connection, read: Sequence[Read]) -> None:
    """Insert what is new and count what came again, in one statement and one order: what belongs to no message has no
    message's lock to wait for."""
    times = Counter(one.key for one in read if not one.is_itself)
    first = {one.key: one for one in reversed(read)}
    last_ids = {one.key: one.arrival.id for one in read}
    if rows := [_row(first[key]) | {"repeats": times[key] - 1, "last_id": last_ids[key]} for key in sorted(times)]:
        connection.execute(_STATEMENTS[connection.dialect.name].add_or_repeat, rows)
    if found := [first[key] for key in sorted(first) if first[key].is_found]:
        rows = [{"of_target": one.key[0], "of_digest": one.key[1]} | _now(_row(one)) for one in found]
        connection.execute(_Statements.place_orphan, rows)


def _now(row: Mapping[str, Any]) -> dict[str, Any]:
    return {f"now_{name}": value for name, value in row.items()}


def _row(one: Read) -> dict[str, Any]:
    return {
        "id": one.arrival.id,
        "target_id": one.arrival.target_id,
        "message_id": one.message.row["id"] if one.message else None,
        "received_at": one.arrival.at,
        "repeats": 0,
        "digest": one.digest,
        "body": one.body,
        "headers": dict(one.arrival.headers),
        "verdict": one.verdict if one.stored is None or one.is_found else one.stored["verdict"],
        "note": one.note,
        "changed": one.changed,
    }


def _count(connection: Connection, writer: str, read: Sequence[Read]) -> None:
    """What the door saw this minute; `late` is accepted, but told nothing new."""
    fates = Counter(
        (
            one.arrival.at.replace(second=0, microsecond=0),
            "late" if one.verdict == "accepted" and not one.changed else one.verdict,
        )
        for one in read
        if not one.is_itself
    )
    rows = [
        {"minute": minute, "what": what, "writer": writer, "callbacks": n, "sample": None}
        for (minute, what), n in sorted(fates.items())
    ]
    if rows:
        connection.execute(_STATEMENTS[connection.dialect.name].count, rows)


def _move_on(connection: Connection, place: SpoolPlace) -> bool:
    """Note how far the spool file is taken, in the same transaction; False when it was taken so far before."""
    row = {"name": place.name, "taken_bytes": place.end_bytes}
    return connection.execute(_STATEMENTS[connection.dialect.name].move_on, row).first() is not None


def _log(read: Sequence[Read]) -> None:
    """What has no place. The rest is in the store, with its time, and counted by the minute."""
    for one in read:
        if one.verdict in ("orphan", "quarantined"):
            target_id = str(one.arrival.target_id)
            log.warning("callback.unplaced", target_id=target_id, verdict=one.verdict, note=one.note)
