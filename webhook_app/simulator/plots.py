"""What happens to one accepted message: which channels try it, how long each takes, how it ends. Pure.

Shares and delays are invented, shaped like an Iraqi shop's days: most people are on WhatsApp, Korek is slower and loses
more. Times are simulated seconds since the send was accepted; posting the callbacks is `postman`'s business.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from webhook_app.phone import Carrier, carrier_of
from webhook_app.simulator.misbehaviours import Misbehaviour, find_misbehaviour, suffix_of


class Channel(StrEnum):
    SMS = "sms"
    WHATSAPP = "whatsapp"
    TELEGRAM = "telegram"


class EventStatus(StrEnum):
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Event:
    """One change of a message on one channel, `after_s` seconds after the send was accepted."""

    after_s: float
    channel: Channel
    status: EventStatus
    is_final: bool
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A message's whole story, in the order it truly happens. A refused send has no events."""

    route: tuple[Channel, ...]
    events: tuple[Event, ...]
    misbehaviour: Misbehaviour | None
    is_reset: bool = False  # taken and charged, but the connection is reset in place of an answer


@dataclass(frozen=True, kw_only=True)
class Callback:
    """Event number `event` of the plot, to be posted `after_s` seconds after the send was accepted."""

    after_s: float
    event: int


@dataclass(frozen=True, kw_only=True)
class Truth:
    """A set of events in one word, by the rules any reader of callbacks must reach in whatever order they came."""

    status: str
    channel: Channel | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Rates:
    """How often numbers misbehave that do not ask for it, and the seed of every draw (None: each run differs)."""

    misbehave: float = 0.0
    reset: float = 0.0  # of the sends that do not misbehave otherwise
    among: tuple[Misbehaviour, ...] = tuple(Misbehaviour)
    whatsapp_gives_up_s: float = 30.0
    seed: int | None = None

    def rng(self, phone: str, nth: int) -> random.Random:
        """The source of chance for the nth send to a number: one seed gives one story, whichever thread comes first."""
        return random.Random(None if self.seed is None else f"{self.seed}:{phone}:{nth}")  # noqa: S311


CARRIER_SHARES: dict[Carrier, int] = {Carrier.ZAIN: 42, Carrier.ASIACELL: 39, Carrier.KOREK: 19}
_PREFIXES = {Carrier.ZAIN: ("96478", "96479"), Carrier.ASIACELL: ("96477",), Carrier.KOREK: ("96475",)}

ROUTES: dict[str, tuple[Channel, ...]] = {
    "auto": (Channel.WHATSAPP, Channel.TELEGRAM, Channel.SMS),
    "whatsapp-telegram-sms": (Channel.WHATSAPP, Channel.TELEGRAM, Channel.SMS),
    "whatsapp-sms": (Channel.WHATSAPP, Channel.SMS),
    "telegram-sms": (Channel.TELEGRAM, Channel.SMS),
    "sms": (Channel.SMS,),
    "whatsapp": (Channel.WHATSAPP,),
    "telegram": (Channel.TELEGRAM,),
}


@dataclass(frozen=True, kw_only=True)
class _Failure:
    reason: str
    weight: int
    takes_s: tuple[float, float]


