"""The Spend page's pictures and sentences: bars a day by channel, the balance, budgets, and what it all says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from math import ceil
from statistics import median
from zoneinfo import ZoneInfo

from flask import Flask

from webhook_app.budgets import Amount, Budgets, Spent
from webhook_app.figures.spend_rows import Forecast, Spend, SpendDay, Waste
from webhook_app.marking import N_
from webhook_app.web.formats.charts import (
    BAR_SIZES,
    BarChart,
    Mark,
    Size,
    Stack,
    messages_between,
    nice_above,
    span_label,
    stacked,
)
from webhook_app.web.formats.numbers import number, percent
from webhook_app.web.formats.translation import comma, format_axis_day, format_local, gettext, ngettext
from webhook_app.web.formats.words import carrier_name, channel_name

LINE_SIZES = {
    "wide": Size(width=960, height=180, labels=9, name="wide"),
    "tall": Size(width=327, height=200, labels=4, name="tall"),
}
# From a bar's foot up; what has no channel yet lies on top.
CHANNELS = ("whatsapp", "telegram", "sms", "")
_AXIS_HEIGHT, _HEAD_ROOM, _ROOM = 22, 30, 40
_DEAR = 1.5  # times the middle day: worth a sentence
_MOST_DAYS = 365
_WARN = ((100, "bad"), (80, "wait"), (50, "few"))


@dataclass(frozen=True, kw_only=True)
class BudgetLine:
    """How much of a budget is spent; `tone` is ok, few (half), wait (80 %) or bad (all)."""

    period: str  # day or month
    stops: bool  # sending, once it is spent
    spent_iqd: int
    budget_iqd: int
    percent: float
    tone: str
    words: str
    filled: float  # of a bar a hundred wide
    forecast: str  # where the month is going to cost more; else ""


@dataclass(frozen=True, kw_only=True)
class StairChart:
    """A value that holds until it changes. A top-up's mark says when and how much."""

    size: Size
    base: float
    label_y: float
    scale_x: float
    line: str  # SVG path data
    area: str
    top_ups: tuple[Mark, ...]
    times: tuple[Mark, ...]
    grid: tuple[Mark, ...]  # `at` is y


def register(app: Flask, zone: Callable[[], ZoneInfo]) -> None:
    """Give `app`'s templates what they need of this module; `zone` is the one the pages speak in."""
    for function in (
        month_name,
        spend_channel,
        by_channel,
        cells_finding,
        waste_finding,
        forecast_words,
        rough,
        days_left_words,
        days_left_figure,
        balance_finding,
        stopped_sentence,
    ):
        app.add_template_filter(function, function.__name__)
    app.add_template_filter(lambda day: span_label(day.start, day.end, zone()), "day_span")
    app.jinja_env.globals.update(
        budget_lines=budget_lines,
        budget_of_day=budget_of_day,
        spend_finding=lambda spend, limit: spend_finding(spend, limit, zone()),
        spend_charts=lambda spend, limit, mirrored: spend_charts(spend, limit, zone(), mirrored=mirrored),
        balance_chart=lambda spend, size, mirrored: balance_chart(spend, LINE_SIZES[size], zone(), mirrored=mirrored),
    )


def month_name(month: date) -> str:
    """November 2026."""
    return format_local(datetime.combine(month, time()), "LLLL y")


def spend_channel(channel: str) -> str:
    """A channel's name; what has none was tried on none, or on none yet."""
    return channel_name(channel) if channel else gettext("No channel")


def by_channel(day: SpendDay) -> dict[str, int]:
    """In the order of CHANNELS; a channel that is not known counts as none."""
    found = dict.fromkeys(CHANNELS, 0)
    for channel, iqd in day.by_channel.items():
        found[channel if channel in found else ""] += iqd
    return found


def spend_charts(spend: Spend, limit: int | None, zone: ZoneInfo, *, mirrored: bool = False) -> tuple[BarChart, ...]:
    """A bar a day, `limit` as a line across, wide and tall; a click leads to the day's messages."""
    stacks = [_stack(day, zone) for day in spend.days]
    return tuple(stacked(stacks, size, zone, mirrored=mirrored, limit=limit) for size in BAR_SIZES)


def _stack(day: SpendDay, zone: ZoneInfo) -> Stack:
    channels = by_channel(day)
    parts = [
        gettext("%(channel)s %(iqd)s", channel=spend_channel(channel), iqd=number(iqd))
        for channel, iqd in channels.items()
        if iqd
    ]
    span = span_label(day.start, day.end, zone)
    known = {"day": span, "iqd": number(day.charged_iqd), "parts": comma().join(parts)}
    return Stack(
        row=day,
        parts=tuple((channel or "few", iqd) for channel, iqd in channels.items()),
        span=span,
        title=gettext("%(day)s: %(iqd)s IQD (%(parts)s)", **known),
        href=messages_between(day.start, day.end, zone),
    )


