"""A fortnight of simulated traffic, put into a store by the code that takes it in, and the ledger of it: what was asked
for, answered and called back, kept apart from the store. What became of a message is read off the ledger in the
slowest, most obvious way; nothing here asks the store or the program's own rules."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from functools import cached_property
from uuid import UUID
from zoneinfo import ZoneInfo

from webhook_app import counting, merging, receiving, status
from webhook_app.database import Database
from webhook_app.ids import new_id
from webhook_app.models import BalanceReading, Message
from webhook_app.phone import carrier_of
from webhook_app.receiving import Arrival
from webhook_app.simulator.account import price_iqd
from webhook_app.simulator.misbehaviours import Misbehaviour
from webhook_app.simulator.plots import Plot, Rates, callbacks_of, plot, random_phone
from webhook_app.status import Fact, Status

from .rows import arrival

BAGHDAD = ZoneInfo("Asia/Baghdad")
_ODD = (
    Misbehaviour.REPEATED_CALLBACKS,
    Misbehaviour.REORDERED_CALLBACKS,
    Misbehaviour.LOST_CALLBACKS,
    Misbehaviour.FAILED,
    Misbehaviour.FALLBACK,
    Misbehaviour.LATE_RECEIPT,
)
_REFUSED = {"rejected": "credit", "throttled": "rate", "unsent": "not_sent", "unconfirmed": "outcome_unknown"}
_REFUSALS = ("rejected", "throttled", "unsent")
_IMPATIENT = 0.4  # the share that goes to the number of the one before, however long ago that was
_START_IQD, _TOP_UP_IQD = 150_000, 25_000
_LATE = 0.05  # the share that is told again in other words
# At midnight, a second before and a second after, so many days ago.
_EDGE_DAYS = (0, 1, 2, 6, 7, 8, 13, 14, 29, 30, 31, 59, 60)


@dataclass(frozen=True, kw_only=True)
class Told:
    """One callback, once it was posted."""

    at: datetime
    channel: str
    word: str
    is_final: bool
    reason: str | None
    is_late: bool = False  # it only says again what was said before, in other bytes
    again_at: tuple[datetime, ...] = ()  # the same bytes once more

    @property
    def body(self) -> bytes:
        words = {"channel": self.channel, "status": self.word, "isFinal": self.is_final, "reason": self.reason}
        return json.dumps(words | ({"senderId": "OTPIQ"} if self.is_late else {})).encode()


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One message, as it was asked for and answered, and all that was told of it."""

    id: UUID
    at: datetime
    phone: str
    sms_type: str
    route: tuple[str, ...]
    state: str  # of the send: accepted, or one of _REFUSED
    kind: str | None
    estimate_iqd: int
    cost_iqd: int | None
    told: list[Told] = field(default_factory=list)
    is_repeat: bool = False  # it went to a number that one which was not refused went to within the minute before

    @cached_property
    def carrier(self) -> str:
        return str(carrier_of(self.phone))

    @cached_property
    def tried(self) -> dict[str, str]:
        """How far each channel came, those of the route in order: the furthest word of all that was said."""
        order = ("sent", "failed", "delivered")
        return {
            channel: max((told.word for told in self.told if told.channel == channel), key=order.index)
            for channel in self.route
            if any(told.channel == channel for told in self.told)
        }

    @cached_property
    def status(self) -> str:
        if "delivered" in self.tried.values():
            return "delivered"
        if any(told.word == "failed" and told.is_final for told in self.told):
            return "failed"
        if "sent" in self.tried.values():
            return "sent"
        return "retrying" if self.tried else self.state

    @cached_property
    def outcome(self) -> str:
        if self.status == "delivered":
            return "delivered"
        return "failed" if self.status in ("failed", "rejected", "throttled", "unsent") else "waiting"

    @property
    def is_closed(self) -> bool:
        return any(told.is_final for told in self.told) or self.outcome != "waiting"

    @cached_property
    def channel(self) -> str:
        """The one the status speaks of: it delivered, or it is the last one tried."""
        words = {"delivered": "delivered", "failed": "failed", "sent": "sent", "retrying": "failed"}
        found = [channel for channel, word in self.tried.items() if word == words.get(self.status)]
        return "" if not found else found[0] if self.status == "delivered" else found[-1]

    @cached_property
    def took_s(self) -> float | None:
        times = [told.at for told in self.told if told.word == "delivered"]
        return (min(times) - self.at).total_seconds() if times else None

    @property
    def settled_s(self) -> float | None:
        """From asked until it was delivered, or given up for good."""
        if self.status == "failed":
            times = [told.at for told in self.told if told.word == "failed" and told.channel == self.channel]
            return (min(times) - self.at).total_seconds()
        return self.took_s

    @property
    def last_tried_s(self) -> int:
        """From asked until its last channel's turn came: when the one before had failed; where reports came out of
        order, no later than the last of its own."""
        last_heard = [max(self._first_told(channel)) for channel in self.tried]
        if len(last_heard) < 2:
            return 0
        *_, before, own = last_heard
        began = before if list(self.tried.values())[-2] == "failed" else min(self._first_told(list(self.tried)[-1]))
        return int((min(began, own) - self.at).total_seconds())

    def _first_told(self, channel: str) -> list[datetime]:
        """When each word was first said of it."""
        of_channel = [told for told in self.told if told.channel == channel]
        return [min(told.at for told in of_channel if told.word == word) for word in {told.word for told in of_channel}]

    @property
    def reason(self) -> str | None:
        """Why it failed: in the provider's words, or the kind of what kept it from being sent."""
        if self.status == "failed":
            return next(told.reason for told in self.told if told.word == "failed" and told.is_final)
        return f"send:{self.kind}" if self.outcome == "failed" else None

    @property
    def charged_iqd(self) -> int:
        return self.cost_iqd or 0

    @property
    def at_risk_iqd(self) -> int:
        return self.estimate_iqd if self.state == "unconfirmed" and self.cost_iqd is None else 0


