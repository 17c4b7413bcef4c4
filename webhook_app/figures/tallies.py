"""The one reader of counts: sums over a range of hours, from the tallies and the deltas not folded yet.

A tally and its deltas are read in one statement, so that a fold in between is seen whole or not at all. Whole days
(Iraq's) are read by the day, so that a month is few rows, however many messages; `by_slot`, what is within the last
hours is read by the slot, and may begin and end at any.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    Row,
    Select,
    Subquery,
    Table,
    and_,
    bindparam,
    case,
    cast,
    func,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from .. import counting
from ..database import UtcDateTime
from ..models import (
    COUNT_SUMS,
    PART_SUMS,
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
)
from ..status import OUTCOMES

# Named tuples, as a month is a thousand of them: an instance of a data class takes three times as long to make.


class HourCount(NamedTuple):
    """Messages asked for in one hour that have one status now."""

    hour: datetime
    status: str
    messages: int
    samples: int  # among `messages`
    charged_iqd: int
    at_risk_iqd: int


class CellCount(NamedTuple):
    """Messages that are alike in what was asked for; the rest is None. `channel` is "" where none is known."""

    messages: int
    charged_iqd: int
    at_risk_iqd: int
    hour: datetime | None = None
    carrier: str | None = None
    channel: str | None = None
    status: str | None = None


class PartCount(NamedTuple):
    """Closed messages that are alike in what was asked for; the rest is None. See `models` for the parts' words."""

    messages: int
    seconds: int = 0
    charged_iqd: int = 0
    hour: datetime | None = None
    carrier: str | None = None
    channel: str | None = None
    word: str | None = None
    place: int | None = None


class Settled(NamedTuple):
    """Messages asked for in one hour of which it is known what became of them."""

    hour: datetime
    delivered: int
    failed: int


def hours(session: Session, start: datetime, end: datetime) -> list[HourCount]:
    """By hour and status, in that order; `start` <= hour < `end`."""
    found = _by_hour(session, _BY_STATUS, start, end, ("hour", "status"), _BY_STATUS_SUMS)
    return _each(HourCount, found)


def cells(session: Session, start: datetime, end: datetime, *by: str, by_slot: bool = False) -> list[CellCount]:
    """By what is named of hour (not `by_slot`), carrier, channel and status; in that order."""
    if "hour" in by:
        return _each(CellCount, _by_hour(session, _BY_CELL, start, end, by, COUNT_SUMS))
    return day_cells(session, (start, end), *by, by_slot=by_slot)


def parts(
    session: Session, part: str, start: datetime, end: datetime, *by: str, by_slot: bool = False
) -> list[PartCount]:
    """Of `part` (took, path or reason) by what is named of hour (not `by_slot`), carrier, channel, word and place; in
    that order. `by_slot`, only some words are known: see SlotPartTally."""
    if "hour" in by:
        return _each(PartCount, _by_hour(session, _BY_PART, start, end, by, _sums_of(part), part))
    return day_parts(session, part, (start, end), *by, by_slot=by_slot)


def days(session: Session, edges: Sequence[datetime], *, by_slot: bool = False) -> list[HourCount]:
    """As `hours`, those of each span added up: `edges` are one more than spans, and `hour` is a span's start."""
    found = _by_span(session, _BY_STATUS, edges, ("hour", "status"), _BY_STATUS_SUMS, by_slot=by_slot)
    return _each(HourCount, found, edges)


def day_cells(session: Session, edges: Sequence[datetime], *by: str, by_slot: bool = False) -> list[CellCount]:
    """As `cells`, with the spans of `days`."""
    return _each(CellCount, _by_span(session, _BY_CELL, edges, by, COUNT_SUMS, by_slot=by_slot), edges)


def day_parts(
    session: Session, part: str, edges: Sequence[datetime], *by: str, by_slot: bool = False
) -> list[PartCount]:
    """As `parts`, with the spans of `days`."""
    read = _BY_PLACE if {*by} <= {"hour", "place"} else _BY_PART
    return _each(PartCount, _by_span(session, read, edges, by, _sums_of(part), part, by_slot=by_slot), edges)


def settled(session: Session, start: datetime, end: datetime) -> list[Settled]:
    """What was delivered and what failed, by the hour; hours of which nothing is settled are left out."""
    found = _by_hour(session, _BY_STATUS, start, end, ("hour",), ("delivered", "failed"))
    return _each(Settled, found)


def settled_together(session: Session, start: datetime, end: datetime) -> list[Settled]:
    """The same of all these hours as of one, which begins at `start`; none where nothing is settled."""
    found = _by_span(session, _BY_STATUS, (start, end), ("hour",), ("delivered", "failed"))
    return _each(Settled, found, (start, end))


