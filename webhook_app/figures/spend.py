"""The Spend page: one month of money, from the counts; every figure on it is what OTPIQ charged, unless it says so."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from statistics import fmean
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from ..database import Database
from ..status import TAKEN, Status
from . import balance, tallies
from .spend_rows import BalanceDay, DayCell, Forecast, Spend, SpendCell, SpendDay, Waste
from .tallies import CellCount, HourCount, PartCount

_FORECAST_BY = 28  # days: each weekday four times
_DAY = timedelta(days=1)


def spend(database: Database, month: date, zone: ZoneInfo, now: datetime) -> Spend:
    """`month` is its first day; it must have begun."""
    edges = _edges(month, next_month(month), zone)
    earlier = month_before(month)
    with database.reading() as session:
        cells = tallies.day_cells(session, edges, "hour", "carrier", "channel", "status")
        totals = tallies.days(session, [*_edges(earlier, month, zone), *edges[1:]])
        first = tallies.first_hour(session)
        paths = tallies.parts(session, "path", edges[0], edges[-1], "word")
        repeats = tallies.parts(session, "repeat", edges[0], edges[-1])
        days = _days(cells, edges)
        opening_iqd, balances = _balances(session, days, now)
    daily = _by_day(totals, zone)
    over = [day for day in days if day.end <= now]
    compared = (month - earlier).days if len(over) == len(days) else len(over)
    return Spend(
        month=month,
        at=now,
        start=edges[0],
        end=edges[-1],
        days=days,
        cells=_cells(cells),
        messages=sum(cell.messages for cell in cells),
        charged_iqd=sum(cell.charged_iqd for cell in cells),
        at_risk_iqd=sum(cell.at_risk_iqd for cell in cells),
        over_iqd=sum(day.charged_iqd for day in over),
        before_iqd=sum(daily.get(earlier + _DAY * ahead, 0) for ahead in range(compared)),
        forecast=_forecast(days, daily, first, zone, now) if now < edges[-1] else None,
        waste=_waste(cells, paths, repeats),
        opening_iqd=opening_iqd,
        balances=balances,
        has_sample=any(total.samples for total in totals if total.hour >= edges[0]),
    )


def day_cells(database: Database, month: date, zone: ZoneInfo) -> tuple[DayCell, ...]:
    """The month by day, carrier and channel, in that order: what the accountant gets."""
    edges = _edges(month, next_month(month), zone)
    with database.reading() as session:
        cells = tallies.day_cells(session, edges, "hour", "carrier", "channel")
    return tuple(
        DayCell(
            day=cell.hour.astimezone(zone).date(),
            carrier=cell.carrier,
            channel=cell.channel,
            messages=cell.messages,
            charged_iqd=cell.charged_iqd,
            at_risk_iqd=cell.at_risk_iqd,
        )
        for cell in cells
        if cell.hour is not None and cell.carrier is not None and cell.channel is not None
    )


def next_month(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)


def month_before(month: date) -> date:
    return (month - _DAY).replace(day=1)


def _edges(first: date, end: date, zone: ZoneInfo) -> list[datetime]:
    """The midnights from `first` up to and with `end`, in UTC."""
    days = [first + timedelta(days=ahead) for ahead in range((end - first).days + 1)]
    return [datetime.combine(day, time(), tzinfo=zone).astimezone(UTC) for day in days]


def _days(cells: Iterable[CellCount], edges: Sequence[datetime]) -> tuple[SpendDay, ...]:
    charged: dict[datetime | None, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    messages: dict[datetime | None, int] = defaultdict(int)
    for cell in cells:
        charged[cell.hour][cell.channel or ""] += cell.charged_iqd
        messages[cell.hour] += cell.messages
    return tuple(
        SpendDay(start=start, end=end, messages=messages[start], by_channel=dict(charged[start]))
        for start, end in pairwise(edges)
    )


def _by_day(totals: Iterable[HourCount], zone: ZoneInfo) -> dict[date, int]:
    daily: dict[date, int] = defaultdict(int)
    for total in totals:
        daily[total.hour.astimezone(zone).date()] += total.charged_iqd
    return daily


def _cells(cells: Iterable[CellCount]) -> tuple[SpendCell, ...]:
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for cell in cells:
        held = sums[cell.carrier or "", cell.channel or ""]
        taken = cell.messages if cell.status in TAKEN else 0
        for place, amount in enumerate((cell.messages, taken, cell.charged_iqd, cell.at_risk_iqd)):
            held[place] += amount
    whole = sum(charged for _messages, _taken, charged, _at_risk in sums.values())
    found = [
        SpendCell(
            carrier=carrier,
            channel=channel,
            messages=messages,
            taken=taken,
            charged_iqd=charged,
            at_risk_iqd=at_risk,
            percent=100 * charged / whole if whole else None,
        )
        for (carrier, channel), (messages, taken, charged, at_risk) in sums.items()
        if messages
    ]
    return tuple(sorted(found, key=lambda cell: (-cell.charged_iqd, -cell.messages, cell.carrier, cell.channel)))


def _forecast(
    days: Sequence[SpendDay], daily: Mapping[date, int], first: datetime | None, zone: ZoneInfo, now: datetime
) -> Forecast | None:
    """What is charged so far, and for the rest of today and each day to come the average of whole days like it."""
    today = now.astimezone(zone).date()
    # The day of the very first message is not a whole one.
    counted_from = first.astimezone(zone).date() + _DAY if first else today
    past = [today - _DAY * back for back in range(1, _FORECAST_BY + 1)]
    whole = [date_ for date_ in past if date_ >= counted_from]
    if not whole:
        return None
    by_weekday = len(whole) == _FORECAST_BY
    coming_iqd = 0.0
    for day in days:
        if day.end > now:
            weekday = day.start.astimezone(zone).weekday()
            alike = [date_ for date_ in whole if not by_weekday or date_.weekday() == weekday]
            left = (day.end - max(day.start, now)) / (day.end - day.start)
            coming_iqd += left * fmean(daily.get(date_, 0) for date_ in alike)
    so_far_iqd = sum(day.charged_iqd for day in days)
    return Forecast(iqd=round(so_far_iqd + coming_iqd), by="weekday" if by_weekday else "day", days=len(whole))


def _waste(cells: Iterable[CellCount], paths: Iterable[PartCount], repeats: Sequence[PartCount]) -> Waste:
    # What was refused, or never left, cost nothing.
    failed = [cell for cell in cells if cell.status == Status.FAILED]
    hopped = [path for path in paths if " " in (path.word or "")]
    messages = sum(path.messages for path in hopped)
    return Waste(
        failed=sum(cell.messages for cell in failed),
        failed_iqd=sum(cell.charged_iqd for cell in failed),
        hopped=messages,
        hopped_iqd=sum(path.charged_iqd for path in hopped),
        hopped_s=sum(path.seconds for path in hopped) / messages if messages else None,
        repeated=sum(repeat.messages for repeat in repeats),
        repeated_iqd=sum(repeat.charged_iqd for repeat in repeats),
    )


def _balances(session: Session, days: Sequence[SpendDay], now: datetime) -> tuple[int | None, tuple[BalanceDay, ...]]:
    """The balance as the month began, and at the end of each day that has begun; today's is what it is now."""
    begun = [day for day in days if day.start <= now]
    held = balance.at_edges(session, [days[0].start, *(day.end for day in begun)])
    paid_in = balance.top_ups(held, [day.charged_iqd for day in begun])
    rows = zip(begun, held[1:], paid_in, strict=True)
    return held[0], tuple(
        BalanceDay(start=day.start, end=day.end, iqd=iqd, topped_up_iqd=topped_up) for day, iqd, topped_up in rows
    )