@dataclass(frozen=True, kw_only=True)
class Ledger:
    sent: list[Sent]
    arrivals: list[tuple[datetime, str]]  # every callback that came, and what is to become of it
    balances: list[tuple[datetime, int]]  # as each answer told it
    top_ups: list[tuple[datetime, int]]


def run(database: Database, messages: int, now: datetime, zone: ZoneInfo) -> Ledger:
    """Put it into the store, oldest first, one part of its counts folded and one not; returns the ledger."""
    rng = random.Random(7)
    sent = sorted((_sent(rng, at, now) for at in _moments(rng, messages, now, zone)), key=lambda one: one.at)
    sent = [*_repeated(rng, sent)]
    _store(database, sent[: messages // 2])
    counting.fold(database)
    _store(database, sent[messages // 2 :])
    arrivals = sorted(_arrivals(sent, now), key=lambda found: found[0].at)
    for start in range(0, len(arrivals), 100):
        receiving.receive(database, [one for one, _verdict in arrivals[start : start + 100]])
        if start < len(arrivals) // 2:
            counting.fold(database)
    top_ups = [(now - timedelta(days=days), _TOP_UP_IQD) for days in (40, 10, 2)]
    balances = list(_balances(sent, top_ups))
    with database.transaction() as session:
        session.add_all(BalanceReading(id=new_id(at), at=at, iqd=iqd) for at, iqd in balances)
    return Ledger(
        sent=sent,
        arrivals=[(one.at, verdict) for one, verdict in arrivals],
        balances=balances,
        top_ups=top_ups,
    )


def _repeated(rng: random.Random, sent: Sequence[Sent]) -> Iterator[Sent]:
    """The same, some of them to the number of the one before."""
    earlier: list[Sent] = []
    for one in sent:
        if earlier and rng.random() < _IMPATIENT:
            one = replace(one, phone=earlier[-1].phone)
        is_repeat = one.state not in _REFUSALS and any(
            other.phone == one.phone and one.at - other.at <= timedelta(minutes=1) and other.state not in _REFUSALS
            for other in earlier
        )
        earlier.append(replace(one, is_repeat=is_repeat))
        yield earlier[-1]


def _store(database: Database, sent: Sequence[Sent]) -> None:
    """As a send leaves them once it was answered."""
    messages = []
    for one in sent:
        message = Message(
            id=one.id,
            created_at=one.at,
            asked_by="key:checkout",
            is_sample=False,
            is_repeat=one.is_repeat,
            phone=one.phone,
            phone_end=one.phone[-4:],
            carrier=one.carrier,
            sms_type=one.sms_type,
            provider="-".join(one.route),
            send_state=Status(one.state),
            outcome={"kind": one.kind},
            estimate_iqd=one.estimate_iqd,
        )
        answer = [Fact(at=one.at, cost_iqd=one.cost_iqd)] if one.state == "accepted" else []
        merging.derive(message, status.fold(answer))
        messages.append(message)
    with database.transaction() as session:
        session.add_all(messages)
        counting.append(session.connection(), [(None, merging.columns_of(message)) for message in messages])


def _balances(sent: Sequence[Sent], top_ups: Sequence[tuple[datetime, int]]) -> Iterator[tuple[datetime, int]]:
    """What the account holds after each send that was charged."""
    for one in sent:
        if one.cost_iqd is not None:
            spent = sum(other.charged_iqd for other in sent if other.at <= one.at)
            paid_in = sum(iqd for at, iqd in top_ups if at <= one.at)
            yield one.at, _START_IQD + paid_in - spent


def _moments(rng: random.Random, messages: int, now: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Over the fortnight, more of them in this hour and in one bad hour, and some at the edges of the reader's days."""
    midnight = datetime.combine(now.astimezone(zone).date(), time(), tzinfo=zone)
    for days in _EDGE_DAYS:
        for seconds in (-1, 0, 1):
            at = (midnight - timedelta(days=days)).astimezone(UTC) + timedelta(seconds=seconds)
            yield min(at, now)
    for _ in range(messages):
        hours = rng.choice((0.9, 24, 24 * 14, 24 * 14, 24 * 14))
        yield now - timedelta(seconds=rng.uniform(1, hours * 3600))


def _sent(rng: random.Random, at: datetime, now: datetime) -> Sent:
    phone, sms_type = random_phone(rng), rng.choices(("verification", "custom"), (85, 15))[0]
    provider = rng.choice(["whatsapp-telegram-sms", "whatsapp-sms", "telegram-sms", "sms"])
    story = plot(phone, provider, sms_type, rng, Rates(misbehave=0.3, among=_ODD))
    state = rng.choices(("accepted", *_REFUSED), (88, 4, 1, 3, 4))[0]
    price = price_iqd(phone, story.route[0])
    is_out = state == "accepted" or (state == "unconfirmed" and rng.random() < 0.5)
    return Sent(
        id=new_id(at),
        at=at,
        phone=phone,
        sms_type=sms_type,
        route=tuple(map(str, story.route)),
        state=state,
        kind=_REFUSED.get(state),
        estimate_iqd=price + 5,
        cost_iqd=price if state == "accepted" else None,
        told=[told for told in _told(rng, story, at) if is_out and told.at <= now],
    )


def _told(rng: random.Random, story: Plot, at: datetime) -> Iterator[Told]:
    """What was called back, as the simulator would: some of it several times, out of order, or not at all."""
    posted: dict[int, list[datetime]] = {}
    for posting in callbacks_of(story, "all"):
        posted.setdefault(posting.event, []).append(at + timedelta(seconds=0.4 + posting.after_s))
    for number, (first_at, *again_at) in posted.items():
        event = story.events[number]
        told = Told(
            at=first_at,
            channel=str(event.channel),
            word=str(event.status),
            is_final=event.is_final,
            reason=event.reason,
            again_at=tuple(again_at),
        )
        yield told
        if rng.random() < _LATE:
            yield replace(told, at=first_at + timedelta(seconds=70), is_late=True, again_at=())


def _arrivals(sent: Sequence[Sent], now: datetime) -> Iterator[tuple[Arrival, str]]:
    """Each callback as it is handed in, with its verdict; two of them lead to nothing."""
    for one in sent:
        for told in one.told:
            yield arrival(one.id, told.body, told.at), "late" if told.is_late else "accepted"
            yield from ((arrival(one.id, told.body, at), "repeat") for at in told.again_at if at <= now)
    yield arrival(new_id(now), b'{"status": "delivered"}', now - timedelta(minutes=9)), "orphan"
    yield arrival(sent[0].id, b"<odd>", now - timedelta(minutes=4)), "quarantined"
