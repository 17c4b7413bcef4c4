"""A fortnight of sample history for the demo: invented by the simulator's plots, folded by the real merge, marked."""

import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Table, insert

from . import counting, merging, sending, status
from .database import Base, Database
from .ids import new_id
from .models import BalanceReading, Callback, Exchange, Intake, Message
from .phone import Carrier, carrier_of
from .refusals import Cause
from .simulator.account import START_CREDIT_IQD, price_iqd
from .simulator.plots import Channel, Event, EventStatus, Rates, plot, random_phone
from .stamp import Stamper
from .status import Fact, Status

DAYS = 14
# Messages an hour over a shop's day, from midnight: quiet before dawn, a peak before noon and one after sunset.
_BY_HOUR = (4, 2, 1, 1, 1, 2, 4, 8, 14, 20, 24, 25, 22, 18, 15, 14, 16, 20, 24, 26, 24, 19, 13, 8)
_BAD_HOUR_AGO = 3  # when Korek refused almost everything, and shops tried again and again
_BAD_HOUR_WEIGHT = 60
_WEEKEND = (4, 5)  # Friday and Saturday
_TOP_UP_IQD, _TOPPED_UP_DAYS_AGO = 500_000, 6
_CUSTOM = {"senderId": "MyShop", "customMessage": "طلبك في الطريق إليك"}
_REPEATED, _LATE = 0.03, 0.02  # shares of what OTPIQ reports twice, and out of order
_IMPATIENT = 0.04  # the share that is asked for by whoever asked just before
# Somebody tried a source's URL by hand: how many minutes ago, how often, what was refused and why.
_REFUSED = (
    (Cause.NO_SECRET, 47, 2, {"Address": "/callbacks/otpiq/7", "User-Agent": "curl/8.5.0"}),
    (Cause.WRONG_SECRET, 41, 5, {"User-Agent": "curl/8.5.0", "X-Otpiq-Webhook-Secret": "8 characters"}),
    (Cause.WRONG_SECRET, 38, 3, {"User-Agent": "shop/2.1", "X-Otpiq-Webhook-Secret": "42 characters"}),
)
_PROVIDERS = {"auto": 45, "whatsapp-sms": 30, "sms": 20, "telegram-sms": 5}


@dataclass(frozen=True, kw_only=True)
class _Story:
    message: Message
    exchange: dict[str, Any]
    callbacks: list[dict[str, Any]]


def fill(database: Database, stamper: Stamper, count: int, zone: ZoneInfo, now: datetime, seed: int = 1) -> None:
    """Write `count` messages of the last fortnight with their callbacks and counts, one planted bad hour among them."""
    rng = random.Random(seed)  # noqa: S311 - the same history each time
    moments = sorted(_moments(rng, count, zone, now))
    stories: list[_Story] = []
    for at in moments:
        before = stories[-1].message if stories and rng.random() < _IMPATIENT else None
        stories.append(_story(rng, stamper, at, now, before))
    callbacks = [row for story in stories for row in story.callbacks]
    if stories:
        callbacks += _unplaced(stories[-1].message.id, now)
    with database.transaction() as session:
        for model, rows in (
            (Message, [_columns(story.message) for story in stories]),
            (Exchange, [story.exchange for story in stories]),
            (Callback, callbacks),
            (Intake, _intake(callbacks, now) if callbacks else []),
            (BalanceReading, _balances(stories, now)),
        ):
            if rows:
                session.execute(insert(cast(Table, model.__table__)), rows)  # the table, not the model: one executemany
        counting.append(session.connection(), [(None, merging.columns_of(story.message)) for story in stories])
    while counting.fold(database, now):
        pass


def _moments(rng: random.Random, count: int, zone: ZoneInfo, now: datetime) -> Iterator[datetime]:
    today = now.astimezone(zone).replace(minute=0, second=0, microsecond=0)
    hours = [today - timedelta(hours=back) for back in range(DAYS * 24)]
    weights = [_BY_HOUR[hour.hour] * (0.6 if hour.weekday() in _WEEKEND else 1.0) for hour in hours]
    weights[_BAD_HOUR_AGO] = _BAD_HOUR_WEIGHT
    for hour in rng.choices(hours, weights=weights, k=count):
        at = hour + timedelta(seconds=rng.uniform(0, 3600))
        yield at if at < now else now - timedelta(seconds=rng.uniform(120, 3600))