def spend_finding(spend: Spend, limit: int | None, zone: ZoneInfo) -> str:
    """The bars' title: what they show, said in words."""
    spent = [day for day in spend.begun if day.charged_iqd]
    if not spent:
        return gettext("Nothing was charged in this month")
    over = sum(day.charged_iqd > limit for day in spent) if limit else 0
    if over:
        return ngettext(
            "On %(num)s day more than %(iqd)s IQD were spent",
            "On %(num)s days more than %(iqd)s IQD were spent",
            over,
            iqd=number(limit),
        )
    dearest = max(spent, key=lambda day: day.charged_iqd)
    middle = median(day.charged_iqd for day in spent)
    if len(spent) > 2 and dearest.charged_iqd > _DEAR * middle:
        day, iqd = span_label(dearest.start, dearest.end, zone), number(dearest.charged_iqd)
        return gettext("The dearest day was %(day)s: %(iqd)s IQD", day=day, iqd=iqd)
    return gettext("No day stands out: about %(iqd)s IQD a day", iqd=number(middle))


def cells_finding(spend: Spend) -> str:
    """The table's title: where most of the money goes."""
    first = next(iter(spend.cells), None)
    if first is None or first.percent is None:
        return gettext("Nothing was charged in this month")
    known = {"carrier": carrier_name(first.carrier), "share": percent(first.percent)}
    if not first.channel:
        return gettext("Most goes to %(carrier)s: %(share)s%%", **known)
    return gettext("Most goes to %(carrier)s by %(channel)s: %(share)s%%", channel=channel_name(first.channel), **known)


def waste_finding(waste: Waste) -> str:
    if not waste.failed_iqd:
        return gettext("Nothing was charged for failures")
    return gettext("%(iqd)s IQD went into failures", iqd=number(waste.failed_iqd))


def forecast_words(forecast: Forecast) -> str:
    """What the forecast stands on."""
    if forecast.by == "weekday":
        return gettext("each day as its weekday in the last 28 days")
    return ngettext(
        "by the one whole day so far: only a guess",
        "by the average of %(num)s whole days",
        forecast.days,
    )


def rough(iqd: int) -> str:
    """No more of a guess than its first three digits: 829321 -> "829,000"."""
    return number(round(iqd, 3 - len(str(iqd))))


def days_left_words(days: int) -> str:
    """How long the balance lasts."""
    if days > _MOST_DAYS:
        return gettext("more than a year left")
    return ngettext("%(num)s day left", "%(num)s days left", days)


def days_left_figure(days: int) -> str:
    """The same as a big number."""
    return f"{_MOST_DAYS}+" if days > _MOST_DAYS else f"{days}"


def budget_of_day(budgets: Budgets, spend: Spend) -> int | None:
    """What a day of this month may cost by the budgets of today: the day's own, or its part of the month's."""
    if spend.is_over:
        return None
    if budgets.day is not None:
        return budgets.day.iqd
    return round(budgets.month.iqd / len(spend.days)) if budgets.month is not None else None


def budget_lines(budgets: Budgets, spend: Spend, stopped: Spent | None = None) -> tuple[BudgetLine, ...]:
    """Today and this month against their budgets; none for a month that is over. Of the one that stops sending, what is
    at risk is spent, too."""
    if spend.is_over:
        return ()
    today_iqd = spend.today.charged_iqd if spend.today else 0
    pairs = (("day", budgets.day, today_iqd), ("month", budgets.month, spend.charged_iqd))
    return tuple(
        _budget_line(period, stopped.spent_iqd if stopped and stopped.period == period else spent_iqd, amount, spend)
        for period, amount, spent_iqd in pairs
        if amount is not None
    )


def _budget_line(period: str, spent_iqd: int, budget: Amount, spend: Spend) -> BudgetLine:
    share = 100 * spent_iqd / budget.iqd
    left_iqd = budget.iqd - spent_iqd
    tone = next((tone for least, tone in _WARN if share >= least), "ok")
    words = {
        "bad": N_("All of it is spent, and %(over)s IQD more") if left_iqd else N_("All of it is spent"),
        "wait": N_("More than 80%% is spent, %(left)s IQD are left"),
        "few": N_("More than half is spent, %(left)s IQD are left"),
        "ok": N_("%(left)s IQD are left"),
    }[tone]
    return BudgetLine(
        period=period,
        spent_iqd=spent_iqd,
        budget_iqd=budget.iqd,
        stops=budget.stops,
        percent=share,
        tone=tone,
        words=gettext(words, left=number(left_iqd), over=number(-left_iqd)),
        filled=min(share, 100.0),
        forecast=_overrun(budget, spend) if period == "month" and left_iqd > 0 else "",
    )


