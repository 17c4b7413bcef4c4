"""Counts that cost the same at any size: deltas appended with each change, folded into hourly tallies now and then.

`count_tables` says what is counted. What is true at any moment is a tally plus its deltas not folded yet. Whoever folds
sums it up further as well, for pages that want few rows: that costs those who write nothing. Slots are summed up of the
last few hours only, and forgotten after that.
"""

import random
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from .database import Database
from .models import (
    CELL_KEY,
    COUNT_KEY,
    COUNT_SUMS,
    DAY_CELL_KEY,
    DAY_KEY,
    DAY_PACE_KEY,
    DAY_PART_KEY,
    HOUR_KEY,
    PACE_KEY,
    PART_KEY,
    PART_SUMS,
    SLOT_CELL_KEY,
    SLOT_KEY,
    SLOT_PART_KEY,
    CellTally,
    DayCellTally,
    DayPaceTally,
    DayPartTally,
    DayTally,
    Delta,
    HourTally,
    PaceTally,
    PartDelta,
    PartTally,
    SlotCellTally,
    SlotPartTally,
    SlotTally,
    Tally,
    at_risk_iqd,
)
from .status import CLOSED_SENDS, Status

Key = tuple[Any, ...]
Amounts = Sequence[int]  # three, whatever is summed
Sums = dict[Key, list[int]]
Change = tuple[Mapping[str, Any] | None, Mapping[str, Any]]  # a message's columns before (None: new) and after

_SLOT_MINUTES = 5
SLOT = timedelta(minutes=_SLOT_MINUTES)
SLOTS_KEPT = timedelta(hours=3)  # whole hours, beside the one that runs; the page asks for two
DAY_BEGINS = timedelta(hours=21)  # UTC, of the day before
REASON_LENGTH = 200
SEND_REASON = "send:"  # before the kind (as in otpiq.errors) of a send that did not go out
_FOLD_AT_ONCE = 5_000
_FOLD_EVERY = 500  # writers, on average
# Where the buckets of seconds end: half a second, then a fifth later each time, up to more than a year.
_BUCKET_ENDS = tuple(0.5 * 1.2**place for place in range(100))
# Made once: to build a statement costs more than to run it.
_ADD_DELTAS, _ADD_PART_DELTAS = insert(Delta.__table__), insert(PartDelta.__table__)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Deltas, the tally they are folded into, and those it is summed up to, each by a key of its own."""

    deltas: Any
    tally: Any
    key: Sequence[str]  # of the tally; deltas have their slot before it
    sums: Sequence[str]
    summed_up: Mapping[Any, Sequence[str]]
    slots: Mapping[Any, Sequence[str]]
    as_in_slots: Callable[[Key], Key] = lambda key: key


def _part_as_in_slots(key: Key) -> Key:
    """As SlotPartTally says."""
    slot, hour, part, carrier, channel, *rest = key
    return (slot, hour, part, carrier if part == "took" else "", channel if part == "path" else "", *rest)


MESSAGES = Counts(
    deltas=Delta,
    tally=Tally,
    key=COUNT_KEY,
    sums=COUNT_SUMS,
    summed_up={HourTally: HOUR_KEY, DayTally: DAY_KEY, CellTally: CELL_KEY, DayCellTally: DAY_CELL_KEY},
    slots={SlotTally: SLOT_KEY, SlotCellTally: SLOT_CELL_KEY},
)
PARTS = Counts(
    deltas=PartDelta,
    tally=PartTally,
    key=PART_KEY,
    sums=PART_SUMS,
    summed_up={DayPartTally: DAY_PART_KEY, PaceTally: PACE_KEY, DayPaceTally: DAY_PACE_KEY},
    slots={SlotPartTally: SLOT_PART_KEY},
    as_in_slots=_part_as_in_slots,
)


def append(connection: Connection, changes: Sequence[Change]) -> None:
    """Count each message as it is now in place of what it was before; in the caller's transaction."""
    if deltas := _rows(changes):
        connection.execute(_ADD_DELTAS, deltas)
    if deltas := _part_rows(changes):
        connection.execute(_ADD_PART_DELTAS, deltas)