def _story(rng: random.Random, stamper: Stamper, at: datetime, now: datetime, before: Message | None) -> _Story:
    """Of a message that goes where the one `before` went, if that was asked for just before."""
    is_bad = bad_hour(now) <= at < bad_hour(now) + timedelta(hours=1)
    phone, is_repeat = _phone(rng, is_bad), before is not None and at - before.created_at <= sending.SOON
    if before is not None and is_repeat:
        phone = before.phone or phone
    sms_type = rng.choices(("verification", "custom"), weights=(85, 15))[0]
    provider = "sms" if sms_type == "custom" else rng.choices(list(_PROVIDERS), weights=list(_PROVIDERS.values()))[0]
    told = plot(phone, provider, sms_type, rng, Rates())
    events = told.events
    if is_bad and carrier_of(phone) is Carrier.KOREK and rng.random() < 0.85:
        events = _rejected(told.route, rng)
    cost_iqd = price_iqd(phone, told.route[0])
    sms_id = f"sms-{rng.getrandbits(96):024x}"
    message_id = new_id(at)
    answered_at = at + timedelta(seconds=rng.uniform(0.15, 0.6))
    facts = [Fact(at=answered_at, sms_id=sms_id, cost_iqd=cost_iqd)]
    callbacks = []
    for event, is_late in _told(rng, events):
        received_at = answered_at + timedelta(seconds=event.after_s)
        if received_at > now:
            break
        facts.append(_fact(event, received_at, sms_id))
        repeats = int(rng.random() < _REPEATED)
        callbacks.append(_callback(message_id, sms_id, event, received_at) | {"repeats": repeats})
        if is_late:
            callbacks[-1] |= {"changed": False} | _body(_words(sms_id, event) | {"senderId": "OTPIQ"})
    message = _message(message_id, at, phone, sms_type, provider, stamper.issue(message_id).url)
    message.is_repeat = is_repeat
    message.estimate_iqd = cost_iqd
    merging.derive(message, status.fold(facts))
    return _Story(message=message, exchange=_answer(message_id, sms_id, cost_iqd, answered_at), callbacks=callbacks)


def _told(rng: random.Random, events: Sequence[Event]) -> Iterator[tuple[Event, bool]]:
    """What OTPIQ reports; now and then the first report again in other words, which is late."""
    yield from ((event, False) for event in events)
    if events and rng.random() < _LATE:
        yield replace(events[0], after_s=events[-1].after_s + 20), True


def _message(message_id: UUID, at: datetime, phone: str, sms_type: str, provider: str, webhook_url: str) -> Message:
    custom = _CUSTOM if sms_type == "custom" else {}
    return Message(
        id=message_id,
        created_at=at,
        asked_by="sample history",
        is_sample=True,
        phone=phone,
        phone_end=phone[-4:],
        carrier=carrier_of(phone),
        sms_type=sms_type,
        provider=provider,
        sender_id=custom.get("senderId"),
        custom_text=custom.get("customMessage"),
        request={
            "smsType": sms_type,
            "provider": provider,
            **custom,
            "deliveryReport": {"webhookUrl": webhook_url, "deliveryReportType": "all"},
        },
        send_state=Status.ACCEPTED,
        tracked=0,
    )


def _answer(message_id: UUID, sms_id: str, cost_iqd: int, at: datetime) -> dict[str, Any]:
    return {
        "id": new_id(at),
        "message_id": message_id,
        "at": at,
        "kind": "answer",
        "outcome": Status.ACCEPTED,
        "http_status": 200,
        "trace": json.dumps({"smsId": sms_id, "cost": cost_iqd, "message": "SMS task created successfully"}),
        "sms_id": sms_id,
        "cost_iqd": cost_iqd,
        "changed": True,
    }


def _balances(stories: Sequence[_Story], now: datetime) -> list[dict[str, Any]]:
    """What the account held after each send, such that it ends where the simulator's begins; topped up once."""
    readings = []
    iqd = START_CREDIT_IQD
    topped_up_at = now - timedelta(days=_TOPPED_UP_DAYS_AGO)
    for story in reversed(stories):
        at = story.exchange["at"]
        before_top_up = _TOP_UP_IQD if at < topped_up_at else 0
        readings.append({"id": new_id(at), "at": at, "iqd": iqd - before_top_up})
        iqd += story.exchange["cost_iqd"]
    return readings[::-1]