def _overrun(budget: Amount, spend: Spend) -> str:
    over_iqd = spend.forecast.iqd - budget.iqd if spend.forecast else 0
    if over_iqd <= 0 or budget.stops:  # what stops is not overrun
        return ""
    return gettext("By the forecast the month ends about %(iqd)s IQD above it.", iqd=rough(over_iqd))


def stopped_sentence(spent: Spent) -> str:
    """Why nothing goes out, and until when."""
    budget = {"iqd": number(spent.budget_iqd)}
    if spent.period == "day":
        return gettext("Sending is stopped until tomorrow: today's budget of %(iqd)s IQD is spent.", **budget)
    return gettext("Sending is stopped until next month: this month's budget of %(iqd)s IQD is spent.", **budget)


def balance_finding(spend: Spend) -> str:
    """The stair's title: what the balance did in this month."""
    known = [iqd for iqd in (spend.opening_iqd, *(day.iqd for day in spend.balances)) if iqd is not None]
    if not known:
        return gettext("The balance is not known yet")
    amounts = {"first": number(known[0]), "last": number(known[-1]), "paid": number(spend.topped_up_iqd)}
    if spend.topped_up_iqd:
        return gettext("Topped up by about %(paid)s IQD", **amounts)
    if known[-1] < known[0]:
        return gettext("The balance fell from %(first)s to %(last)s IQD", **amounts)
    return gettext("The balance stood at %(last)s IQD", **amounts)


def balance_chart(spend: Spend, size: Size, zone: ZoneInfo, *, mirrored: bool = False) -> StairChart | None:
    """The balance from day to day, what was paid in written above its step; None with fewer than two readings."""
    readings = [(spend.start, spend.opening_iqd, 0)]
    readings += [(min(day.end, spend.at), day.iqd, day.topped_up_iqd) for day in spend.balances]
    known = [(at, iqd, paid) for at, iqd, paid in readings if iqd is not None]
    if len(known) < 2:
        return None
    base = float(size.height - _AXIS_HEIGHT)
    top = nice_above(max(iqd for _at, iqd, _paid in known))

    def place(at: datetime) -> float:
        x = size.width * ((at - spend.start) / (spend.end - spend.start))
        return round(size.width - x if mirrored else x, 1)

    def height(iqd: int) -> float:
        return round(base - (base - _HEAD_ROOM) * max(iqd, 0) / top, 1)

    first_x = place(known[0][0])
    line = f"M{first_x} {height(known[0][1])}" + "".join(
        f" H{place(at)} V{height(iqd)}" for at, iqd, _paid in known[1:]
    )
    return StairChart(
        size=size,
        base=base,
        label_y=base + 16,
        scale_x=size.width - 2.0 if mirrored else 2.0,
        line=line,
        area=f"{line} V{base} H{first_x} Z",
        top_ups=tuple(
            Mark(at=place(at), text=f"+{number(paid)}", anchor=_anchor(place(at), size, mirrored=mirrored))
            for at, _iqd, paid in known
            if paid
        ),
        times=_times(spend.days, place, size, zone, mirrored=mirrored),
        grid=tuple(Mark(at=height(top * part // 2), text=number(top * part // 2), anchor="start") for part in (1, 2)),
    )


def _times(
    days: Sequence[SpendDay], place: Callable[[datetime], float], size: Size, zone: ZoneInfo, *, mirrored: bool
) -> tuple[Mark, ...]:
    """Each label under the middle of its day."""
    marks = []
    for day in days[:: ceil(len(days) / size.labels)]:
        x = place(day.start + (day.end - day.start) / 2)
        text = format_axis_day(day.start.astimezone(zone))
        marks.append(Mark(at=x, text=text, anchor=_anchor(x, size, mirrored=mirrored)))
    return tuple(marks)


def _anchor(x: float, size: Size, *, mirrored: bool) -> str:
    """Which end of a text stands at `x`, so that none sticks out; in right-to-left text it starts at its right."""
    if _ROOM <= x <= size.width - _ROOM:
        return "middle"
    return "start" if (x < _ROOM) != mirrored else "end"
