"""The overview: one range beside the one before it, from the counts, never from all the messages."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from ..database import Database
from ..models import Message
from ..phone import Carrier
from ..status import OUTCOMES, TAKEN
from . import tallies
from .fallback import fallback
from .health import failed_by, health, most_of, stands_out
from .messages import newest
from .overview_rows import Bucket, Cell, Overview, Pace, ReasonCount, Sums, WeekHour, percent
from .ranges import Range
from .tallies import CellCount, HourCount, PartCount, Settled, percentile_s

_LISTED = 10
_WEEK_DAYS = 7
_P95 = 0.95
_Timed = TypeVar("_Timed", HourCount, PartCount)
_CARRIERS = tuple(str(carrier) for carrier in Carrier)
_IS_ANY = select(exists(select(Message.id)), exists(select(Message.id).where(Message.status.in_(TAKEN))))


def overview(database: Database, range_: Range) -> Overview:
    """Everything on the page. Every message of the range is in the bars, the cells and the tiles, once in each."""
    start, end, by_slot = range_.start, range_.end, range_.is_by_slot
    with database.reading() as session:
        is_any, is_out = session.execute(_IS_ANY).one()
        times, took = _over_time(session, range_)
        current = _between(times, start, end)
        took_current = _between(took, start, end)
        buckets = _buckets(range_, current)
        worst = _worst(buckets)
        return Overview(
            range=range_,
            messages=_messages(current),
            delivered_percent=_delivered_percent(current),
            p95_s=_p95_s(took_current),
            spend_iqd=sum(count.charged_iqd for count in current),
            at_risk_iqd=sum(count.at_risk_iqd for count in current),
            over=_sums(_between(times, start, range_.over_end), _between(took, start, range_.over_end)),
            before=_sums(
                _between(times, range_.before, range_.before_end), _between(took, range_.before, range_.before_end)
            ),
            buckets=buckets,
            pace=_pace(range_, took_current),
            worst=worst,
            worst_carrier=_carrier_of_most(session, worst, by_slot=by_slot) if worst else None,
            cells=_cells(tallies.cells(session, start, end, "carrier", "channel", "status", by_slot=by_slot)),
            fallback=fallback(tallies.parts(session, "path", start, end, "channel", "word", by_slot=by_slot)),
            paces=_paces(tallies.parts(session, "took", start, end, "carrier", "place", by_slot=by_slot)),
            week=_week(tallies.settled(session, start, end), range_.zone) if range_.days >= _WEEK_DAYS else None,
            reasons=_reasons(tallies.parts(session, "reason", start, end, "word", by_slot=by_slot)),
            health=health(session, range_.at),
            failures=newest(session, range_.at, _LISTED, OUTCOMES["failed"]),
            has_sample=any(count.samples for count in current),
            is_empty=not is_any,
            is_out=is_out,
        )


def _over_time(session: Session, range_: Range) -> tuple[list[HourCount], list[PartCount]]:
    """Messages by status, and how long they took, of this range and the one before, in as few spans as bars and
    comparison need."""
    compared = {range_.before, range_.before_end, range_.over_end}
    times = tallies.days(session, sorted({*compared, *range_.edges}), by_slot=range_.is_by_slot)
    took_edges = sorted({*compared, *range_.pace_edges})
    return times, tallies.day_parts(session, "took", took_edges, "hour", "place", by_slot=range_.is_by_slot)


def _between(counts: Iterable[_Timed], start: datetime, end: datetime) -> list[_Timed]:
    """Those of the spans that begin there."""
    return [count for count in counts if count.hour is not None and start <= count.hour < end]


def _buckets(range_: Range, times: Iterable[HourCount]) -> tuple[Bucket, ...]:
    times_of: dict[int, list[HourCount]] = defaultdict(list)
    for count in times:
        times_of[bisect_right(range_.edges, count.hour)].append(count)
    return tuple(
        _bucket(start, end, times_of[place]) for place, (start, end) in enumerate(pairwise(range_.edges), start=1)
    )


def _bucket(start: datetime, end: datetime, hours: Sequence[HourCount]) -> Bucket:
    delivered, failed = _sum(hours, "delivered"), _sum(hours, "failed")
    return Bucket(
        start=start,
        end=end,
        delivered=delivered,
        failed=failed,
        waiting=_messages(hours) - delivered - failed,
        spend_iqd=sum(hour.charged_iqd for hour in hours),
    )


def _pace(range_: Range, took: Iterable[PartCount]) -> tuple[float | None, ...]:
    edges = range_.pace_edges
    took_of: dict[int, list[PartCount]] = defaultdict(list)
    for part in took:
        took_of[bisect_right(edges, part.hour or range_.start)].append(part)
    begun = bisect_right(edges[:-1], range_.at)
    return tuple(_p95_s(took_of[place]) for place in range(1, begun + 1))


def _worst(buckets: Sequence[Bucket]) -> Bucket | None:
    """The bar in which failures jumped: of those that stand out the one with the greatest share."""
    jumped = [one for one in buckets if stands_out(one, (other for other in buckets if other is not one))]
    return max(jumped, key=lambda bucket: bucket.failed / (bucket.delivered + bucket.failed), default=None)


def _carrier_of_most(session: Session, worst: Bucket, *, by_slot: bool) -> str | None:
    cells = tallies.cells(session, worst.start, worst.end, "carrier", "status", by_slot=by_slot)
    return most_of(failed_by("carrier", cells))


def _cells(counts: Iterable[CellCount]) -> tuple[Cell, ...]:
    by_cell: dict[tuple[str, str], list[CellCount]] = defaultdict(list)
    for count in counts:
        by_cell[count.carrier or "", count.channel or ""].append(count)
    return tuple(
        Cell(
            carrier=carrier,
            channel=channel,
            **{outcome: _sum(found, outcome) for outcome in OUTCOMES},
            spend_iqd=sum(count.charged_iqd for count in found),
        )
        for (carrier, channel), found in sorted(
            by_cell.items(), key=lambda item: (_CARRIERS.index(item[0][0]), item[0])
        )
    )


def _paces(took: Iterable[PartCount]) -> tuple[Pace, ...]:
    by_carrier: dict[str, Counter[int]] = defaultdict(Counter)
    for part in took:
        by_carrier[part.carrier or ""][part.place or 0] += part.messages
    return tuple(
        Pace(
            carrier=carrier,
            messages=places.total(),
            p50_s=percentile_s(places, 0.5) or 0.0,
            p95_s=percentile_s(places, _P95) or 0.0,
        )
        for carrier, places in sorted(by_carrier.items(), key=lambda item: _CARRIERS.index(item[0]))
        if places.total()
    )


def _week(hours: Iterable[Settled], zone: ZoneInfo) -> tuple[WeekHour, ...]:
    by_place: dict[tuple[int, int], list[Settled]] = defaultdict(list)
    for hour in hours:
        local = hour.hour.astimezone(zone)
        by_place[(local.weekday() + 2) % _WEEK_DAYS, local.hour].append(hour)  # Python's week starts on Monday
    return tuple(
        WeekHour(
            day=day,
            hour=hour,
            delivered=sum(one.delivered for one in found),
            failed=sum(one.failed for one in found),
            times=len(found),
            last_start=max(one.hour for one in found),
        )
        for (day, hour), found in sorted(by_place.items())
    )


def _reasons(parts: Iterable[PartCount]) -> tuple[ReasonCount, ...]:
    counts = [ReasonCount(word=part.word or "", messages=part.messages) for part in parts]
    return tuple(sorted(counts, key=lambda reason: (-reason.messages, reason.word)))


def _sums(hours: Sequence[HourCount], took: Iterable[PartCount]) -> Sums:
    return Sums(
        messages=_messages(hours),
        delivered_percent=_delivered_percent(hours),
        p95_s=_p95_s(took),
        spend_iqd=sum(hour.charged_iqd for hour in hours),
    )


def _p95_s(took: Iterable[PartCount]) -> float | None:
    places: Counter[int] = Counter()
    for part in took:
        places[part.place or 0] += part.messages
    return percentile_s(places, _P95)


def _delivered_percent(hours: Sequence[HourCount]) -> float | None:
    return percent(_sum(hours, "delivered"), _sum(hours, "failed"))


def _messages(hours: Iterable[HourCount]) -> int:
    return sum(hour.messages for hour in hours)


def _sum(counts: Iterable[HourCount | CellCount], outcome: str) -> int:
    return sum(count.messages for count in counts if count.status in OUTCOMES[outcome])
