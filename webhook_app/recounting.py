"""The counts held against the messages they are about, and put right: `wasl db recount`.

Nobody waits for it. A message and its count change in one transaction, and a fold moves counts without changing their
sum; so what a count lacks stays the same, whoever writes meanwhile. One statement sees one moment, and what it finds
lacking is appended afterwards, as one more delta. The same holds for what a fold sums the tally up to: it adds as much
there as to the tally. Only two recounts at once must not both append.

Slots are held against the messages: the tally does not know them. One hour fewer of them than folds keep, so that no
fold forgets meanwhile what a recount looks at.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Interval,
    Select,
    String,
    case,
    cast,
    extract,
    func,
    insert,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy import type_coerce as read_as
from sqlalchemy.orm import Session

from . import counting, merging
from .counting import MESSAGES, PARTS, Counts
from .database import Database, UtcDateTime
from .ids import first_id
from .models import COUNT_SUMS, PART_SUMS, TO_BE_DERIVED, Delta, Message, Moment, Tally
from .status import CLOSED_SENDS, Status

_REPAIRED = "counts repaired"
_MESSAGES = MESSAGES.tally.__tablename__
_DERIVED_AT_ONCE = 500
_SLACK = timedelta(hours=1)
_SLOT_S = int(counting.SLOT.total_seconds())
_SLOT_MINUTES = _SLOT_S // 60
_UUID_PARTS = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What is counted under one key, and by how much it falls short of the messages, or of the tally it sums up."""

    counts: str  # the tally's table
    key: Mapping[str, Any]  # named as its columns
    short: Mapping[str, int]  # by COUNT_SUMS or PART_SUMS; negative: too much is counted


@dataclass(frozen=True, kw_only=True)
class Recount:
    messages: int  # there are
    differences: tuple[Difference, ...]


def recount(database: Database, *, check_only: bool = False, now: datetime | None = None) -> Recount:
    """Count the messages, compare, and put the counts right unless `check_only`; tells what differed before."""
    while not check_only and derive_again(database):
        pass
    while True:
        with database.reading() as session:
            repaired_at = _repaired_at(session)  # first: what is repaired after this is noticed
            slots = tuple(_slot_differences(session, now or datetime.now(UTC), database.is_sqlite))
            found = (*_differences(session, database.is_sqlite), *slots)
            messages = _count(session) + sum(each.short["messages"] for each in found if each.counts == _MESSAGES)
        if not found or check_only or _append(database, found, repaired_at):
            return Recount(messages=messages, differences=found)


def recount_slots(database: Database, now: datetime | None = None) -> None:
    """As `recount`, of slots alone: of the last hours, so that it costs little at any size."""
    while True:
        with database.reading() as session:
            repaired_at = _repaired_at(session)
            found = tuple(_slot_differences(session, now or datetime.now(UTC), database.is_sqlite))
        if not found or _append(database, found, repaired_at):
            return


def derive_again(database: Database) -> int:
    """Let the next few messages that were closed by older code be counted in the pictures too; returns how many.

    Runs beside whatever else is written. 0: none is left that nobody holds.
    """
    with database.reading() as session:  # almost always there is none, and no need to wait for who writes
        if session.scalar(select(Message.id).where(TO_BE_DERIVED).limit(1)) is None:
            return 0
    with database.writing() as connection:
        return merging.derive_next(connection, _DERIVED_AT_ONCE)


def _append(database: Database, found: Iterable[Difference], repaired_at: datetime | None) -> bool:
    """Add what lacks; False when another recount was quicker."""
    lacking: dict[str, list[Difference]] = defaultdict(list)
    for difference in found:
        lacking[difference.counts].append(difference)
    with database.transaction() as session:
        database.one_at_a_time(session, _REPAIRED)
        if _repaired_at(session) != repaired_at:
            return False
        session.merge(Moment(name=_REPAIRED, at=datetime.now(UTC)))
        for counts in (MESSAGES, PARTS):
            # Without a slot: those have differences of their own.
            if rows := [{**each.key, **each.short} for each in lacking[counts.tally.__tablename__]]:
                session.execute(insert(counts.deltas), rows)
            for tally, key in (*counts.summed_up.items(), *counts.slots.items()):
                sums = {tuple(each.key.values()): tuple(each.short.values()) for each in lacking[tally.__tablename__]}
                counting.add_to_tally(session, tally, key, counts.sums, sums)
        return True


