"""Sender ids in words: what OTPIQ thinks of each, what it costs, and what came of asking."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import Flask

from webhook_app import status
from webhook_app.figures.prices import SenderCost
from webhook_app.marking import N_
from webhook_app.otpiq import Sender
from webhook_app.pricing import Check
from webhook_app.web.formats.translation import gettext
from webhook_app.web.formats.words import CARRIERS, Label, channel_name

_STATUSES: Mapping[str, tuple[str, str, str]] = {
    "accepted": (N_("Approved"), "ok", "check"),
    "pending": (N_("Waits for OTPIQ's approval"), "wait", "hourglass"),
    "rejected": (N_("Not approved by OTPIQ"), "bad", "ban"),
    "gone": (N_("No longer listed"), "few", "circle-dashed"),
    "": (N_("Not asked yet"), "few", "circle-dashed"),
}
_TROUBLES: Mapping[str, str] = {
    "key": N_("OTPIQ refuses the key."),
    "rate": N_("OTPIQ was asked too often and wants to be left alone for some minutes."),
    "no_key": N_("OTPIQ was not asked: no OTPIQ_API_KEY is set."),
    "not_sent": N_("OTPIQ could not be reached."),
    "outcome_unknown": N_("OTPIQ gave no answer that makes sense."),
    "store": N_("OTPIQ answered, but the store is away."),
}


@dataclass(frozen=True, kw_only=True)
class SenderLine:
    """One sender id; `prices` by carrier, in the order of CARRIERS, None where OTPIQ lists none."""

    sender_id: str
    status: Label
    prices: tuple[tuple[str, SenderCost | None], ...]
    since: datetime  # when a price of it changed last


@dataclass(frozen=True, kw_only=True)
class ChannelPrice:
    """`is_listed`: by OTPIQ's own list; else what the latest messages were charged."""

    name: str
    iqd: int
    is_listed: bool


def register(app: Flask) -> None:
    """Give `app`'s templates what they need of this module."""
    for function in (sender_label, trouble_words):
        app.add_template_filter(function, function.__name__)
    app.jinja_env.globals.update(sender_lines=sender_lines, route_prices=route_prices)


def sender_label(word: str) -> Label:
    text, tone, icon = _STATUSES.get(word, (word, "few", "circle-dashed"))
    return Label(text=gettext(text), tone=tone, icon=icon)


def trouble_words(check: Check) -> str:
    return gettext(_TROUBLES.get(check.trouble or "", N_("OTPIQ refused to answer.")))


def sender_lines(costs: Iterable[SenderCost], senders: Sequence[Sender] | None) -> tuple[SenderLine, ...]:
    """What the store knows of prices beside what OTPIQ's list, as last read, says of each sender now."""
    by_sender: dict[str, list[SenderCost]] = {}
    for cost in costs:
        by_sender.setdefault(cost.sender_id, []).append(cost)
    statuses = {sender.sender_id: sender.status for sender in senders or ()}
    return tuple(
        SenderLine(
            sender_id=sender_id,
            status=sender_label(statuses.get(sender_id, "" if senders is None else "gone")),
            prices=tuple((carrier, _of(carrier, found)) for carrier in CARRIERS),
            since=max(cost.since for cost in found),
        )
        for sender_id, found in by_sender.items()
    )


def _of(carrier: str, costs: Iterable[SenderCost]) -> SenderCost | None:
    return next((cost for cost in costs if cost.carrier == carrier and cost.iqd is not None), None)


def route_prices(provider: str, by_channel: Mapping[str, int]) -> tuple[ChannelPrice, ...]:
    """What each channel of a route costs, as far as it is known."""
    return tuple(
        ChannelPrice(name=channel_name(channel), iqd=by_channel[channel], is_listed=channel == "sms")
        for channel in status.route(provider)
        if channel in by_channel
    )
