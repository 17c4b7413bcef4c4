"""What a message's status is: a merge of facts that no order, repeat or split can change.

Pure, and the only definition. Callbacks, tracking answers and send answers all become a `Fact`; a `Delivery` is the
join of every fact seen; the headline is a function of the `Delivery` and of the send's own state alone. Provider words
and their meaning are tabled here because the merge is about them; the shapes they come in are `otpiq`'s.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from functools import reduce
from typing import Any


class Reached(IntEnum):
    """How far one channel got; the order is the merge."""

    NONE = 0
    SENT = 1
    FAILED = 2
    DELIVERED = 3
    READ = 4


class Status(StrEnum):
    READ = "read"
    DELIVERED = "delivered"
    FAILED = "failed"
    SENT = "sent"
    RETRYING = "retrying"
    ACCEPTED = "accepted"
    # The send's own states, shown while the provider has said nothing:
    QUEUED = "queued"
    SENDING = "sending"
    REJECTED = "rejected"
    THROTTLED = "throttled"
    UNCONFIRMED = "unconfirmed"
    UNSENT = "unsent"  # nothing left this machine; safe to send again


SEND_STATES = (
    Status.QUEUED,
    Status.SENDING,
    Status.ACCEPTED,
    Status.REJECTED,
    Status.THROTTLED,
    Status.UNCONFIRMED,
    Status.UNSENT,
)
NO_REPORT_AFTER = timedelta(hours=72)  # since its last fact; a label over the status, which a later fact lifts
CLOSED_SENDS = frozenset({Status.REJECTED, Status.THROTTLED, Status.UNSENT})
TAKEN = frozenset(Status) - {*SEND_STATES} | {Status.ACCEPTED}  # by the provider: only these are charged
# What a status means to whoever asked for the message; every status is in one of the three.
OUTCOMES: Mapping[str, tuple[Status, ...]] = {
    "delivered": (Status.READ, Status.DELIVERED),
    "failed": (Status.FAILED, Status.REJECTED, Status.THROTTLED, Status.UNSENT),
    "waiting": (
        Status.SENT,
        Status.RETRYING,
        Status.ACCEPTED,
        Status.QUEUED,
        Status.SENDING,
        Status.UNCONFIRMED,
    ),
}
UNKNOWN_CHANNEL = "?"
CHANNELS = ("whatsapp", "telegram", "sms")
_REACHED_BY_WORD = {
    "sent": Reached.SENT,
    "failed": Reached.FAILED,
    "expired": Reached.FAILED,
    "undelivered": Reached.FAILED,
    "rejected": Reached.FAILED,
    "delivered": Reached.DELIVERED,
    "read": Reached.READ,
}
_ROUTES = {
    "auto": CHANNELS,
    "whatsapp-telegram-sms": CHANNELS,
    "whatsapp-sms": ("whatsapp", "sms"),
    "telegram-sms": ("telegram", "sms"),
}


def route(provider: str | None) -> tuple[str, ...]:
    """The channels a route word tries, in order; `auto` and the unknown may try all."""
    if provider in CHANNELS:
        return (provider,)
    return _ROUTES.get(provider or "auto", CHANNELS)


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One thing the provider said. `word` None: only "the provider knows this message"."""

    at: datetime
    word: str | None = None
    channel: str | None = None
    is_final: bool = False
    reason: str | None = None
    sms_id: str | None = None
    cost_iqd: int | None = None
    cost_from: str = "answer"  # or tracking, which is believed before the send's answer
    is_asked_for: bool = False  # the answer to a question of ours, no word of the provider's own


