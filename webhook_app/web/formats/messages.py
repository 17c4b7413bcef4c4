"""The pages of messages in words: what a list is narrowed to, how many match, what a search was understood as; and one
message as a command to try."""

import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from flask import Flask

from webhook_app.figures import NO_CHANNEL, Search
from webhook_app.figures.rows import MessageDetail, StatusCount
from webhook_app.marking import N_
from webhook_app.otpiq.requests import example
from webhook_app.phone import carrier_of, mask
from webhook_app.sources import NamedSource
from webhook_app.web.formats.numbers import capped
from webhook_app.web.formats.reasons import counted_words
from webhook_app.web.formats.translation import gettext, ngettext
from webhook_app.web.formats.words import carrier_name, channel_name, type_name

_OUTCOMES: Mapping[str, str] = {
    "delivered": N_("Delivered or read"),
    "failed": N_("Failed, refused or not sent"),
    "waiting": N_("Waiting"),
}
_FAILED = ("failed", "rejected", "throttled", "unsent")


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Days that are asked for often. Its link leads to them, or away from them when they are what is shown."""

    label: str
    is_chosen: bool
    leads_to: Mapping[str, str | None]


def register(app: Flask, zone: Callable[[], ZoneInfo]) -> None:
    """Give `app`'s templates what they need of this module; `zone` is the one the pages speak in."""
    for function in (input_end, is_about_failures, matching, export_words, understood, curl):
        app.add_template_filter(function, function.__name__)
    app.jinja_env.globals.update(
        filter_args=filter_args,
        filter_chips=filter_chips,
        day_presets=lambda chosen, now: day_presets(chosen, now, zone()),
    )


def filter_args(chosen: Mapping[str, str], **changes: str | None) -> dict[str, str]:
    """The query arguments of `chosen` with `changes` applied; None takes one away. Cursors are left out on purpose."""
    return {name: value for name, value in {**chosen, **changes}.items() if value}


def filter_chips(
    chosen: Mapping[str, str], sources: Iterable[NamedSource], number: str, presets: Iterable[Preset] = ()
) -> list[tuple[str, str]]:
    """Each part of a filter by its argument, in words, but for the status, which has its tab, and a chosen preset."""
    names = {str(source.id): source.name for source in sources}
    written: Mapping[str, Callable[[str], str]] = {
        "outcome": lambda value: gettext(_OUTCOMES[value]),
        "carrier": carrier_name,
        "channel": lambda value: gettext("No channel") if value == NO_CHANNEL else channel_name(value),
        "type": type_name,
        "source": lambda value: names.get(value, value),
        "sender": lambda value: gettext("sender %(sender)s", sender=value),
        "reason": lambda value: counted_words(value).meaning,
        "tried": _tried,
        "like": lambda _value: gettext("to %(number)s", number=number),
        "repeat": lambda _value: gettext("To the same number within a minute"),
        "at_risk": lambda _value: gettext("at risk"),
        "from": lambda value: gettext("from %(time)s", time=value.replace("T", " ")),
        "to": lambda value: gettext("to %(time)s", time=value.replace("T", " ")),
    }
    elsewhere = ("from", "to") if any(preset.is_chosen for preset in presets) else ()
    return [(name, write(chosen[name])) for name, write in written.items() if name in chosen and name not in elsewhere]


def _tried(channels: str) -> str:
    return ngettext("ended after %(num)s channel or more", "ended after %(num)s channels or more", int(channels))


def day_presets(chosen: Mapping[str, str], now: datetime, zone: ZoneInfo) -> list[Preset]:
    today = now.astimezone(zone).date()
    days = {
        gettext("Today"): (today, today),
        gettext("Yesterday"): (today - timedelta(days=1), today - timedelta(days=1)),
        gettext("7 days"): (today - timedelta(days=6), today),
    }
    return [_preset(label, str(first), str(last), chosen) for label, (first, last) in days.items()]


def _preset(label: str, first: str, last: str, chosen: Mapping[str, str]) -> Preset:
    is_chosen = (chosen.get("from"), chosen.get("to")) == (first, last)
    leads_to: Mapping[str, str | None] = {"from": None, "to": None} if is_chosen else {"from": first, "to": last}
    return Preset(label=label, is_chosen=is_chosen, leads_to=leads_to)


def input_end(text: str | None) -> str:
    """What a datetime-local field takes for the end of a range: a bare day belongs to it, so it ends where the next one
    begins."""
    if not text:
        return ""
    return f"{date.fromisoformat(text) + timedelta(days=1)}T00:00" if len(text) == len("2026-11-22") else text


def is_about_failures(chosen: Mapping[str, str]) -> bool:
    """Whether all that is listed failed: then why matters, not how long it took."""
    return chosen.get("outcome") == "failed" or chosen.get("status") in _FAILED or "reason" in chosen


def matching(tab: StatusCount) -> str:
    """ "1,204", "10,000+", and "37+" where there may be more that were not looked for; nothing where none was found."""
    if not tab.count and tab.looked_to:
        return ""
    return f"{tab.count:,}+" if tab.looked_to and tab.count <= 10_000 else capped(tab.count)


def export_words(tab: StatusCount) -> str:
    """What the export's button says."""
    if not tab.count or tab.looked_to:
        return gettext("Export all that match")
    return ngettext("Export %(count)s message", "Export %(count)s messages", tab.count, count=matching(tab))


def understood(search: Search) -> str:
    """What was looked for, as it was read; a number masked."""
    if search.number is not None:
        known = {"number": mask(search.number), "carrier": carrier_name(carrier_of(search.number))}
        return gettext("the number %(number)s, %(carrier)s", **known)
    if search.number_end is not None and search.number_start:
        known = {"number": search.words, "carrier": carrier_name(carrier_of(search.number_start))}
        return gettext("the number %(number)s, %(carrier)s", **known)
    if search.number_end is not None:
        return gettext("numbers that end in %(digits)s", digits=search.number_end)
    if search.message_id is not None:
        return gettext("the message id %(id)s", id=search.message_id)
    return gettext("the smsId or reference %(words)s", words=search.words)


def curl(detail: MessageDetail, url: str) -> str:
    """The same request to our own API, to be tried by hand: who copies it puts in a key, a number and a code."""
    body = json.dumps(example(detail.request or {}), ensure_ascii=False, indent=2)
    head = ("Authorization: Bearer YOUR_WASL_KEY", "Content-Type: application/json")
    lines = (
        f"curl -X POST {shlex.quote(url)}",
        *(f"-H {shlex.quote(line)}" for line in head),
        f"-d {shlex.quote(body)}",
    )
    return " \\\n  ".join(lines)