def charged_iqd(session: Session, start: datetime, end: datetime) -> int:
    """For all messages asked for in these hours."""
    found = _by_span(session, _BY_STATUS, (start, end), (), ("charged_iqd",))
    return int(found[0].charged_iqd) if found else 0


def committed_iqd(session: Session, start: datetime, end: datetime) -> int:
    """What these messages were charged, and may yet be."""
    found = _by_span(session, _BY_STATUS, (start, end), (), ("charged_iqd", "at_risk_iqd"))
    return int(found[0].charged_iqd + found[0].at_risk_iqd) if found else 0


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


def _each(kind: Any, found: Sequence[Row[Any]], edges: Sequence[datetime] = ()) -> list[Any]:
    """`edges`, where `hour` is the number of a span among them."""
    if not found:
        return []
    # To name the columns of each row takes four times as long, and a month is a thousand of them.
    names = found[0]._fields
    left_out = [name for name in kind._fields if name not in names]
    defaults = [kind._field_defaults[name] for name in left_out]
    in_order = itemgetter(*([*names, *left_out].index(name) for name in kind._fields))
    if edges and names[0] == "hour":
        return [kind._make(in_order((edges[row[0]], *row[1:], *defaults))) for row in found]
    return [kind._make(in_order((*row, *defaults))) for row in found]


@dataclass(frozen=True, kw_only=True)
class _Read:
    """Where the same is counted: by the day, by the hour, by the slot, and not folded yet."""

    days: Table
    hours: Table
    slots: Table
    deltas: Table


def _read(*models: Any) -> _Read:
    days, hours, slots, deltas = (model.__table__ for model in models)
    return _Read(days=days, hours=hours, slots=slots, deltas=deltas)


_BY_STATUS, _BY_STATUS_SUMS = _read(DayTally, HourTally, SlotTally, Delta), (*COUNT_SUMS, "samples")
_BY_CELL = _read(DayCellTally, CellTally, SlotCellTally, Delta)
_BY_PART = _read(DayPartTally, PartTally, SlotPartTally, PartDelta)
_BY_PLACE = _read(DayPaceTally, PaceTally, SlotPartTally, PartDelta)
_DAY = timedelta(days=1)


def _sums_of(part: str) -> Sequence[str]:
    """How long it took is the widest of them, and has nothing else to sum up."""
    return PART_SUMS[:1] if part == "took" else PART_SUMS


_Span = tuple[int, datetime, datetime]  # its number, where it begins and where it ends


def _by_hour(
    session: Session,
    read: _Read,
    start: datetime,
    end: datetime,
    by: Sequence[str],
    sums: Sequence[str],
    part: str = "",
) -> Sequence[Row[Any]]:
    return session.execute(_hourly(read, tuple(by), tuple(sums), part), {"start": start, "end": end}).all()


def _by_span(
    session: Session,
    read: _Read,
    edges: Sequence[datetime],
    by: Sequence[str],
    sums: Sequence[str],
    part: str = "",
    *,
    by_slot: bool = False,
) -> Sequence[Row[Any]]:
    """By what is named, where `hour` is the number of a span: to read its start in each row takes far longer."""
    spans: dict[str, list[_Span]] = defaultdict(list)
    for nth, (start, end) in enumerate(pairwise(edges)):
        for name, pieces in _pieces(start, end, by_slot=by_slot).items():
            spans[name] += [(nth, *piece) for piece in pieces]
    if not spans:
        return []
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    statement = _spanned(read, tuple(spans), tuple(by), tuple(sums), part, by_slot=by_slot, is_sqlite=is_sqlite)
    return session.execute(statement, _told(spans, is_sqlite=is_sqlite)).all()


def _pieces(start: datetime, end: datetime, *, by_slot: bool) -> dict[str, list[tuple[datetime, datetime]]]:
    """Where to read a span: whole days by the day, what is left at its ends by the hour."""
    if by_slot:
        return {"slots": [(start, end)], "deltas": [(start, end)]}
    first, last = counting.day_of(start), counting.day_of(end)
    first += _DAY if first < start else timedelta(0)
    if first >= last:
        return {"hours": [(start, end)], "deltas": [(start, end)]}
    ends = [(from_, until) for from_, until in ((start, first), (last, end)) if from_ < until]
    return {"days": [(first, last)], **({"hours": ends} if ends else {}), "deltas": [(start, end)]}


# Made once each: to build and to compile a statement costs more than to run it. So spans are data, not part of it.


@cache
def _hourly(read: _Read, by: tuple[str, ...], sums: tuple[str, ...], part: str) -> Select[Any]:
    start, end = bindparam("start", type_=UtcDateTime), bindparam("end", type_=UtcDateTime)
    tables = (read.hours, read.deltas)
    selects = [
        _of(table, by, sums).where(table.c.hour >= start, table.c.hour < end, *_is_of(table, part)) for table in tables
    ]
    return _summed(selects, by, sums)


