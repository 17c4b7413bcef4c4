"""The overview: one range beside the one before it, from the counts, never from the messages."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from sqlalchemy import case, func, select, union_all
from sqlalchemy.orm import Session

from ..database import Database
from ..models import COUNT_SUMS, Delta, Tally
from ..status import OUTCOMES
from .messages import newest
from .rows import Bucket, Overview, Sums

RANGES = ("today", "7d", "30d")
_BAR = {"today": timedelta(hours=1), "7d": timedelta(hours=6), "30d": timedelta(days=1)}
_DAYS = {"today": 1, "7d": 7, "30d": 30}
_LISTED = 10
# A bar stands out when it has this many failures, this share of what is settled, and this many times the others' share.
_JUMP_MESSAGES, _JUMP_SHARE, _JUMP_FACTOR = 10, 0.1, 3.0
_MOST = 0.75


@dataclass(frozen=True, kw_only=True)
class _Hour:
    hour: datetime
    status: str
    messages: int
    samples: int
    charged_iqd: int
    at_risk_iqd: int


def overview(database: Database, range_: str, zone: ZoneInfo, now: datetime) -> Overview:
    """`range_` is one of RANGES; days are the zone's, and the last one ends with the current hour."""
    starts = _bar_starts(range_, zone, now)
    span = timedelta(days=_DAYS[range_])
    before = starts[0] - span
    with database.reading() as session:
        hours = _hours(session, before, starts[-1])
        failures = newest(session, now, _LISTED, OUTCOMES["failed"])
        latest = newest(session, now, _LISTED)
    current = [hour for hour in hours if hour.hour >= starts[0]]
    # Compared are the hours that are over with the same ones of the range before: an hour that has just begun would
    # always look like a fall.
    this_hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    over = [hour for hour in current if hour.hour < this_hour]
    earlier = [hour for hour in hours if hour.hour < min(starts[0], this_hour - span)]
    buckets = _buckets(current, starts)
    worst = _worst(buckets)
    return Overview(
        range=range_,
        at=now,
        messages=_messages(current),
        delivered_percent=_delivered_percent(current),
        spend_iqd=sum(hour.charged_iqd for hour in current),
        at_risk_iqd=sum(hour.at_risk_iqd for hour in current),
        over=_sums(over),
        before=_sums(earlier),
        buckets=buckets,
        worst=worst,
        worst_carrier=_carrier_of_most(database, worst) if worst else None,
        failures=failures,
        latest=latest,
        has_sample=any(hour.samples for hour in current),
    )


def _hours(session: Session, start: datetime, end: datetime) -> list[_Hour]:
    """Tally and unfolded deltas in one statement, so that a fold in between is seen whole or not at all."""
    parts = [
        select(
            table.hour,
            table.status,
            *(func.sum(getattr(table, name)).label(name) for name in COUNT_SUMS),
            func.sum(case((table.is_sample, table.messages), else_=0)).label("samples"),
        )
        .where(table.hour >= start, table.hour < end)
        .group_by(table.hour, table.status)
        for table in (Tally, Delta)
    ]
    return [
        _Hour(
            hour=row.hour,
            status=row.status,
            # PostgreSQL sums whole numbers to Decimal.
            messages=int(row.messages),
            samples=int(row.samples),
            charged_iqd=int(row.charged_iqd),
            at_risk_iqd=int(row.at_risk_iqd),
        )
        for row in session.execute(union_all(*parts))
    ]


def _bar_starts(range_: str, zone: ZoneInfo, now: datetime) -> list[datetime]:
    """The bars' edges in UTC, one more than bars; they end with the reader's today."""
    today = now.astimezone(zone).date()
    first = today - timedelta(days=_DAYS[range_] - 1)
    midnight = datetime.combine(first, time(), tzinfo=zone).astimezone(UTC)
    end = datetime.combine(today + timedelta(days=1), time(), tzinfo=zone).astimezone(UTC)
    count = round((end - midnight) / _BAR[range_])
    return [midnight + _BAR[range_] * place for place in range(count)] + [end]


def _buckets(hours: Sequence[_Hour], starts: Sequence[datetime]) -> tuple[Bucket, ...]:
    by_hour: dict[datetime, list[_Hour]] = defaultdict(list)
    for hour in hours:
        by_hour[hour.hour].append(hour)
    return tuple(
        _bucket(start, end, [hour for at, found in by_hour.items() if start <= at < end for hour in found])
        for start, end in pairwise(starts)
    )


def _bucket(start: datetime, end: datetime, hours: Sequence[_Hour]) -> Bucket:
    delivered, failed = _sum(hours, "delivered"), _sum(hours, "failed")
    return Bucket(
        start=start,
        end=end,
        delivered=delivered,
        failed=failed,
        waiting=_messages(hours) - delivered - failed,
        spend_iqd=sum(hour.charged_iqd for hour in hours),
    )


def _worst(buckets: Sequence[Bucket]) -> Bucket | None:
    settled = [bucket for bucket in buckets if bucket.delivered + bucket.failed]
    if not settled:
        return None
    worst = max(
        settled,
        key=lambda bucket: bucket.failed / (bucket.delivered + bucket.failed) * (bucket.failed >= _JUMP_MESSAGES),
    )
    others = [bucket for bucket in settled if bucket is not worst]
    usual = sum(bucket.failed for bucket in others) / max(1, sum(bucket.delivered + bucket.failed for bucket in others))
    share = worst.failed / (worst.delivered + worst.failed)
    stands_out = worst.failed >= _JUMP_MESSAGES and share > max(_JUMP_SHARE, _JUMP_FACTOR * usual)
    return worst if stands_out else None


def _sums(hours: Sequence[_Hour]) -> Sums:
    return Sums(
        messages=_messages(hours),
        delivered_percent=_delivered_percent(hours),
        spend_iqd=sum(hour.charged_iqd for hour in hours),
    )


def _carrier_of_most(database: Database, worst: Bucket) -> str | None:
    """The carrier with three quarters of a bar's failures, if there is one."""
    parts = [
        select(table.carrier, func.sum(table.messages).label("n"))
        .where(table.hour >= worst.start, table.hour < worst.end, table.status.in_(OUTCOMES["failed"]))
        .group_by(table.carrier)
        for table in (Tally, Delta)
    ]
    counts: Counter[str] = Counter()
    with database.reading() as session:
        for row in session.execute(union_all(*parts)):
            counts[row.carrier] += int(row.n)
    carrier, most = max(counts.items(), key=lambda counted: counted[1], default=("", 0))
    return carrier if most >= _MOST * worst.failed else None


def _delivered_percent(hours: Sequence[_Hour]) -> float | None:
    delivered, failed = _sum(hours, "delivered"), _sum(hours, "failed")
    return 100 * delivered / (delivered + failed) if delivered + failed else None


def _messages(hours: Iterable[_Hour]) -> int:
    return sum(hour.messages for hour in hours)


def _sum(hours: Iterable[_Hour], outcome: str) -> int:
    return sum(hour.messages for hour in hours if hour.status in OUTCOMES[outcome])
