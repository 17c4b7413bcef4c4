"""Stored callbacks put through today's code again: `wasl replay`, and a button on the page of one.

A status is a join of facts, so telling a message again what it knows changes nothing. What could not be read when it
came, or belonged to no message, may be and do so today; then it is told as if it had just come. Nothing is taken back,
no repeat is counted, nothing is sent.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, Connection, Row, Table, bindparam, select, update

from . import merging, receiving
from .database import Database
from .ids import first_id
from .models import Callback, Message
from .receiving import Arrival, Read

VERDICTS = ("accepted", "orphan", "quarantined")
_AT_ONCE = 200  # what comes in meanwhile waits for one batch at the most
_MESSAGE, _CALLBACK = (cast(Table, model.__table__) for model in (Message, Callback))
_PLACE = (
    update(_CALLBACK)
    .where(_CALLBACK.c.id == bindparam("of_id"))
    .values({name: bindparam(f"now_{name}") for name in ("verdict", "message_id", "note", "changed")})
)

Move = tuple[str, str]  # the verdict before, and after

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Replayed:
    looked_at: int
    moved: Mapping[Move, int]  # callbacks; from accepted to accepted: told something new
    messages: int  # that are not what they were


def replay(
    database: Database,
    *,
    verdicts: Collection[str] = VERDICTS,
    since: datetime | None = None,
    until: datetime | None = None,
    callback_ids: Collection[UUID] | None = None,
) -> Replayed:
    """Replay those chosen, in batches of one transaction each. Running it again changes nothing more.

    Without `until` it also meets what comes in while it runs.
    """
    chosen: list[ColumnElement[bool]] = []
    # Ids are in order of time.
    if since is not None:
        chosen.append(_CALLBACK.c.id >= first_id(since))
    if until is not None:
        chosen.append(_CALLBACK.c.id < first_id(until))
    if callback_ids is not None:
        chosen.append(_CALLBACK.c.id.in_(callback_ids))
    looked_at, messages = 0, 0
    moved: Counter[Move] = Counter()
    # A batch is of one verdict; those placed already first, so that none is met twice.
    for verdict in (verdict for verdict in VERDICTS if verdict in verdicts):
        for batch in _batches(database, _CALLBACK.c.verdict == verdict, *chosen):
            with database.writing() as connection:
                read = _hold_messages(connection, batch)
                moved += _tell_again(connection, batch, read)
                messages += _save_changed(connection, read)
            looked_at += len(batch)
    log.info("callbacks.replayed", looked_at=looked_at, moved=moved.total(), messages=messages)
    return Replayed(looked_at=looked_at, moved=moved, messages=messages)


def _batches(database: Database, *chosen: ColumnElement[bool]) -> Iterator[Sequence[Row[Any]]]:
    names = ("id", "target_id", "message_id", "received_at", "digest", "body", "headers", "verdict", "changed")
    batch = select(*(_CALLBACK.c[name] for name in names)).where(*chosen).order_by(_CALLBACK.c.id).limit(_AT_ONCE)
    after = _CALLBACK.c.id.is_not(None)
    while True:
        with database.reading() as session:
            rows = session.execute(batch.where(after)).all()
        if not rows:
            return
        yield rows
        after = _CALLBACK.c.id > rows[-1].id


def _hold_messages(connection: Connection, batch: Sequence[Row[Any]]) -> list[Read]:
    """Each callback, read, with its message: the one it was merged into, or today's."""
    read = [receiving.read_body(_arrival(row)) for row in batch]
    if batch[0].verdict != "accepted":
        receiving.find_messages(connection, read)
        return read
    # In the order of `receiving`, or the two could deadlock: the URLs' own messages first, then those of sources.
    own = {row.message_id for row in batch if row.message_id == row.target_id}
    of_sources = select(_MESSAGE.c.source_id, _MESSAGE.c.sms_id).where(
        _MESSAGE.c.id.in_({row.message_id for row in batch} - own)
    )
    held = merging.hold(connection, own)
    held += merging.hold_of_sources(connection, [tuple(row) for row in connection.execute(of_sources)])
    by_id = {message.row["id"]: message for message in held}
    for row, one in zip(batch, read, strict=True):
        one.message = by_id.get(row.message_id)  # None: it was given another smsId at this moment
    return read


def _arrival(row: Row[Any]) -> Arrival:
    return Arrival(id=row.id, target_id=row.target_id, key="", raw=row.body, headers=row.headers, at=row.received_at)


def _tell_again(connection: Connection, batch: Sequence[Row[Any]], read: Sequence[Read]) -> Counter[Move]:
    """Merge into the held messages what can be read today; returns how many callbacks went from where to where."""
    ids = [row.id for row in batch]
    found = dict(connection.execute(select(_CALLBACK.c.id, _CALLBACK.c.verdict).where(_CALLBACK.c.id.in_(ids))).all())
    placed: dict[tuple[UUID, str], dict[str, Any]] = {}
    moved: Counter[Move] = Counter()
    for row, one in zip(batch, read, strict=True):
        was_quicker = found[row.id] != row.verdict or (row.verdict == "accepted" and one.message is None)
        if one.report is None or one.note or was_quicker:
            continue  # still not understood; or somebody changed its place meanwhile
        is_news = one.message is not None and one.message.tell(one.report.fact(row.received_at))
        verdict = "accepted" if one.message is not None else "orphan"
        if is_news or verdict != row.verdict:
            placed[row.target_id, row.digest] = {
                "of_id": row.id,
                "now_verdict": verdict,
                "now_message_id": one.message.row["id"] if one.message is not None else None,
                "now_note": None,
                "now_changed": row.changed or is_news,
            }
            moved[row.verdict, verdict] += 1
    if placed:
        connection.execute(_PLACE, [placed[key] for key in sorted(placed)])  # in the order of `receiving`, again
    return moved


def _save_changed(connection: Connection, read: Iterable[Read]) -> int:
    """Write the messages whose row is not what it was, by new facts or by a rule of today; returns how many."""
    held = {one.message.row["id"]: one.message for one in read if one.message is not None and one.message.is_told}
    after = {
        message_id: merging.columns_after(one.row, one.delivery, is_news=one.has_news)
        for message_id, one in held.items()
    }
    if not held:
        return 0
    columns = [_MESSAGE.c[name] for name in next(iter(after.values()))]
    stored = connection.execute(select(_MESSAGE.c.id, *columns).where(_MESSAGE.c.id.in_(held)))
    changed = [
        held[row.id]
        for row in stored
        if held[row.id].is_new or any(getattr(row, name) != value for name, value in after[row.id].items())
    ]
    merging.save(connection, changed)
    return len(changed)
