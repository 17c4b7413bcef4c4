"""Counts that cost the same at any size: deltas appended with each change, folded into hourly tallies now and then.

`count_tables` says what is counted. What is true at any moment is a tally plus its deltas not folded yet. Whoever folds
sums it up further as well, for pages that want few rows: that costs those who write nothing.
"""

import random
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    DAY_PART_KEY,
    HOUR_KEY,
    PART_KEY,
    PART_SUMS,
    CellTally,
    DayCellTally,
    DayPartTally,
    DayTally,
    Delta,
    HourTally,
    PartDelta,
    PartTally,
    Tally,
    at_risk_iqd,
)
from .status import CLOSED_SENDS, Status

Key = tuple[Any, ...]
Amounts = Sequence[int]  # three, whatever is summed
Sums = dict[Key, list[int]]
Change = tuple[Mapping[str, Any] | None, Mapping[str, Any]]  # a message's columns before (None: new) and after

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
    key: Sequence[str]  # of both
    sums: Sequence[str]
    summed_up: Mapping[Any, Sequence[str]]


MESSAGES = Counts(
    deltas=Delta,
    tally=Tally,
    key=COUNT_KEY,
    sums=COUNT_SUMS,
    summed_up={HourTally: HOUR_KEY, DayTally: DAY_KEY, CellTally: CELL_KEY, DayCellTally: DAY_CELL_KEY},
)
PARTS = Counts(deltas=PartDelta, tally=PartTally, key=PART_KEY, sums=PART_SUMS, summed_up={DayPartTally: DAY_PART_KEY})


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


def fold(database: Database) -> int:
    """Move deltas into the tallies, in one transaction; returns how many. Two at once fold different ones."""
    with database.transaction() as session:
        return sum(_fold(session, counts) for counts in (MESSAGES, PARTS))


def fold_now_and_then(database: Database) -> None:
    """Called after a write: on average every 500th call folds, so that deltas stay few without a process for it."""
    if random.randrange(_FOLD_EVERY) == 0:  # noqa: S311 - no secret
        fold(database)


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
    return [_row(COUNT_KEY, COUNT_SUMS, key, amounts) for key, amounts in sums.items() if any(amounts)]


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
    return [_row(PART_KEY, PART_SUMS, key, amounts) for key, amounts in sums.items() if any(amounts)]


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


def _fold(session: Session, counts: Counts) -> int:
    deltas = counts.deltas
    oldest = select(deltas.id).order_by(deltas.id).limit(_FOLD_AT_ONCE).with_for_update(skip_locked=True)
    ids = session.scalars(oldest).all()
    if not ids:
        return 0
    columns = [getattr(deltas, name) for name in (*counts.key, *counts.sums)]
    moved = session.execute(delete(deltas).where(deltas.id.in_(ids)).returning(*columns)).all()
    sums: Sums = defaultdict(_nothing)
    for row in moved:
        _add(sums, tuple(row[: len(counts.key)]), row[len(counts.key) :], 1)
    add_to_tally(session, counts.tally, counts.key, counts.sums, sums)
    for tally, key in counts.summed_up.items():
        add_to_tally(session, tally, key, counts.sums, _summed_up(sums, counts.key, key))
    return len(moved)


def _summed_up(sums: Sums, key: Sequence[str], wanted: Sequence[str]) -> Sums:
    """By fewer words, and by the day where that is the first of them."""
    by_day, places = wanted[0] == "day", [key.index(name) for name in wanted[1:]]
    found: Sums = defaultdict(_nothing)
    for place, amounts in sums.items():
        began = day_of(place[0]) if by_day else place[0]
        _add(found, (began, *(place[at] for at in places)), amounts, 1)
    return found


def _row(key: Sequence[str], sums: Sequence[str], place: Key, amounts: Sequence[int]) -> dict[str, Any]:
    return dict(zip((*key, *sums), (*place, *amounts), strict=True))


def _count_of(message: Mapping[str, Any]) -> tuple[Key, Amounts]:
    """Where a message of these columns is counted (in the order of COUNT_KEY), and what it adds (COUNT_SUMS)."""
    key = (
        _hour(message),
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
    """Where a closed message is counted in the pictures (PART_KEY), and what it adds (PART_SUMS)."""
    hour, of, charged_iqd = _hour(message), (str(message["carrier"]), message["channel"] or ""), message["charged_iqd"]
    is_sample = message["is_sample"]
    if message["path"]:
        yield (hour, "path", *of, message["path"], 0, is_sample), (1, message["fallback_s"], charged_iqd or 0)
    if message["took_bucket"] is not None:
        yield (hour, "took", *of, "", message["took_bucket"], is_sample), (1, 0, 0)
    if (word := _reason_of(message)) is not None:
        yield (hour, "reason", *of, word, 0, is_sample), (1, 0, charged_iqd or 0)


def _reason_of(message: Mapping[str, Any]) -> str | None:
    """Why it failed; None when it did not."""
    if message["status"] == Status.FAILED:
        return (message["reason"] or "")[:REASON_LENGTH]
    if message["status"] in CLOSED_SENDS:
        return SEND_REASON + ((message["outcome"] or {}).get("kind") or "")
    return None


def _hour(message: Mapping[str, Any]) -> Any:
    return message["created_at"].replace(minute=0, second=0, microsecond=0)