@dataclass(frozen=True, kw_only=True)
class Channel:
    """What is known of one channel: when each level was first reached, whether the provider gave up, and why."""

    first_at: Mapping[Reached, datetime] = field(default_factory=dict)
    final: bool = False
    gave_up: bool = False
    reasons: frozenset[tuple[bool, str]] = frozenset()  # (was it final, the provider's words)

    @property
    def reached(self) -> Reached:
        return max(self.first_at, default=Reached.NONE)

    @property
    def reason(self) -> str | None:
        """The final reason before a passing one; of two alike the alphabet decides, because arrival must not."""
        return min(self.reasons, key=lambda known: (not known[0], known[1]), default=(False, None))[1]

    def join(self, other: "Channel") -> "Channel":
        return Channel(
            first_at=_earliest(self.first_at, other.first_at),
            final=self.final or other.final,
            gave_up=self.gave_up or other.gave_up,
            reasons=self.reasons | other.reasons,
        )


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Everything the provider ever said of one message. `join` is commutative, associative and idempotent."""

    channels: Mapping[str, Channel] = field(default_factory=dict)
    known: bool = False  # the provider has this message
    sms_ids: frozenset[str] = frozenset()
    unknown_words: frozenset[str] = frozenset()
    cost_iqd: Mapping[str, int] = field(default_factory=dict)  # by who said so: answer, tracking
    last_at: datetime | None = None  # the provider's last word of its own

    def join(self, other: "Delivery") -> "Delivery":
        names = {*self.channels, *other.channels}
        sources = {*self.cost_iqd, *other.cost_iqd}
        return Delivery(
            channels={n: self.channels.get(n, _NO_CHANNEL).join(other.channels.get(n, _NO_CHANNEL)) for n in names},
            known=self.known or other.known,
            sms_ids=self.sms_ids | other.sms_ids,
            unknown_words=self.unknown_words | other.unknown_words,
            cost_iqd={s: max(d.cost_iqd[s] for d in (self, other) if s in d.cost_iqd) for s in sources},
            last_at=max((at for at in (self.last_at, other.last_at) if at), default=None),
        )

    def knows_more_than(self, earlier: "Delivery") -> bool:
        """Whether this join of `earlier` with something knows more than when something was last heard."""
        return self._knowledge != earlier._knowledge

    @property
    def _knowledge(self) -> tuple[object, ...]:
        return self.channels, self.known, self.sms_ids, self.unknown_words, self.charged_iqd

    @property
    def charged_iqd(self) -> int | None:
        return self.cost_iqd.get("tracking", self.cost_iqd.get("answer"))

    @property
    def closed(self) -> bool:
        """No more asking: delivered, read, or some fact was final. A later fact still counts."""
        return any(c.final or c.reached >= Reached.DELIVERED for c in self.channels.values())


_NO_CHANNEL = Channel()
NOTHING = Delivery()


def of_fact(fact: Fact) -> Delivery:
    """The `Delivery` that knows this one fact."""
    word = fact.word.lower() if fact.word else None
    reached = _REACHED_BY_WORD.get(word) if word else None
    channel = Channel(
        first_at={reached: fact.at} if reached else {},
        final=fact.is_final,
        gave_up=reached is Reached.FAILED and fact.is_final,
        reasons=frozenset({(fact.is_final, fact.reason)} if fact.reason and reached is Reached.FAILED else ()),
    )
    name = fact.channel if fact.channel in CHANNELS else UNKNOWN_CHANNEL
    return Delivery(
        channels={} if channel == _NO_CHANNEL else {name: channel},
        known=True,
        sms_ids=frozenset({fact.sms_id} if fact.sms_id else ()),
        unknown_words=frozenset({word} if word and reached is None and word != "pending" else ()),
        cost_iqd={} if fact.cost_iqd is None else {fact.cost_from: fact.cost_iqd},
        # Or a message we keep asking about would never count as silent.
        last_at=None if fact.is_asked_for else fact.at,
    )


def fold(facts: Iterable[Fact]) -> Delivery:
    return reduce(Delivery.join, map(of_fact, facts), NOTHING)


@dataclass(frozen=True, kw_only=True)
class Try:
    """One channel's turn, in seconds since the message was asked for."""

    channel: str
    reached: Reached
    start_s: float
    end_s: float
    reason: str | None


def tries(delivery: Delivery, provider: str | None, asked_at: datetime) -> tuple[Try, ...]:
    """The channels tried, in the route's order; each starts where the one before gave up."""
    found: list[Try] = []
    for name in _in_route_order(delivery.channels, provider):
        channel = delivery.channels[name]
        reached = channel.reached
        if reached is Reached.NONE:
            continue
        times = [max(0.0, (at - asked_at).total_seconds()) for at in channel.first_at.values()]
        start_s, end_s = 0.0, max(times)
        if found:
            gave_up_s = found[-1].end_s if found[-1].reached is Reached.FAILED else min(times)
            start_s = min(gave_up_s, end_s)
        found.append(Try(channel=name, reached=reached, start_s=start_s, end_s=end_s, reason=channel.reason))
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Headline:
    """What a person is told: the status, the channel it speaks of, since when, and why."""

    status: Status
    channel: str | None = None
    at: datetime | None = None
    reason: str | None = None
    closed: bool = False