@cache
def _spanned(
    read: _Read,
    names: tuple[str, ...],
    by: tuple[str, ...],
    sums: tuple[str, ...],
    part: str,
    *,
    by_slot: bool,
    is_sqlite: bool,
) -> Select[Any]:
    selects = []
    for name in names:
        table: FromClause = getattr(read, name)
        span = _spans(name, is_sqlite=is_sqlite)
        began = table.c.day if name == "days" else table.c.slot if by_slot else table.c.hour
        of_part = _is_of(table, part)
        if name == "deltas":
            table = _summed_deltas(read.deltas, began, [word for word in by if word != "hour"], sums, of_part)
            began, of_part = table.c.began, []
        # An outer join, so that no planner reads the table first: a span without a row sums up to nothing, and is left
        # out as such.
        joined = span.outerjoin(table, and_(began >= span.c.from_, began < span.c.until, *of_part))
        selects.append(_of(table, by, sums, hour=span.c.nth).select_from(joined))
    return _summed(selects, by, sums)


def _summed_deltas(
    deltas: Table,
    began: ColumnElement[Any],
    words: Sequence[str],
    sums: Sequence[str],
    of_part: Sequence[ColumnElement[bool]],
) -> Subquery:
    """All of them in few rows: otherwise they would be gone through for each span."""
    key = [began.label("began"), *(deltas.c[name] for name in words)]
    summed = [func.sum(column).label(column.name) for column in _of(deltas, (), sums).selected_columns]
    return select(*key, *summed).where(*of_part).group_by(*key).subquery("deltas_summed")


def _spans(name: str, *, is_sqlite: bool) -> Subquery:
    """The spans that `_told` hands over under this name, as a table."""
    types = {"nth": Integer, "from_": UtcDateTime, "until": UtcDateTime}
    told: list[ColumnElement[Any]]
    if is_sqlite:
        each = func.json_each(bindparam(name)).table_valued("value", name=f"{name}_told")
        told = [func.json_extract(each.c.value, f"$[{n}]", type_=type_) for n, type_ in enumerate(types.values())]
    else:
        told = [
            func.unnest(bindparam(f"{name}_{n}", type_=ARRAY(type_)), type_=type_)
            for n, type_ in enumerate(types.values())
        ]
    return select(*(column.label(label) for column, label in zip(told, types, strict=True))).subquery(f"{name}_span")


def _told(spans: Mapping[str, Sequence[_Span]], *, is_sqlite: bool) -> dict[str, Any]:
    if is_sqlite:
        return {
            name: json.dumps([(nth, _as_text(from_), _as_text(until)) for nth, from_, until in told])
            for name, told in spans.items()
        }
    return {f"{name}_{n}": [span[n] for span in told] for name, told in spans.items() for n in range(3)}


def _as_text(at: datetime) -> str:
    """As SQLite keeps times: in UTC, without saying so."""
    return at.astimezone(UTC).isoformat(" ", "microseconds")[:-6]


def _summed(selects: Sequence[Select[Any]], by: Sequence[str], sums: Sequence[str]) -> Select[Any]:
    """One statement, so that a fold in between is seen whole or not at all."""
    both = union_all(*selects).subquery()
    key = [both.c[name] for name in by]
    # PostgreSQL sums whole numbers to decimals.
    summed = [cast(func.sum(both.c[name]), BigInteger).label(name) for name in sums]
    is_any = or_(*(func.sum(both.c[name]) != 0 for name in sums))  # what all have left is nothing any more
    return select(*key, *summed).group_by(*key).having(is_any).order_by(*key)


def _if(table: FromClause, condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, table.c.messages), else_=0)


# Sums that are no column's own.
_SUMMED: Mapping[str, Callable[[FromClause], ColumnElement[int]]] = {
    "samples": lambda table: _if(table, table.c.is_sample),
    "delivered": lambda table: _if(table, table.c.status.in_(OUTCOMES["delivered"])),
    "failed": lambda table: _if(table, table.c.status.in_(OUTCOMES["failed"])),
}


def _of(table: FromClause, by: Sequence[str], sums: Sequence[str], **instead: ColumnElement[Any]) -> Select[Any]:
    named = [(instead[name] if name in instead else table.c[name]).label(name) for name in by]
    chosen = [(table.c[name] if name in table.c else _SUMMED[name](table)).label(name) for name in sums]
    return select(*named, *chosen)


def _is_of(table: FromClause, part: str) -> list[ColumnElement[bool]]:
    return [table.c.part == part] if part else []
