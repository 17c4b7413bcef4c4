"""The overview in words: its range, what is wrong or since when nothing is, what the bars show. The other pictures
have modules of their own; here is also what its templates are given of all of them.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from flask import Flask

from webhook_app.figures.overview_rows import FEW, Bucket, Health, Jump, Overview
from webhook_app.figures.ranges import Range
from webhook_app.web.formats import carriers, charts, fallback, pace, reasons, weekdays
from webhook_app.web.formats.numbers import number, percent
from webhook_app.web.formats.reasons import counted_words
from webhook_app.web.formats.translation import format_local, gettext, ngettext
from webhook_app.web.formats.words import carrier_name, channel_name


def register(app: Flask, zone: Callable[[], ZoneInfo]) -> None:
    """Give `app`'s templates what the overview needs; `zone` is the one the pages speak in."""
    for function in (
        range_label,
        jump_notes,
        carriers.cell_grid,
        carriers.carriers_finding,
        fallback.fallback_finding,
        fallback.fallback_steps,
        pace.pace_finding,
        pace.seconds_figure,
        reasons.ranked_reasons,
        reasons.reasons_finding,
        weekdays.day_name,
        weekdays.week_finding,
    ):
        app.add_template_filter(function, function.__name__)
    app.add_template_filter(compared_until)
    app.add_template_filter(lambda overview: finding(overview, zone()), "finding")
    app.add_template_filter(lambda week: weekdays.week_rows(week, zone()), "week_rows")
    app.add_template_filter(lambda jump: jump_sentence(jump, zone()), "jump_sentence")
    app.add_template_filter(lambda health, now: well_sentence(health, now, zone()), "well_sentence")
    app.jinja_env.globals.update(
        sparkline=charts.sparkline,
        meter=charts.meter,
        bar_charts=lambda buckets, mirrored: charts.bar_charts(buckets, zone(), mirrored=mirrored),
        pace_chart=lambda paces, size, mirrored: pace.pace_chart(paces, pace.SIZES[size], mirrored=mirrored),
    )


def range_label(range_: Range) -> str:
    """The days, or the hour, that a range is of: "22 Nov", "16 Nov to 22 Nov", "11:05 to 12:05"."""
    first, last = range_.start.astimezone(range_.zone), range_.end.astimezone(range_.zone)
    if range_.is_by_slot:
        return gettext("%(first)s to %(last)s", first=f"{first:%H:%M}", last=f"{last:%H:%M}")
    days = [format_local(at, "EEE d MMM") for at in (first, last - timedelta(hours=1))]
    return days[0] if range_.days <= 1 else gettext("%(first)s to %(last)s", first=days[0], last=days[1])


def compared_until(range_: Range) -> str:
    """The time of day up to which a range that goes on is compared: its figures count on, the hour is not over."""
    if range_.is_by_slot or range_.over_end == range_.end:
        return ""
    return f"{range_.over_end.astimezone(range_.zone):%H:%M}"


def finding(overview: Overview, zone: ZoneInfo) -> str:
    """The bar chart's title: what it shows, said in words."""
    if overview.worst is not None:
        return _jump(overview, overview.worst, zone)
    if overview.messages == 0:
        return gettext("No messages in this range")
    if overview.delivered_percent is None:
        return gettext("Nothing is settled yet")
    delivered = percent(overview.delivered_percent)
    if overview.delivered_percent < carriers.POOR_PERCENT and overview.failed >= FEW:
        return gettext("Only %(percent)s%% delivered, in all of the range", percent=delivered)
    return gettext("No jump in failures: %(percent)s%% delivered", percent=delivered)


def _jump(overview: Overview, worst: Bucket, zone: ZoneInfo) -> str:
    at = worst.start.astimezone(zone)
    known = {
        "carrier": carrier_name(overview.worst_carrier) if overview.worst_carrier else "",
        "time": f"{at:%H:%M}",
        "day": format_local(at, "d MMM"),
    }
    if overview.range.days <= 1:
        if overview.worst_carrier:
            return gettext("Failures jumped at %(time)s, mostly on %(carrier)s", **known)
        return gettext("Failures jumped at %(time)s", **known)
    if overview.worst_carrier:
        return gettext("Failures jumped on %(day)s, mostly on %(carrier)s", **known)
    return gettext("Failures jumped on %(day)s", **known)


def jump_sentence(jump: Jump, zone: ZoneInfo) -> str:
    """ "Korek by SMS: 41.0% delivered since 15:00"."""
    known = {
        "carrier": carrier_name(jump.carrier or ""),
        "channel": channel_name(jump.channel),
        "percent": percent(jump.delivered_percent),
        "time": f"{jump.start.astimezone(zone):%H:%M}",
    }
    if jump.carrier and jump.channel:
        return gettext("%(carrier)s by %(channel)s: %(percent)s%% delivered since %(time)s", **known)
    if jump.carrier:
        return gettext("%(carrier)s: %(percent)s%% delivered since %(time)s", **known)
    if jump.channel:
        return gettext("%(channel)s: %(percent)s%% delivered since %(time)s", **known)
    return gettext("Only %(percent)s%% delivered since %(time)s", **known)


def jump_notes(jump: Jump) -> tuple[str, ...]:
    """What else is known of it, in reading order."""
    settled = jump.delivered + jump.failed
    notes = [ngettext("%(n)s message", "%(n)s messages", settled, n=number(settled))]
    if jump.usual_percent is not None:
        notes.insert(0, gettext("usually %(percent)s%%", percent=percent(jump.usual_percent)))
    if jump.reason:
        notes.append(counted_words(jump.reason).meaning)
    return tuple(notes)


def well_sentence(health: Health, now: datetime, zone: ZoneInfo) -> str:
    """What to say where nothing stands out."""
    if health.is_quiet:
        return gettext("Nothing wrong, and nothing sent in the last 24 hours")
    if health.failed_all:
        return ngettext(
            "No delivery was reported in the last 24 hours: %(n)s message failed",
            "No delivery was reported in the last 24 hours: %(n)s messages failed",
            health.failed_all,
            n=number(health.failed_all),
        )
    if health.well_since is None:
        return gettext("All well for the last 24 hours")
    since = health.well_since.astimezone(zone)
    if since.date() == now.astimezone(zone).date():
        return gettext("All well since %(time)s", time=f"{since:%H:%M}")
    return gettext("All well since %(day)s, %(time)s", day=format_local(since, "EEEE"), time=f"{since:%H:%M}")