def bucket_of(seconds: float) -> int:
    """Where so many seconds are counted: bucket 0 is up to half a second, 1 up to 0.6 s, each longer by a fifth."""
    return bisect_left(_BUCKET_ENDS, seconds, hi=len(_BUCKET_ENDS) - 1)


def bucket_edges(bucket: int) -> tuple[float, float]:
    """The seconds a bucket lies between."""
    return _BUCKET_ENDS[bucket - 1] if bucket else 0.0, _BUCKET_ENDS[bucket]


def day_of(at: datetime) -> datetime:
    """When its day began in Iraq, the clock most readers look by. Other days are made up of hours."""
    return (at.astimezone(UTC) - DAY_BEGINS).replace(hour=0, minute=0, second=0, microsecond=0) + DAY_BEGINS


def slots_since(now: datetime) -> datetime:
    """The first slot that is still kept then."""
    return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - SLOTS_KEPT


def fold(database: Database, now: datetime | None = None) -> int:
    """Move deltas into the tallies, in one transaction; returns how many. Two at once fold different ones."""
    since = slots_since(now or datetime.now(UTC))
    with database.transaction() as session:
        return sum(_fold(session, counts, since) for counts in (MESSAGES, PARTS))


def fold_now_and_then(database: Database, now: datetime) -> None:
    """Called after a write: on average every 500th call folds, so that deltas stay few without a process for it."""
    if random.randrange(_FOLD_EVERY) == 0:  # noqa: S311 - no secret
        fold(database, now)


def add_to_tally(
    session: Session, tally: Any, key: Sequence[str], sums: Sequence[str], rows: Mapping[Key, Amounts]
) -> None:
    """Add to the tally's rows of these keys, to each of its `sums` what stands there."""
    insert = sqlite_insert if session.connection().dialect.name == "sqlite" else postgresql_insert
    upsert = insert(tally)
    upsert = upsert.on_conflict_do_update(
        index_elements=key, set_={name: getattr(tally, name) + getattr(upsert.excluded, name) for name in sums}
    )
    # In the key's order: two folds that meet on the same rows wait for each other, they cannot deadlock.
    if told := [_row(key, sums, place, rows[place]) for place in sorted(rows) if any(rows[place])]:
        session.execute(upsert, told)