_NOT_ON_WHATSAPP = "Recipient is not on WhatsApp"
_FAILURES: dict[Channel, tuple[_Failure, ...]] = {
    Channel.SMS: (
        _Failure(reason="Carrier rejected the message", weight=35, takes_s=(0.8, 3.0)),
        _Failure(reason="Absent subscriber", weight=35, takes_s=(15.0, 40.0)),
        _Failure(reason="Number not in service", weight=15, takes_s=(1.0, 5.0)),
        _Failure(reason="Message expired at the carrier", weight=15, takes_s=(40.0, 60.0)),
    ),
    Channel.WHATSAPP: (
        _Failure(reason=_NOT_ON_WHATSAPP, weight=85, takes_s=(0.95, 1.05)),  # times Rates.whatsapp_gives_up_s
        _Failure(reason="Message undeliverable", weight=15, takes_s=(2.0, 8.0)),
    ),
    Channel.TELEGRAM: (
        _Failure(reason="Recipient is not on Telegram", weight=90, takes_s=(1.0, 4.0)),
        _Failure(reason="Recipient does not take messages from this bot", weight=10, takes_s=(1.0, 3.0)),
    ),
}
_FAILURE_SHARES: dict[Channel, dict[Carrier, float]] = {
    Channel.SMS: {Carrier.ZAIN: 0.03, Carrier.ASIACELL: 0.035, Carrier.KOREK: 0.09, Carrier.OTHER: 0.12},
    Channel.WHATSAPP: {Carrier.ZAIN: 0.10, Carrier.ASIACELL: 0.11, Carrier.KOREK: 0.16, Carrier.OTHER: 0.20},
    Channel.TELEGRAM: {Carrier.ZAIN: 0.40, Carrier.ASIACELL: 0.38, Carrier.KOREK: 0.45, Carrier.OTHER: 0.60},
}
# Some networks return no receipts: the story ends at "sent", marked final.
_NO_RECEIPT_SHARES = {Carrier.KOREK: 0.03, Carrier.OTHER: 0.05}
_DELIVERY_S: dict[Channel, tuple[float, float]] = {
    Channel.SMS: (1.5, 7.0),
    Channel.WHATSAPP: (0.6, 3.5),
    Channel.TELEGRAM: (0.5, 2.5),
}
_KOREK_SMS_SLOWNESS = 2.5
_SENT_S = (0.2, 1.5)
_LATE_RECEIPT_S = (4.0, 15.0)
_REPEATS_S = (0.0, 0.6, 2.5)
_REORDERED_GAP_S = 1.5


def plot(phone: str, provider: str, sms_type: str, rng: random.Random, rates: Rates) -> Plot:
    """Decide a message's story. `provider` must be a key of ROUTES."""
    route = route_of(provider, sms_type)
    misbehaviour = find_misbehaviour(phone)
    if misbehaviour is None and rng.random() < rates.misbehave:
        misbehaviour = rng.choice(rates.among)
    if misbehaviour is not None and misbehaviour.refuses:
        return Plot(route=route, events=(), misbehaviour=misbehaviour)
    events = _travel(route, carrier_of(phone), misbehaviour, rng, rates)
    if misbehaviour is Misbehaviour.LATE_RECEIPT:
        last = events[-1]
        after_s = last.after_s + rng.uniform(*_LATE_RECEIPT_S)
        events.append(replace(last, after_s=after_s, status=EventStatus.DELIVERED, reason=None))
    if misbehaviour is Misbehaviour.CALLBACK_FIRST:  # all at once, or a "final" report would keep the answer waiting
        events = [replace(event, after_s=0.3 * number) for number, event in enumerate(events)]
    is_reset = misbehaviour is None and 0 < rates.reset > rng.random()
    return Plot(route=route, events=tuple(events), misbehaviour=misbehaviour, is_reset=is_reset)


def route_of(provider: str, sms_type: str) -> tuple[Channel, ...]:
    """The channels in the order they are tried. A custom text always goes out by SMS, whatever was asked."""
    return (Channel.SMS,) if sms_type == "custom" else ROUTES[provider]


def callbacks_of(story: Plot, report_type: str) -> tuple[Callback, ...]:
    """The callbacks a plot leads to, misbehaviour included; `report_type` is "all" or "final"."""
    told = [n for n, event in enumerate(story.events) if report_type == "all" or event.is_final]
    if not told or story.misbehaviour is Misbehaviour.LOST_CALLBACKS:
        return ()
    times_s = {n: story.events[n].after_s for n in told}
    if story.misbehaviour is Misbehaviour.REORDERED_CALLBACKS:
        # None before the end of the story: a report of something that has not happened yet would be a lie, not a delay.
        end_s = max(times_s.values())
        times_s = {n: end_s + _REORDERED_GAP_S * place for place, n in enumerate(reversed(told))}
    repeats_s = _REPEATS_S if story.misbehaviour is Misbehaviour.REPEATED_CALLBACKS else (0.0,)
    callbacks = [Callback(after_s=times_s[n] + later_s, event=n) for n in told for later_s in repeats_s]
    return tuple(sorted(callbacks, key=lambda callback: callback.after_s))