def _repaired_at(session: Session) -> datetime | None:
    return session.scalar(select(Moment.at).where(Moment.name == _REPAIRED))


def _differences(session: Session, is_sqlite: bool) -> Iterator[Difference]:
    for counts in (MESSAGES, PARTS):
        counted = [_columns(table, counts.key, counts.sums) for table in (counts.tally, counts.deltas)]
        due = _due(counts, counts.key, is_sqlite)
        yield from _differing(session, due, counted, counts.tally, counts.key, counts.sums)
        for tally, key in counts.summed_up.items():
            summed_up = [_of_tally(counts.tally, key, counts.sums, is_sqlite)]
            yield from _differing(session, summed_up, [_columns(tally, key, counts.sums)], tally, key, counts.sums)


def _slot_differences(session: Session, now: datetime, is_sqlite: bool) -> Iterator[Difference]:
    since = counting.slots_since(now) + _SLACK
    for counts in (MESSAGES, PARTS):
        for tally, key in counts.slots.items():
            due = [each.where(Message.id >= first_id(since)) for each in _due(counts, key, is_sqlite)]
            counted = [_columns(table, key, counts.sums).where(table.slot >= since) for table in (tally, counts.deltas)]
            yield from _differing(session, due, counted, tally, key, counts.sums)


def _due(counts: Counts, key: Sequence[str], is_sqlite: bool) -> list[Select[Any]]:
    """What the messages come to."""
    return [_of_messages(key, is_sqlite)] if counts is MESSAGES else [*_of_closed_messages(key, is_sqlite)]


def _columns(table: Any, key: Sequence[str], sums: Sequence[str]) -> Select[Any]:
    """What is counted there, to be taken off."""
    columns = {column.name: column for column in table.__table__.c}
    if "slot" in key and "part" in key:
        columns |= _part_as_in_slots(columns)
    return select(*(columns[name].label(name) for name in key), *(-columns[name] for name in sums))


def _part_as_in_slots(columns: Mapping[str, Any]) -> dict[str, ColumnElement[Any]]:
    """As `counting` has it."""
    told_apart = {"carrier": "took", "channel": "path"}
    return {
        name: case((columns["part"] == part, columns[name]), else_=literal("")) for name, part in told_apart.items()
    }


def _differing(
    session: Session,
    due: Iterable[Select[Any]],
    counted: Iterable[Select[Any]],
    tally: Any,
    key: Sequence[str],
    sums: Sequence[str],
) -> Iterator[Difference]:
    """By key: what there must be, less what is counted, where that leaves anything."""
    both = union_all(*due, *counted).subquery()
    named = [both.c[name] for name in key]
    # PostgreSQL sums whole numbers to decimals.
    short = [cast(func.sum(both.c[name]), BigInteger).label(name) for name in sums]
    differs = or_(*(func.sum(both.c[name]) != 0 for name in sums))
    found = session.execute(select(*named, *short).group_by(*named).having(differs).order_by(*named))
    for row in found.mappings():
        yield Difference(
            counts=tally.__tablename__,
            key={name: row[name] for name in key},
            short={name: row[name] for name in sums},
        )


def _of_messages(key: Sequence[str], is_sqlite: bool) -> Select[Any]:
    """Where and what each message counts, as `counting` says it, in SQL; a test holds the two together."""
    in_doubt = Message.charged_iqd.is_(None) & Message.send_state.in_((Status.SENDING, Status.UNCONFIRMED))
    said: dict[str, ColumnElement[Any]] = {
        "hour": _hour(is_sqlite),
        "slot": _slot(is_sqlite),
        "status": Message.status.expression,
        "carrier": Message.carrier.expression,
        "channel": func.coalesce(Message.channel, ""),
        "sms_type": Message.sms_type.expression,
        "sender_id": func.coalesce(Message.sender_id, ""),
        "source": func.coalesce(_source(is_sqlite), ""),
        "is_sample": Message.is_sample.expression,
        "messages": literal(1),
        "charged_iqd": func.coalesce(Message.charged_iqd, 0),
        "at_risk_iqd": case((in_doubt, func.coalesce(Message.estimate_iqd, 0)), else_=0),
    }
    return select(*(said[name].label(name) for name in (*key, *COUNT_SUMS)))