def _rows(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """The deltas of these changes. What comes to nothing is left out: in a batch, many leave what others reach."""
    sums: Sums = defaultdict(_nothing)
    for before, after in changes:
        _add(sums, *_count_of(after), 1)
        if before is not None:
            _add(sums, *_count_of(before), -1)
    return _deltas(MESSAGES, sums)


def _part_rows(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """The same of what is counted of closed messages only."""
    sums: Sums = defaultdict(_nothing)
    for before, after in changes:
        if before is not None and _told_by_parts(before) == _told_by_parts(after):
            continue  # what is still open, and what comes late: most
        for counted, sign in ((before, -1), (after, 1)):
            if counted is not None and counted["path"] is not None:
                for key, amounts in _parts_of(counted):
                    _add(sums, key, amounts, sign)
    return _deltas(PARTS, sums)


def _deltas(counts: Counts, sums: Sums) -> list[dict[str, Any]]:
    key = ("slot", *counts.key[1:])  # which says the hour too
    return [
        {**_row(key, counts.sums, place, amounts), "hour": place[0].replace(minute=0)}
        for place, amounts in sums.items()
        if any(amounts)
    ]


_told_by_parts = itemgetter(
    *("path", "fallback_s", "took_bucket", "status", "reason", "outcome", "carrier", "channel", "charged_iqd")
)


def _nothing() -> list[int]:
    return [0, 0, 0]


def _add(sums: Sums, key: Key, amounts: Amounts, sign: int) -> None:
    known = sums[key]
    known[0] += sign * amounts[0]
    known[1] += sign * amounts[1]
    known[2] += sign * amounts[2]


def _fold(session: Session, counts: Counts, slots_since: datetime) -> int:
    deltas, key = counts.deltas, ("slot", *counts.key)
    oldest = select(deltas.id).order_by(deltas.id).limit(_FOLD_AT_ONCE).with_for_update(skip_locked=True)
    ids = session.scalars(oldest).all()
    if not ids:
        return 0
    columns = [getattr(deltas, name) for name in (*key, *counts.sums)]
    moved = session.execute(delete(deltas).where(deltas.id.in_(ids)).returning(*columns)).all()
    by_slot: Sums = defaultdict(_nothing)
    for row in moved:
        _add(by_slot, tuple(row[: len(key)]), row[len(key) :], 1)
    sums = _summed_up(by_slot.items(), key, counts.key)
    add_to_tally(session, counts.tally, counts.key, counts.sums, sums)
    for tally, wanted in counts.summed_up.items():
        add_to_tally(session, tally, wanted, counts.sums, _summed_up(sums.items(), counts.key, wanted))
    recent = [
        (counts.as_in_slots(place), amounts)
        for place, amounts in by_slot.items()
        if place[0] is not None and place[0] >= slots_since
    ]
    for tally, wanted in counts.slots.items():
        session.execute(delete(tally).where(tally.slot < slots_since))  # first: rows are locked from old to new
        add_to_tally(session, tally, wanted, counts.sums, _summed_up(recent, key, wanted))
    return len(moved)


def _summed_up(counted: Iterable[tuple[Key, Amounts]], key: Sequence[str], wanted: Sequence[str]) -> Sums:
    """By fewer words, and by the day of its hour where that is the first of them."""
    by_day = wanted[0] == "day"
    places = [key.index("hour" if name == "day" else name) for name in wanted]
    found: Sums = defaultdict(_nothing)
    for place, amounts in counted:
        first, *rest = (place[at] for at in places)
        _add(found, (day_of(first) if by_day else first, *rest), amounts, 1)
    return found


def _row(key: Sequence[str], sums: Sequence[str], place: Key, amounts: Sequence[int]) -> dict[str, Any]:
    return dict(zip((*key, *sums), (*place, *amounts), strict=True))


def _count_of(message: Mapping[str, Any]) -> tuple[Key, Amounts]:
    """Where a message of these columns is counted (its slot, then as COUNT_KEY), and what it adds (COUNT_SUMS)."""
    key = (
        _slot(message),
        str(message["status"]),
        str(message["carrier"]),
        message["channel"] or "",
        message["sms_type"],
        message["sender_id"] or "",
        str(message["source_id"] or ""),
        message["is_sample"],
    )
    at_risk = at_risk_iqd(message["send_state"], message["estimate_iqd"], message["charged_iqd"])
    return key, (1, message["charged_iqd"] or 0, at_risk)


def _parts_of(message: Mapping[str, Any]) -> Iterator[tuple[Key, Amounts]]:
    """Where a closed message is counted in the pictures (its slot, then as PART_KEY), and what it adds (PART_SUMS)."""
    slot, of = _slot(message), (str(message["carrier"]), message["channel"] or "")
    charged_iqd, is_sample = message["charged_iqd"], message["is_sample"]
    if message["path"]:
        yield (slot, "path", *of, message["path"], 0, is_sample), (1, message["fallback_s"], charged_iqd or 0)
    if message["took_bucket"] is not None:
        yield (slot, "took", *of, "", message["took_bucket"], is_sample), (1, 0, 0)
    if (word := _reason_of(message)) is not None:
        yield (slot, "reason", *of, word, 0, is_sample), (1, 0, charged_iqd or 0)
    if message["is_repeat"] and message["status"] not in CLOSED_SENDS:
        yield (slot, "repeat", *of, "", 0, is_sample), (1, 0, charged_iqd or 0)


def _reason_of(message: Mapping[str, Any]) -> str | None:
    """Why it failed; None when it did not."""
    if message["status"] == Status.FAILED:
        return (message["reason"] or "")[:REASON_LENGTH]
    if message["status"] in CLOSED_SENDS:
        return SEND_REASON + ((message["outcome"] or {}).get("kind") or "")
    return None


def _slot(message: Mapping[str, Any]) -> Any:
    at = message["created_at"]
    return at.replace(minute=at.minute - at.minute % _SLOT_MINUTES, second=0, microsecond=0)
