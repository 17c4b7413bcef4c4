"""Is anything wrong at this moment, as far as messages and callbacks tell, and if not, since when?"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from sqlalchemy import ColumnElement, case, func, or_, select
from sqlalchemy.orm import Session

from ..models import Intake
from ..refusals import Cause
from ..status import CLOSED_SENDS, OUTCOMES
from . import tallies
from .intake import NOT_FROM_OTPIQ
from .overview_rows import Health, Jump, percent
from .tallies import CellCount, Settled

# Some time stands out when it has this many failures, this share of what is settled, and this many times the usual one.
_MESSAGES, _SHARE, _FACTOR = 10, 0.1, 3.0
_MOST = 0.75
_HOUR, _MINUTE = timedelta(hours=1), timedelta(minutes=1)
_LOOKS_BACK = timedelta(hours=24)
_USUAL_OF = timedelta(days=7)
_NOT_STORED = (Cause.OVERLOADED, Cause.STORE_AWAY)


class Outcomes(Protocol):
    """Some messages by what became of them."""

    @property
    def delivered(self) -> int: ...

    @property
    def failed(self) -> int: ...


def stands_out(one: Outcomes, others: Iterable[Outcomes]) -> bool:
    """Whether far more of `one` failed than is usual among the `others`."""
    if one.failed < _MESSAGES:
        return False
    share = one.failed / (one.delivered + one.failed)
    if share <= _SHARE:  # whatever is usual
        return False
    failed = settled = 0
    for other in others:
        failed, settled = failed + other.failed, settled + other.delivered + other.failed
    return share > _FACTOR * failed / max(1, settled)


def health(session: Session, now: datetime) -> Health:
    """Of the last 24 hours, held against the last seven days."""
    this_hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    looks_back_to = this_hour - _LOOKS_BACK + _HOUR
    recent = tallies.settled(session, looks_back_to, this_hour + _HOUR)
    hours = [*tallies.settled_together(session, this_hour - _USUAL_OF, looks_back_to), *recent]
    bad = [hour for hour in recent if stands_out(hour, (other for other in hours if other is not hour))]
    run = _still_going_on(recent, bad, this_hour)
    ends = [hour.hour + _HOUR for hour in bad]
    if (minute := _last_bad_minute(session, now)) is not None:
        ends.append(minute + _MINUTE)
    return Health(
        jump=_jump(session, run, hours) if run else None,
        well_since=min(now, max(ends)) if ends else None,
        is_quiet=not recent,
        failed_all=0 if any(hour.delivered for hour in recent) else sum(hour.failed for hour in recent),
    )


def most_of(counts: Mapping[str, int]) -> str | None:
    """The one that has three quarters of them all, if there is one."""
    name, most = max(counts.items(), key=lambda item: item[1], default=("", 0))
    return name if name and most >= _MOST * sum(counts.values()) else None


def failed_by(name: str, cells: Iterable[CellCount]) -> Counter[str]:
    """Failures by carrier or by channel, of cells by that and by status; "" are those that no carrier ever had."""
    counts: Counter[str] = Counter()
    for cell in cells:
        if cell.status in OUTCOMES["failed"]:
            counts["" if cell.status in CLOSED_SENDS else getattr(cell, name)] += cell.messages
    return counts


def _last_bad_minute(session: Session, now: datetime) -> datetime | None:
    """When last more was refused as not OTPIQ's than was taken in, or a callback could not be stored."""

    def callbacks(*what: str) -> ColumnElement[int]:
        return func.sum(case((Intake.what.in_(what), Intake.callbacks), else_=0))

    taken = func.sum(case((Intake.what.in_(tuple(Cause)), 0), else_=Intake.callbacks))
    bad = or_(callbacks(*NOT_FROM_OTPIQ) > taken, callbacks(*_NOT_STORED) > 0)
    recent = select(Intake.minute).where(Intake.minute > now - _LOOKS_BACK)
    return session.scalar(recent.group_by(Intake.minute).having(bad).order_by(Intake.minute.desc()).limit(1))


def _still_going_on(recent: Sequence[Settled], bad: Sequence[Settled], this_hour: datetime) -> list[Settled]:
    """The bad hours in a row that end with this one, or with the one before while this one is too young to tell."""
    run: list[Settled] = []
    for hour in reversed([hour for hour in recent if hour.delivered + hour.failed >= _MESSAGES]):
        is_next = hour.hour == run[0].hour - _HOUR if run else hour.hour >= this_hour - _HOUR
        if hour not in bad or not is_next:
            break
        run.insert(0, hour)
    return run


def _jump(session: Session, run: Sequence[Settled], hours: Sequence[Settled]) -> Jump:
    start, end = run[0].hour, run[-1].hour + _HOUR
    cells = tallies.cells(session, start, end, "carrier", "channel", "status")
    carrier, channel = (most_of(failed_by(name, cells)) for name in ("carrier", "channel"))
    reasons: Counter[str] = Counter()
    for part in tallies.parts(session, "reason", start, end, "carrier", "channel", "word"):
        if carrier in (None, part.carrier) and channel in (None, part.channel):
            reasons[part.word or ""] += part.messages
    hit = [cell for cell in cells if carrier in (None, cell.carrier) and channel in (None, cell.channel)]
    others = [hour for hour in hours if hour not in run]
    return Jump(
        start=start,
        end=end,
        delivered=sum(cell.messages for cell in hit if cell.status in OUTCOMES["delivered"]),
        failed=sum(cell.messages for cell in hit if cell.status in OUTCOMES["failed"]),
        usual_percent=percent(sum(hour.delivered for hour in others), sum(hour.failed for hour in others)),
        carrier=carrier,
        channel=channel,
        reason=max(reasons, key=lambda word: reasons[word], default=None),
    )
