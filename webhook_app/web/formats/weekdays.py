"""When is it bad? Every hour of the week, Saturday first: what its square says. The stylesheet lays them out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from webhook_app.figures.overview_rows import FEW, WeekHour
from webhook_app.web.formats.carriers import rate_tone
from webhook_app.web.formats.numbers import number, percent, wire_time
from webhook_app.web.formats.translation import format_local, gettext

DAYS, HOURS = 7, 24
_A_SATURDAY = datetime(2000, 1, 1)  # noqa: DTZ001 - only its name is asked for
_STANDS_OUT = 5.0  # points below all hours together


@dataclass(frozen=True, kw_only=True)
class Square:
    """What an hour of the week says: in the picture, and in the table of its numbers."""

    tone: str
    text: str
    title: str
    link: str  # the query of the messages it leads to
    percent: str  # "" where nothing is settled
    settled: str


def week_rows(week: Sequence[WeekHour], zone: ZoneInfo) -> tuple[tuple[str, tuple[Square | None, ...]], ...]:
    """An hour and its seven squares, Saturday's first; None where the hour had no messages."""
    squares = _squares(week, zone)
    return tuple((f"{hour:02}", tuple(squares.get((day, hour)) for day in range(DAYS))) for hour in range(HOURS))


def _squares(week: Sequence[WeekHour], zone: ZoneInfo) -> dict[tuple[int, int], Square]:
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

    return {
        (one.day, one.hour): Square(
            tone=rate_tone(one.delivered_percent, one.settled),
            text=_whole(one.delivered_percent) if one.settled >= FEW else "",
            title=title(one),
            link=_last(one, zone),
            percent=f"{percent(one.delivered_percent)}%" if one.settled else "",
            settled=f"{number(one.delivered)} / {number(one.settled)}",
        )
        for one in week
    }


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