def bad_hour(now: datetime) -> datetime:
    """When the planted hour begins."""
    return now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=_BAD_HOUR_AGO)


def _phone(rng: random.Random, is_bad: bool) -> str:
    """A number by the carriers' shares; in the bad hour every second one is Korek's."""
    phone = random_phone(rng)
    only_korek = is_bad and rng.random() < 0.5
    while only_korek and carrier_of(phone) is not Carrier.KOREK:
        phone = random_phone(rng)
    return phone


def _rejected(route: tuple[Channel, ...], rng: random.Random) -> tuple[Event, ...]:
    """Every channel of the route fails within seconds, the last one for good."""
    events = []
    now_s = 0.0
    for channel in route:
        reason = "Carrier rejected the message" if channel is Channel.SMS else "Message undeliverable"
        now_s += rng.uniform(0.5, 4.0)
        events.append(
            Event(
                after_s=now_s, channel=channel, status=EventStatus.FAILED, is_final=channel is route[-1], reason=reason
            )
        )
    return tuple(events)


def _fact(event: Event, at: datetime, sms_id: str) -> Fact:
    return Fact(
        at=at, word=event.status, channel=event.channel, is_final=event.is_final, reason=event.reason, sms_id=sms_id
    )


def _callback(message_id: UUID, sms_id: str, event: Event, at: datetime) -> dict[str, Any]:
    return {
        "id": new_id(at),
        "target_id": message_id,
        "message_id": message_id,
        "received_at": at,
        "repeats": 0,
        "headers": {"Content-Type": "application/json"},
        "verdict": "accepted",
        "note": None,
        "changed": True,
        **_body(_words(sms_id, event)),
    }


def _words(sms_id: str, event: Event) -> dict[str, Any]:
    return {
        "smsId": sms_id,
        "deliveryReportType": "all",
        "isFinal": event.is_final,
        "channel": event.channel,
        "status": event.status,
        **({"reason": event.reason} if event.reason else {}),
    }


def _body(words: dict[str, Any]) -> dict[str, Any]:
    raw = json.dumps(words).encode()
    return {"body": raw, "digest": hashlib.sha256(raw).hexdigest()}


def _unplaced(message_id: UUID, now: datetime) -> list[dict[str, Any]]:
    """A callback that could not be understood, and one whose message is not here."""
    event = Event(after_s=0, channel=Channel.SMS, status=EventStatus.DELIVERED, is_final=True)
    odd = _callback(message_id, "sms-odd", event, now - timedelta(minutes=52))
    odd |= {"verdict": "quarantined", "note": "the body has no status", "changed": False}
    orphan = _callback(new_id(now - timedelta(days=40)), "sms-old", event, now - timedelta(minutes=26))
    orphan |= {"verdict": "orphan", "message_id": None, "changed": False}
    return [odd | _body({"smsId": "sms-odd", "channel": "sms", "delivered": True}), orphan]


def _intake(callbacks: Sequence[dict[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """The last day at the callbacks' door by the minute, a few refusals among it."""
    counts: Counter[tuple[datetime, str]] = Counter()
    for row in callbacks:
        if row["received_at"] > now - timedelta(days=1):
            minute = row["received_at"].replace(second=0, microsecond=0)
            is_late = row["verdict"] == "accepted" and not row["changed"]
            counts[minute, "late" if is_late else row["verdict"]] += 1
            counts[minute, "repeat"] += row["repeats"]
    rows: list[tuple[datetime, str, int, dict[str, str]]]
    rows = [(minute, what, number, {}) for (minute, what), number in counts.items() if number]
    this_minute = now.replace(second=0, microsecond=0)
    rows += [(this_minute - timedelta(minutes=ago), str(cause), n, sample) for cause, ago, n, sample in _REFUSED]
    writer = new_id(now).hex[-16:]
    return [
        {"minute": minute, "what": what, "writer": writer, "callbacks": number, "sample": sample}
        for minute, what, number, sample in rows
    ]


def _columns(row: Base) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__table__.columns.keys()}  # noqa: SIM118
