"""When is it bad? Every hour of the week, Saturday first: where each square stands, and what they show in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from webhook_app.figures.overview_rows import FEW, WeekHour
from webhook_app.web.formats.carriers import rate_tone
from webhook_app.web.formats.charts import Mark, Size
from webhook_app.web.formats.numbers import number, percent, wire_time
from webhook_app.web.formats.translation import format_local, gettext

SIZES = (
    Size(width=960, height=0, labels=24, name="wide"),
    Size(width=327, height=0, labels=7, name="tall"),
)
DAYS, HOURS = 7, 24
_A_SATURDAY = datetime(2000, 1, 1)  # noqa: DTZ001 - only its name is asked for
_STANDS_OUT = 5.0  # points below all hours together
_GAP = 2.0


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a square says, wherever it stands."""

    hour: WeekHour
    tone: str
    text: str
    title: str
    link: str  # the query of the messages it leads to


@dataclass(frozen=True, kw_only=True)
class Square:
    x: float
    y: float
    text_x: float
    text_y: float
    told: Told


@dataclass(frozen=True, kw_only=True)
class WeekChart:
    """Days down and hours across, or the other way round on the tall drawing."""

    size: Size
    height: float
    width: float  # of a square
    square_height: float
    squares: tuple[Square, ...]
    columns: tuple[Mark, ...]
    rows: tuple[Mark, ...]  # `at` is y
    row_x: float


def week_charts(week: Sequence[WeekHour], zone: ZoneInfo, *, mirrored: bool = False) -> tuple[WeekChart, ...]:
    """A square an hour of the week that had messages: wide, and tall."""
    told = _told(week, zone)
    return tuple(_week_chart(told, size, mirrored=mirrored) for size in SIZES)


def _told(week: Sequence[WeekHour], zone: ZoneInfo) -> list[Told]:
    # 168 squares, and few words: to look a sentence up or to say a date costs more than to draw a square.
    nothing_settled = gettext("%(day)s, %(start)s to %(end)s: nothing settled")
    delivered = gettext("%(day)s, %(start)s to %(end)s: %(percent)s%%, %(delivered)s of %(settled)s delivered")
    of_the_last = gettext("%(title)s. Messages of the last of them: %(day)s")
    names = [day_name(day) for day in range(DAYS)]
    date_of = cache(lambda day: format_local(datetime.combine(day, time()), "d MMM"))

    def title(one: WeekHour) -> str:
        known = {
            "day": names[one.day],
            "start": f"{one.hour:02}:00",
            "end": f"{(one.hour + 1) % HOURS:02}:00",
            "percent": percent(one.delivered_percent),
            "delivered": number(one.delivered),
            "settled": number(one.settled),
        }
        said = (delivered if one.settled else nothing_settled) % known
        if one.times < 2:
            return said
        # The square tells of all such hours, its link shows the last of them.
        return of_the_last % {"title": said, "day": date_of(one.last_start.astimezone(zone).date())}

    return [
        Told(
            hour=one,
            tone=rate_tone(one.delivered_percent, one.settled),
            text=_whole(one.delivered_percent) if one.settled >= FEW else "",
            title=title(one),
            link=_last(one, zone),
        )
        for one in week
    ]


def _week_chart(week: Sequence[Told], size: Size, *, mirrored: bool) -> WeekChart:
    tall = size.name == "tall"
    gutter, top, height = (42.0, 24.0, 26.0) if tall else (86.0, 22.0, 30.0)
    columns, rows = (DAYS, HOURS) if tall else (HOURS, DAYS)
    slot = (size.width - gutter) / columns

    def x(column: int) -> float:
        at = gutter + column * slot
        return round(size.width - at - slot if mirrored else at, 2)

    def square(told: Told) -> Square:
        day, hour = told.hour.day, told.hour.hour
        column, row = (day, hour) if tall else (hour, day)
        return Square(
            x=x(column),
            y=top + row * height,
            text_x=round(x(column) + (slot - _GAP) / 2, 1),
            text_y=top + row * height + height / 2 + 3.5,
            told=told,
        )

    names = [day_name(day, short=tall) for day in range(DAYS)]
    hours = [f"{hour:02}" for hour in range(HOURS)]
    across, down = (names, [f"{hour}:00" for hour in hours]) if tall else (hours, names)
    return WeekChart(
        size=size,
        height=top + rows * height,
        width=round(slot - _GAP, 2),
        square_height=height - _GAP,
        squares=tuple(square(told) for told in week),
        columns=tuple(
            Mark(at=round(x(column) + (slot - _GAP) / 2, 1), text=text) for column, text in enumerate(across)
        ),
        rows=tuple(Mark(at=top + row * height + height / 2 + 3.5, text=text) for row, text in enumerate(down)),
        row_x=float(size.width if mirrored else 0),
    )


def week_grid(week: Sequence[WeekHour]) -> tuple[tuple[str, tuple[WeekHour | None, ...]], ...]:
    """The same as a table: a row an hour, a column a day."""
    by_place = {(one.day, one.hour): one for one in week}
    return tuple((f"{hour:02}:00", tuple(by_place.get((day, hour)) for day in range(DAYS))) for hour in range(HOURS))


def week_finding(week: Sequence[WeekHour]) -> str:
    """The picture's title: which hour of the week is bad, if one is."""
    telling = [one for one in week if one.settled >= FEW]
    if not telling:
        return gettext("Too few messages an hour to tell the week's bad hours")
    delivered = sum(one.delivered for one in telling)
    usual = 100 * delivered / sum(one.settled for one in telling)
    worst = min(telling, key=lambda one: one.delivered_percent or 0.0)
    rate = worst.delivered_percent or 0.0
    if rate > usual - _STANDS_OUT:
        return gettext("No hour of the week stands out: %(percent)s%% delivered", percent=percent(usual))
    known = {
        "day": day_name(worst.day),
        "time": f"{worst.hour:02}:00",
        "percent": percent(rate),
        "usual": percent(usual),
    }
    return gettext("Worst on %(day)s at %(time)s: %(percent)s%% delivered, usually %(usual)s%%", **known)


def day_name(day: int, *, short: bool = False) -> str:
    """Of a day of the week; 0 is Saturday."""
    # Translators: a weekday in CLDR's letters, for a column three letters wide: EEE, or EEEEEE (short), or EEEEE (one)
    pattern = gettext("EEE") if short else "EEEE"
    return format_local(_A_SATURDAY + timedelta(days=day), pattern)


def _whole(value: float | None) -> str:
    """Rounded, but 99.7 must not be a perfect 100."""
    if value is None:
        return ""
    return f"{min(value, 99.0) if value < 100 else value:.0f}"


def _last(one: WeekHour, zone: ZoneInfo) -> str:
    """The messages of the last such hour: a week is no stretch of time that a list could be narrowed to."""
    return f"from={wire_time(one.last_start, zone)}&to={wire_time(one.last_start + timedelta(hours=1), zone)}"