def headline(events: Iterable[Event]) -> Truth:
    """Sum events up: delivered, failed, sent, retrying (a channel failed and the route goes on) or accepted."""
    seen = list(events)
    for delivered in (e for e in seen if e.status is EventStatus.DELIVERED):
        return Truth(status="delivered", channel=delivered.channel)
    failed = [e for e in seen if e.status is EventStatus.FAILED]
    for gave_up in (e for e in failed if e.is_final):
        return Truth(status="failed", channel=gave_up.channel, reason=gave_up.reason)
    failed_channels = {e.channel for e in failed}
    for sent in (e for e in seen if e.channel not in failed_channels):
        return Truth(status="sent", channel=sent.channel)
    if failed:
        last = max(failed, key=lambda e: e.after_s)
        return Truth(status="retrying", channel=last.channel, reason=last.reason)
    return Truth(status="accepted")


def random_phone(rng: random.Random, misbehaviour: Misbehaviour | None = None) -> str:
    """A valid Iraqi number by the carriers' shares; it misbehaves as asked, and otherwise surely not by itself."""
    carrier = rng.choices(list(CARRIER_SHARES), weights=list(CARRIER_SHARES.values()))[0]
    start = f"{rng.choice(_PREFIXES[carrier])}{rng.randrange(100_000):05d}"
    if misbehaviour is not None:
        return start + suffix_of(misbehaviour)
    while find_misbehaviour(phone := f"{start}{rng.randrange(1000):03d}") is not None:
        pass
    return phone


def _travel(
    route: tuple[Channel, ...], carrier: Carrier, misbehaviour: Misbehaviour | None, rng: random.Random, rates: Rates
) -> list[Event]:
    events: list[Event] = []
    now_s = 0.0
    for channel in route:
        is_last = channel is route[-1]
        now_s += rng.uniform(*_SENT_S)
        sent = Event(after_s=now_s, channel=channel, status=EventStatus.SENT, is_final=False)
        fails = _forced_failure(misbehaviour, is_last)
        if fails is None and channel is Channel.SMS and rng.random() < _NO_RECEIPT_SHARES.get(carrier, 0.0):
            return [*events, replace(sent, is_final=True)]
        events.append(sent)
        if fails is None:
            fails = rng.random() < _FAILURE_SHARES[channel][carrier]
        outcome = _failed(channel, rng, rates) if fails else _delivered(channel, carrier, rng)
        now_s += outcome.after_s
        events.append(replace(outcome, after_s=now_s, is_final=is_last or not fails))
        if not fails:
            break
    return events


def _forced_failure(misbehaviour: Misbehaviour | None, is_last: bool) -> bool | None:
    if misbehaviour in (Misbehaviour.FAILED, Misbehaviour.LATE_RECEIPT):
        return True
    if misbehaviour is Misbehaviour.FALLBACK:
        return not is_last
    return None


def _failed(channel: Channel, rng: random.Random, rates: Rates) -> Event:
    failures = _FAILURES[channel]
    failure = rng.choices(failures, weights=[f.weight for f in failures])[0]
    takes_s = rng.uniform(*failure.takes_s)
    if failure.reason == _NOT_ON_WHATSAPP:
        takes_s *= rates.whatsapp_gives_up_s
    return Event(after_s=takes_s, channel=channel, status=EventStatus.FAILED, is_final=False, reason=failure.reason)


def _delivered(channel: Channel, carrier: Carrier, rng: random.Random) -> Event:
    takes_s = rng.uniform(*_DELIVERY_S[channel])
    if channel is Channel.SMS and carrier is Carrier.KOREK:
        takes_s *= _KOREK_SMS_SLOWNESS
    return Event(after_s=takes_s, channel=channel, status=EventStatus.DELIVERED, is_final=False)
