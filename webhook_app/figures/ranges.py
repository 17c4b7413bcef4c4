"""The stretch of time the overview looks at: its bars, and the one before it to compare with. Pure."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from ..counting import SLOT

RANGES = ("1h", "today", "7d", "30d")
OWN = "own"
MOST_DAYS = 92  # a quarter; longer ones are the business of Spend
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_DAYS = {"today": 1, "7d": 7, "30d": 30}
# How long a bar is in a range of up to so many days.
_BARS = ((2, _HOUR), (10, timedelta(hours=6)), (MOST_DAYS, _DAY))


@dataclass(frozen=True, kw_only=True)
class Range:
    """`edges` are the bars' in UTC, one more than bars; `unit` is what is counted by, an hour or a slot."""

    name: str  # one of RANGES, or OWN
    zone: ZoneInfo
    at: datetime  # the moment it is looked at
    edges: tuple[datetime, ...]
    unit: timedelta

    @property
    def start(self) -> datetime:
        return self.edges[0]

    @property
    def end(self) -> datetime:
        return self.edges[-1]

    @property
    def over_end(self) -> datetime:
        """Where the units end that are over: one that has just begun would always look like a fall."""
        return min(self.end, _floor(self.at, self.unit))

    @property
    def before(self) -> datetime:
        """Where the range before begins, which is as long."""
        return self.start - (self.end - self.start)

    @property
    def before_end(self) -> datetime:
        """Where as much of the range before is over as is of this one."""
        return min(self.start, self.over_end - (self.end - self.start))

    @property
    def days(self) -> int:
        return round((self.end - self.start) / _DAY)

    @property
    def pace_edges(self) -> tuple[datetime, ...]:
        """The spans it is asked of how long messages took: the bars, or whole days where bars are parts of some: at
        night few arrive, and days are counted as such."""
        if self.days <= _BARS[0][0]:
            return self.edges
        first = self.start.astimezone(self.zone).date()
        return tuple(midnight(first + timedelta(days=ahead), self.zone) for ahead in range(self.days + 1))

    @property
    def is_by_slot(self) -> bool:
        return self.unit == SLOT


def range_of(name: str, zone: ZoneInfo, now: datetime) -> Range:
    """One of RANGES: the last hour by its slots, or whole days of `zone` up to and with today."""
    if name == "1h":
        last = _floor(now, SLOT)
        edges = tuple(last + SLOT * ahead for ahead in range(1 - _HOUR // SLOT, 2))
        return Range(name=name, zone=zone, at=now, edges=edges, unit=SLOT)
    today = now.astimezone(zone).date()
    return _of_days(name, today - timedelta(days=_DAYS[name] - 1), today, zone, now)


def own_range(first: date, last: date, zone: ZoneInfo, now: datetime) -> Range:
    """Whole days of `zone`, both included; no more than MOST_DAYS of them."""
    return _of_days(OWN, first, last, zone, now)


def _of_days(name: str, first: date, last: date, zone: ZoneInfo, now: datetime) -> Range:
    start, end = midnight(first, zone), midnight(last + timedelta(days=1), zone)
    # Bars of one day's range are hours; a clock that is put forward or back makes one bar shorter or longer.
    width = next(width for most, width in _BARS if round((end - start) / _DAY) <= most)
    count = round((end - start) / width)
    edges = (*(start + width * place for place in range(count)), end)
    return Range(name=name, zone=zone, at=now, edges=edges, unit=_HOUR)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """When the day begins there, in UTC."""
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)


def _floor(at: datetime, unit: timedelta) -> datetime:
    at = at.astimezone(UTC)
    hour = at.replace(minute=0, second=0, microsecond=0)
    return hour + (at - hour) // unit * unit