def _of_closed_messages(key: Sequence[str], is_sqlite: bool) -> Iterator[Select[Any]]:
    """The same for the parts."""
    charged_iqd = func.coalesce(Message.charged_iqd, 0)
    path, seconds = Message.path.expression, Message.fallback_s.expression
    yield _of_part("path", key, is_sqlite, word=path, seconds=seconds, charged_iqd=charged_iqd).where(path != "")
    yield _of_part("took", key, is_sqlite, place=Message.took_bucket.expression).where(Message.took_bucket.is_not(None))
    failed = func.substr(func.coalesce(Message.reason, ""), 1, counting.REASON_LENGTH)
    kind = func.coalesce(Message.outcome["kind"].as_string(), "")
    word = case((Message.status == Status.FAILED, failed), else_=literal(counting.SEND_REASON).concat(kind))
    has_failed = Message.status.in_((Status.FAILED, *CLOSED_SENDS)) & Message.path.is_not(None)
    yield _of_part("reason", key, is_sqlite, word=word, charged_iqd=charged_iqd).where(has_failed)
    went_out = Message.status.not_in(CLOSED_SENDS) & Message.path.is_not(None)
    yield _of_part("repeat", key, is_sqlite, charged_iqd=charged_iqd).where(Message.is_repeat, went_out)


def _of_part(part: str, key: Sequence[str], is_sqlite: bool, **own: ColumnElement[Any]) -> Select[Any]:
    said: dict[str, ColumnElement[Any]] = {
        "hour": _hour(is_sqlite),
        "slot": _slot(is_sqlite),
        "part": literal(part),
        "carrier": Message.carrier.expression,
        "channel": func.coalesce(Message.channel, ""),
        "word": literal(""),
        "place": literal(0),
        "is_sample": Message.is_sample.expression,
        "messages": literal(1),
        "seconds": literal(0),
        "charged_iqd": literal(0),
        **own,
    }
    if "slot" in key:
        said |= _part_as_in_slots(said)
    return select(*(said[name].label(name) for name in (*key, *PART_SUMS)))


def _of_tally(tally: Any, key: Sequence[str], sums: Sequence[str], is_sqlite: bool) -> Select[Any]:
    """What is summed up from a tally."""
    columns = tally.__table__.c
    said = [_day(columns.hour, is_sqlite) if name == "day" else columns[name] for name in key]
    named = [column.label(name) for name, column in zip(key, said, strict=True)]
    return select(*named, *(columns[name] for name in sums))


def _day(hour: ColumnElement[Any], is_sqlite: bool) -> ColumnElement[Any]:
    """As `counting.day_of`."""
    if is_sqlite:
        day = func.strftime("%Y-%m-%d 21:00:00.000000", read_as(hour, String), "-21 hours")
        return read_as(day, UtcDateTime)
    begins = literal(counting.DAY_BEGINS, Interval)
    return read_as(func.date_trunc("day", hour - begins, "UTC") + begins, UtcDateTime)


def _hour(is_sqlite: bool) -> ColumnElement[Any]:
    if is_sqlite:  # keeps times as text in UTC, such as 2026-11-22 09:59:59.000000
        return read_as(func.substr(read_as(Message.created_at, String), 1, 13).concat(":00:00.000000"), UtcDateTime)
    return func.date_trunc("hour", Message.created_at, "UTC", type_=UtcDateTime)


def _slot(is_sqlite: bool) -> ColumnElement[Any]:
    if is_sqlite:
        at = read_as(Message.created_at, String)
        minute = cast(func.substr(at, 15, 2), Integer)
        began = func.printf("%02d", minute - minute % _SLOT_MINUTES)
        return read_as(func.substr(at, 1, 14).concat(began).concat(":00.000000"), UtcDateTime)
    # By seconds since 1970: minutes would be those of the session's time zone.
    seconds = func.floor(extract("epoch", Message.created_at) / _SLOT_S) * _SLOT_S
    return func.to_timestamp(seconds, type_=UtcDateTime)


def _source(is_sqlite: bool) -> ColumnElement[Any]:
    if is_sqlite:  # keeps ids as 32 digits without dashes
        digits = read_as(Message.source_id, String)
        first, *others = (func.substr(digits, start, length, type_=String) for start, length in _UUID_PARTS)
        return reduce(lambda known, part: known.concat("-").concat(part), others, first)
    return cast(Message.source_id, String)


def _count(session: Session) -> int:
    tables = union_all(*(select(table.messages) for table in (Tally, Delta))).subquery()
    return int(session.scalar(select(func.sum(tables.c.messages))) or 0)
