"""What the account held from day to day, when it was topped up, and how long it lasts at the present pace."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from sqlalchemy import Uuid, column, select, values
from sqlalchemy.orm import Session

from ..ids import first_id
from ..models import BalanceReading
from . import tallies

_PACE_OF = timedelta(days=7)  # each weekday once
_PACE_AT_LEAST = timedelta(days=1)
# A top-up must stand out from what readings and charges differ by when messages lie on the edge of a day, or when a
# charge was corrected later.
_CLEAR_IQD, _CLEAR_SHARE = 5_000, 0.25


def at_edges(session: Session, edges: Sequence[datetime]) -> list[int | None]:
    """The balance as last told before each of these moments: one look-up by the primary key for each."""
    edge = values(column("before", Uuid), name="edge").data([(first_id(at),) for at in edges]).cte()
    newest = (
        select(BalanceReading.iqd)
        .where(BalanceReading.id < edge.c.before)
        .order_by(BalanceReading.id.desc())
        .limit(1)
        .correlate(edge)
        .scalar_subquery()
    )
    return list(session.scalars(select(newest).select_from(edge).order_by(edge.c.before)))


def top_ups(balances: Sequence[int | None], charged_iqd: Sequence[int]) -> list[int]:
    """What was paid in between each two of `balances`, by how they moved against what was charged in between: 0 where
    that does not clearly tell."""
    paid_in = [
        0 if before is None or after is None else after - before + charged
        for (before, after), charged in zip(pairwise(balances), charged_iqd, strict=True)
    ]
    return [
        iqd if iqd >= max(_CLEAR_IQD, _CLEAR_SHARE * charged) else 0
        for iqd, charged in zip(paid_in, charged_iqd, strict=True)
    ]


def days_left(session: Session, balance_iqd: int, now: datetime) -> int | None:
    """How many whole days the balance lasts at the pace of the last seven, or of as many as there are: None before the
    first day is over, and while nothing is spent."""
    end = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    first = tallies.first_hour(session)
    if first is None:
        return None
    start = max(first, end - _PACE_OF)
    spent_iqd = tallies.charged_iqd(session, start, end)
    passed = now - start
    if passed < _PACE_AT_LEAST or spent_iqd <= 0:
        return None
    return int(max(balance_iqd, 0) * (passed / timedelta(days=1)) / spent_iqd)
