"""The one reader of counts: sums over a range of hours, from the tallies and the deltas not folded yet.

A tally and its deltas are read in one statement, so that a fold in between is seen whole or not at all. Whole days
(Iraq's) are read by the day, so that a month is few rows, however many messages.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    Select,
    Table,
    case,
    cast,
    column,
    func,
    or_,
    select,
    union_all,
    values,
)
from sqlalchemy.orm import Session

from .. import counting
from ..database import UtcDateTime
from ..models import (
    COUNT_SUMS,
    PART_SUMS,
    CellTally,
    DayCellTally,
    DayPartTally,
    DayTally,
    Delta,
    HourTally,
    PartDelta,
    PartTally,
)
from ..status import OUTCOMES


@dataclass(frozen=True, kw_only=True)
class HourCount:
    """Messages asked for in one hour that have one status now."""

    hour: datetime
    status: str
    messages: int
    samples: int  # among `messages`
    charged_iqd: int
    at_risk_iqd: int


@dataclass(frozen=True, kw_only=True)
class CellCount:
    """Messages that are alike in what was asked for; the rest is None. `channel` is "" where none is known."""

    hour: datetime | None = None
    carrier: str | None = None
    channel: str | None = None
    status: str | None = None
    messages: int
    charged_iqd: int
    at_risk_iqd: int


@dataclass(frozen=True, kw_only=True)
class PartCount:
    """Closed messages that are alike in what was asked for; the rest is None. See `models` for the parts' words."""

    hour: datetime | None = None
    carrier: str | None = None
    channel: str | None = None
    word: str | None = None
    place: int | None = None
    messages: int
    seconds: int
    charged_iqd: int


@dataclass(frozen=True, kw_only=True)
class Settled:
    """Messages asked for in one hour of which it is known what became of them."""

    hour: datetime
    delivered: int
    failed: int


Count = TypeVar("Count", HourCount, CellCount, PartCount, Settled)


def hours(session: Session, start: datetime, end: datetime) -> list[HourCount]:
    """By hour and status, in that order; `start` <= hour < `end`."""
    found = _by_hour(session, _BY_STATUS, start, end, ("hour", "status"), _BY_STATUS_SUMS)
    return _each(HourCount, found)


def cells(session: Session, start: datetime, end: datetime, *by: str) -> list[CellCount]:
    """By what is named of hour, carrier, channel and status; in that order."""
    read = _by_hour if "hour" in by else _in_all
    return _each(CellCount, read(session, _BY_CELL, start, end, by, COUNT_SUMS))


def parts(session: Session, part: str, start: datetime, end: datetime, *by: str) -> list[PartCount]:
    """Of `part` (took, path or reason) by what is named of hour, carrier, channel, word and place; in that order."""
    read = _by_hour if "hour" in by else _in_all
    return _each(PartCount, read(session, _BY_PART, start, end, by, PART_SUMS, part=part))


def days(session: Session, edges: Sequence[datetime]) -> list[HourCount]:
    """As `hours`, those of each span added up: `edges` are one more than spans, and `hour` is a span's start."""
    found = _by_span(session, _BY_STATUS, edges, ("hour", "status"), _BY_STATUS_SUMS)
    return _each(HourCount, found)


def day_cells(session: Session, edges: Sequence[datetime], *by: str) -> list[CellCount]:
    """As `cells`, with the spans of `days`."""
    return _each(CellCount, _by_span(session, _BY_CELL, edges, by, COUNT_SUMS))


def day_parts(session: Session, part: str, edges: Sequence[datetime], *by: str) -> list[PartCount]:
    """As `parts`, with the spans of `days`."""
    return _each(PartCount, _by_span(session, _BY_PART, edges, by, PART_SUMS, part=part))


def settled(session: Session, start: datetime, end: datetime) -> list[Settled]:
    """What was delivered and what failed, by the hour; hours of which nothing is settled are left out."""
    found = _by_hour(session, _BY_STATUS, start, end, ("hour",), ("delivered", "failed"))
    return _each(Settled, found)


def charged_iqd(session: Session, start: datetime, end: datetime) -> int:
    """For all messages asked for in these hours."""
    found = _in_all(session, _BY_STATUS, start, end, (), ("charged_iqd",))
    return int(found[0].charged_iqd) if found else 0


def first_hour(session: Session) -> datetime | None:
    """The hour that the first message was asked for in; None without any."""
    firsts = (session.scalar(select(func.min(model.hour))) for model in (HourTally, Delta))
    return min((hour for hour in firsts if hour is not None), default=None)


def percentile_s(counts: Mapping[int, int], share: float) -> float | None:
    """The seconds within which `share` of the messages were delivered, of how many took which bucket; evenly spread
    within a bucket. None without any."""
    left = share * sum(counts.values())
    for bucket, messages in sorted(counts.items()):
        if messages and left <= messages:
            low, high = counting.bucket_edges(bucket)
            return low + (high - low) * max(0.0, left) / messages
        left -= messages
    return None


