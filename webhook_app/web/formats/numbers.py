"""Numbers, money, seconds and times as text. Digits are Western everywhere; times are given the zone they speak in."""

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from webhook_app.web.formats.translation import format_local, gettext, isolated, ngettext

NOTHING = "–"
_NUMBER = re.compile(r"[0-9.]+")
COUNT_CAP = 10_000


def number(value: float | None) -> str:
    """1284600 -> "1,284,600"."""
    return NOTHING if value is None else f"{value:,.0f}"


def iqd(value: int | None) -> str:
    """Whole dinars, without the currency's name."""
    return number(value)


def capped(count: int) -> str:
    """A count that is not followed past 10,000: "10,000+"."""
    return isolated(f"{COUNT_CAP:,}+") if count > COUNT_CAP else f"{count:,}"


def megabytes(size: int) -> str:
    """Of a store: 7929856 -> "7.9 MB"."""
    return gettext("%(n)s MB", n=f"{size / 1e6:,.1f}")


def percent(value: float | None) -> str:
    """94.13 -> "94.1", without the sign; 100 loses its decimal."""
    if value is None:
        return NOTHING
    # 99.96 must not be rounded up to a perfect 100.
    shown = min(value, 99.9) if value < 100 else value
    return f"{shown:.1f}".removesuffix(".0") if shown in (0, 100) else f"{shown:.1f}"


def seconds(value: float | None) -> str:
    """0.014 -> "14 ms"; 2.14 -> "2.1 s"; 185 -> "3 min 05 s"; 7500 -> "2 h 05 min"."""
    if value is None:
        return NOTHING
    if 0 <= value < 0.05:
        return gettext("%(n)s ms", n=round(value * 1000))
    if value < 59.95:
        return gettext("%(n)s s", n=f"{value:.1f}")
    whole = round(value)
    if whole < 3600:
        return gettext("%(minutes)s min %(seconds)s s", minutes=whole // 60, seconds=f"{whole % 60:02}")
    return gettext("%(hours)s h %(minutes)s min", hours=whole // 3600, minutes=f"{whole % 3600 // 60:02}")


def gap(value: float) -> str:
    """What passed since the step before: "+2.1 s"."""
    return _NUMBER.sub(lambda number: isolated(f"+{number[0]}"), seconds(value), count=1)


def clock(at: datetime | None, zone: ZoneInfo) -> str:
    """12:41:08."""
    return NOTHING if at is None else at.astimezone(zone).strftime("%H:%M:%S")


def clock_ms(at: datetime, zone: ZoneInfo) -> str:
    """12:41:08.114."""
    local = at.astimezone(zone)
    return f"{local:%H:%M:%S}.{local.microsecond // 1000:03}"


def day(at: datetime, zone: ZoneInfo) -> str:
    """22 Nov 2026."""
    return format_local(at.astimezone(zone), "d MMM y")


def when(at: datetime, now: datetime, zone: ZoneInfo) -> str:
    """The clock for today, else the day and the clock: "21 Nov 12:41"."""
    local = at.astimezone(zone)
    if local.date() == now.astimezone(zone).date():
        return clock(at, zone)
    return f"{format_local(local, 'd MMM')} {local:%H:%M}"


def ago(at: datetime | None, now: datetime) -> str:
    """How long ago, in its largest unit: "3 min ago"."""
    if at is None:
        return gettext("never")
    passed = max(now - at, timedelta())
    if passed < timedelta(minutes=1):
        return gettext("%(n)s s ago", n=passed.seconds)
    if passed < timedelta(hours=1):
        return gettext("%(n)s min ago", n=passed.seconds // 60)
    if passed < timedelta(days=1):
        return gettext("%(n)s h ago", n=passed.seconds // 3600)
    return ngettext("%(num)s day ago", "%(num)s days ago", passed.days)


def zone_label(now: datetime, zone: ZoneInfo) -> str:
    """ "Baghdad (UTC+3)"."""
    offset = now.astimezone(zone).utcoffset() or timedelta()
    hours, rest = divmod(int(abs(offset).total_seconds()), 3600)
    minutes = f":{rest // 60:02}" if rest else ""
    sign = "-" if offset < timedelta() else "+"
    return f"{_city(zone)} (UTC{sign}{hours}{minutes})"


def _city(zone: ZoneInfo) -> str:
    city = zone.key.rsplit("/", 1)[-1].replace("_", " ")
    return gettext("Baghdad") if city == "Baghdad" else city


def short_id(value: object) -> str:
    """An id's two ends, enough to tell it from its neighbours: "01980f2e…c41"."""
    text = str(value)
    return f"{text[:8]}…{text[-3:]}"


def wire_time(at: datetime, zone: ZoneInfo) -> str:
    """The form of `from` and `to` in an address, and of a datetime-local field: local, to the minute."""
    return at.astimezone(zone).strftime("%Y-%m-%dT%H:%M")


def input_time(text: str | None) -> str:
    """What a datetime-local field takes: a bare day gets midnight."""
    if not text:
        return ""
    return f"{text}T00:00" if len(text) == len("2026-11-22") else text