def headline(delivery: Delivery, send_state: Status, provider: str | None) -> Headline:
    """The first rule that holds, from `read` down to the send's own state."""
    order = _in_route_order(delivery.channels, provider)
    for level in (Reached.READ, Reached.DELIVERED):
        for name in order:
            channel = delivery.channels[name]
            if channel.reached >= level:
                at = min(channel.first_at[at] for at in channel.first_at if at >= Reached.DELIVERED)
                return Headline(status=_STATUS_OF[level], channel=name, at=at, closed=True)
    # Of several that failed, or were tried, the route's last one is what the message came to.
    order.reverse()
    for name in order:
        channel = delivery.channels[name]
        if channel.gave_up:
            at = channel.first_at[Reached.FAILED]
            return Headline(status=Status.FAILED, channel=name, at=at, reason=channel.reason, closed=True)
    goes_on = not any(channel.final for channel in delivery.channels.values())
    for level in (Reached.SENT, Reached.FAILED):
        for name in order:
            channel = delivery.channels[name]
            if channel.reached is level and (goes_on or level is Reached.SENT):
                return Headline(
                    status=_STATUS_OF[level],
                    channel=name,
                    at=channel.first_at[level],
                    reason=channel.reason,
                    closed=delivery.closed,
                )
    status = Status.ACCEPTED if delivery.known else send_state
    return Headline(status=status, closed=delivery.closed or status in CLOSED_SENDS)


_STATUS_OF = {
    Reached.READ: Status.READ,
    Reached.DELIVERED: Status.DELIVERED,
    Reached.FAILED: Status.RETRYING,
    Reached.SENT: Status.SENT,
}


def anomalies(delivery: Delivery, send_state: Status) -> tuple[str, ...]:
    """What should not happen, and is shown when it does."""
    found = {
        "sent_twice": len(delivery.sms_ids) > 1,
        "refused_yet_reported": delivery.known and send_state in CLOSED_SENDS,
        "failed_after_delivered": any(_fell_from_delivered(channel) for channel in delivery.channels.values()),
    }
    return tuple(name for name, holds in found.items() if holds)


def _fell_from_delivered(channel: Channel) -> bool:
    delivered = [at for level, at in channel.first_at.items() if level >= Reached.DELIVERED]
    failed = channel.first_at.get(Reached.FAILED)
    return bool(delivered and failed and failed > min(delivered))


def to_json(delivery: Delivery) -> dict[str, Any]:
    """The stored form: plain, sorted, so that equal states are equal documents."""
    return {
        "channels": {
            name: {
                "first_at": {level.name.lower(): at.isoformat() for level, at in sorted(channel.first_at.items())},
                "final": channel.final,
                "gave_up": channel.gave_up,
                "reasons": [list(reason) for reason in sorted(channel.reasons)],
            }
            for name, channel in sorted(delivery.channels.items())
        },
        "known": delivery.known,
        "sms_ids": sorted(delivery.sms_ids),
        "unknown_words": sorted(delivery.unknown_words),
        "cost_iqd": dict(sorted(delivery.cost_iqd.items())),
        "last_at": delivery.last_at.isoformat() if delivery.last_at else None,
    }


def from_json(stored: Mapping[str, Any]) -> Delivery:
    return Delivery(
        channels={
            name: Channel(
                first_at={
                    Reached[level.upper()]: datetime.fromisoformat(at) for level, at in channel["first_at"].items()
                },
                final=channel["final"],
                gave_up=channel["gave_up"],
                reasons=frozenset((was_final, words) for was_final, words in channel["reasons"]),
            )
            for name, channel in stored["channels"].items()
        },
        known=stored["known"],
        sms_ids=frozenset(stored["sms_ids"]),
        unknown_words=frozenset(stored["unknown_words"]),
        cost_iqd=dict(stored["cost_iqd"]),
        last_at=datetime.fromisoformat(stored["last_at"]) if stored["last_at"] else None,
    )


def _in_route_order(channels: Mapping[str, Channel], provider: str | None) -> list[str]:
    if len(channels) < 2:
        return list(channels)
    order = [*route(provider), *CHANNELS, UNKNOWN_CHANNEL]
    return sorted(channels, key=order.index)


def _earliest(one: Mapping[Reached, datetime], other: Mapping[Reached, datetime]) -> dict[Reached, datetime]:
    return {level: min(known[level] for known in (one, other) if level in known) for level in sorted({*one, *other})}