def _each(kind: type[Count], found: Sequence[Row[Any]]) -> list[Count]:
    names = found[0]._fields if found else ()
    return [kind(**dict(zip(names, row, strict=True))) for row in found]  # by `_mapping` it takes twice as long


@dataclass(frozen=True, kw_only=True)
class _Read:
    """Where the same is counted: by the day, by the hour, and not folded yet."""

    days: Table
    hours: Table
    deltas: Table


def _read(*models: Any) -> _Read:
    days, hours, deltas = (model.__table__ for model in models)
    return _Read(days=days, hours=hours, deltas=deltas)


_BY_STATUS, _BY_STATUS_SUMS = _read(DayTally, HourTally, Delta), (*COUNT_SUMS, "samples")
_BY_CELL = _read(DayCellTally, CellTally, Delta)
_BY_PART = _read(DayPartTally, PartTally, PartDelta)


def _by_hour(
    session: Session, read: _Read, start: datetime, end: datetime, by: Sequence[str], sums: Sequence[str], **alike: str
) -> Sequence[Row[Any]]:
    selects = [
        _of(table, by, sums, alike).where(table.c.hour >= start, table.c.hour < end)
        for table in (read.hours, read.deltas)
    ]
    return _summed(session, selects, by, sums)


def _in_all(
    session: Session, read: _Read, start: datetime, end: datetime, by: Sequence[str], sums: Sequence[str], **alike: str
) -> Sequence[Row[Any]]:
    selects = [
        _of(table, by, sums, alike).where(_began(table) >= from_, _began(table) < until)
        for table, pieces in _pieces(read, start, end).items()
        for from_, until in pieces
    ]
    return _summed(session, selects, by, sums)


def _by_span(
    session: Session, read: _Read, edges: Sequence[datetime], by: Sequence[str], sums: Sequence[str], **alike: str
) -> Sequence[Row[Any]]:
    pieces: dict[Table, list[tuple[datetime, datetime, datetime]]] = defaultdict(list)
    for start, end in pairwise(edges):
        for table, found in _pieces(read, start, end).items():
            pieces[table] += [(start, *piece) for piece in found]
    selects = []
    for table, spans in pieces.items():
        if not spans:  # whole days only, or none: PostgreSQL has no empty VALUES
            continue
        span = values(*_SPAN, name=f"span_{table.name}").data(spans).cte()
        inside = (_began(table) >= span.c.from_, _began(table) < span.c.until)
        selects.append(_of(table, by, sums, alike, hour=span.c.start).where(*inside))
    return _summed(session, selects, by, sums)


_DAY = timedelta(days=1)
_SPAN = [column(name, UtcDateTime) for name in ("start", "from_", "until")]


def _pieces(read: _Read, start: datetime, end: datetime) -> dict[Table, list[tuple[datetime, datetime]]]:
    """Where to read a range: whole days by the day, what is left at its ends by the hour."""
    first, last = counting.day_of(start), counting.day_of(end)
    first += _DAY if first < start else timedelta(0)
    if first >= last:
        return {read.hours: [(start, end)], read.deltas: [(start, end)]}
    ends = [(from_, until) for from_, until in ((start, first), (last, end)) if from_ < until]
    return {read.days: [(first, last)], read.hours: ends, read.deltas: [(start, end)]}


def _began(table: Table) -> ColumnElement[datetime]:
    return table.c.day if "day" in table.c else table.c.hour


def _summed(
    session: Session, selects: Sequence[Select[Any]], by: Sequence[str], sums: Sequence[str]
) -> Sequence[Row[Any]]:
    """One statement, so that a fold in between is seen whole or not at all."""
    both = union_all(*selects).subquery()
    key = [both.c[name] for name in by]
    # PostgreSQL sums whole numbers to decimals.
    summed = [cast(func.sum(both.c[name]), BigInteger).label(name) for name in sums]
    is_any = or_(*(func.sum(both.c[name]) != 0 for name in sums))  # what all have left is nothing any more
    return session.execute(select(*key, *summed).group_by(*key).having(is_any).order_by(*key)).all()


def _if(table: Table, condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, table.c.messages), else_=0)


# Sums that are no column's own.
_SUMMED: Mapping[str, Callable[[Table], ColumnElement[int]]] = {
    "samples": lambda table: _if(table, table.c.is_sample),
    "delivered": lambda table: _if(table, table.c.status.in_(OUTCOMES["delivered"])),
    "failed": lambda table: _if(table, table.c.status.in_(OUTCOMES["failed"])),
}


def _of(
    table: Table, by: Sequence[str], sums: Sequence[str], alike: Mapping[str, str], **instead: ColumnElement[Any]
) -> Select[Any]:
    named = [(instead[name] if name in instead else table.c[name]).label(name) for name in by]
    chosen = [(_SUMMED[name](table) if name in _SUMMED else table.c[name]).label(name) for name in sums]
    return select(*named, *chosen).where(*(table.c[name] == value for name, value in alike.items()))
