"""Which range of time the overview's address asks for."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from flask import request
from flask_babel import gettext as _
from flask_babel import ngettext

from .. import figures
from .asking import choice, moment
from .context import now, wasl


@dataclass(frozen=True, kw_only=True)
class Asked:
    """`first` and `last` are what the form for a range of one's own shows; with an `error` the range is today."""

    range: figures.Range
    first: str
    last: str
    error: str | None = None


def asked() -> Asked:
    """Days in the wrong order are put right, days to come are left out. 400 for what is no range or no day at all."""
    name = choice("range", (*figures.RANGES, figures.OWN))
    first, last = _day("from"), _day("to")
    is_own = name == figures.OWN or (name is None and (first or last))
    zone, at = wasl().settings.time_zone, now()
    if not is_own or not (first or last):
        range_ = figures.range_of(name if name in figures.RANGES else "today", zone, at)
        start, end = range_.start.astimezone(zone), (range_.end - timedelta(hours=1)).astimezone(zone)
        return Asked(range=range_, first=str(start.date()), last=str(end.date()))
    today = at.astimezone(zone).date()
    first, last = sorted((first or last or today, last or today))
    if error := _error(first, last, today):
        typed = {name: request.args.get(name, "") for name in ("from", "to")}
        return Asked(range=figures.range_of("today", zone, at), first=typed["from"], last=typed["to"], error=error)
    range_ = figures.own_range(first, min(last, today), zone, at)
    return Asked(range=range_, first=str(first), last=str(min(last, today)))


def _error(first: date, last: date, today: date) -> str | None:
    if first > today:
        return str(_("A range must begin today or earlier."))
    if (min(last, today) - first).days >= figures.MOST_DAYS:
        return str(
            ngettext(
                "A range must be no longer than %(num)s day.",
                "A range must be no longer than %(num)s days.",
                figures.MOST_DAYS,
            )
        )
    return None


def _day(name: str) -> date | None:
    value = moment(name)
    return value.date() if isinstance(value, datetime) else value
