"""Messages and callbacks to test with, and the slow, obvious ways of reading the store back."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select

from webhook_app import merging, status
from webhook_app.database import Base, Database
from webhook_app.ids import new_id
from webhook_app.models import (
    COUNT_SUMS,
    PART_KEY,
    PART_SUMS,
    Callback,
    Delta,
    Exchange,
    Message,
    PartDelta,
    PartTally,
    Tally,
)
from webhook_app.otpiq import parse_report
from webhook_app.receiving import Arrival
from webhook_app.status import Delivery, Fact, Status

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
PHONE = "9647701234567"


def add_message(database: Database, at: datetime = NOW, *, facts: Iterable[Fact] = (), **columns: Any) -> UUID:
    """A message of ours that OTPIQ took, unless `columns` say otherwise, and what was said of it since."""
    usual: dict[str, Any] = {
        "id": new_id(at),
        "asked_by": "key:checkout",
        "is_sample": False,
        "phone": PHONE,
        "phone_end": PHONE[-4:],
        "carrier": "asiacell",
        "sms_type": "verification",
        "provider": "auto",
        "send_state": Status.ACCEPTED,
    }
    message = Message(created_at=at, delivery=status.to_json(status.NOTHING), **usual | columns)
    with database.transaction() as session:
        merging.add(session, message)
        merging.merge(session, message, facts)
    return message.id


def callback(word: str = "sent", channel: str = "sms", *, final: bool = False, **more: Any) -> bytes:
    """A body as documented."""
    body = {"smsId": "sms-1", "deliveryReportType": "all", "isFinal": final, "channel": channel, "status": word}
    return json.dumps(body | more).encode()


def arrival(target_id: UUID, raw: bytes, at: datetime = NOW) -> Arrival:
    return Arrival(
        id=new_id(at), target_id=target_id, key="", raw=raw, headers={"Content-Type": "application/json"}, at=at
    )


def get_message(database: Database, message_id: UUID) -> Message:
    with database.reading() as session:
        return session.get_one(Message, message_id)


def all_rows(database: Database, model: Any) -> list[Any]:
    with database.reading() as session:
        return list(session.scalars(select(model).order_by(model.id)))


def fold_of_stored(database: Database, message_id: UUID) -> Delivery:
    """The pure fold of what the store holds about a message, beside the row's own state."""
    with database.reading() as session:
        callbacks = session.scalars(select(Callback).where(Callback.message_id == message_id)).all()
        answers = session.scalars(select(Exchange).where(Exchange.message_id == message_id)).all()
    facts = [parse_report(found.body).fact(found.received_at) for found in callbacks if found.verdict == "accepted"]
    facts += [
        Fact(at=found.at, sms_id=found.sms_id, cost_iqd=found.cost_iqd)
        for found in answers
        if found.outcome == "accepted"
    ]
    return status.fold(facts)


def hour_of(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def slot_of(at: datetime) -> datetime:
    return at.replace(minute=at.minute // 5 * 5, second=0, microsecond=0)


def counted(database: Database) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """Tally and deltas summed, without the keys where nothing is left."""
    sums: dict[tuple[Any, ...], Counter[str]] = {}
    for row in (*all_rows(database, Tally), *all_rows(database, Delta)):
        key = (row.hour, row.status, row.carrier, row.channel, row.sms_type, row.sender_id, row.source, row.is_sample)
        sums.setdefault(key, Counter()).update({name: getattr(row, name) for name in COUNT_SUMS})
    found = {key: tuple(amounts[name] for name in COUNT_SUMS) for key, amounts in sums.items()}
    return {key: amounts for key, amounts in found.items() if any(amounts)}


def recounted(
    database: Database, began: Callable[[datetime], datetime] = hour_of
) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """What `counted` must be, from the messages themselves; or the same by another stretch of time."""
    sums: dict[tuple[Any, ...], tuple[int, ...]] = {}
    for row in all_rows(database, Message):
        hour = began(row.created_at)
        source, sender = str(row.source_id or ""), row.sender_id or ""
        key = (hour, row.status, row.carrier, row.channel or "", row.sms_type, sender, source, row.is_sample)
        at_risk = row.estimate_iqd or 0 if may_be_charged(row) else 0
        messages, charged, risked = sums.get(key, (0, 0, 0))
        sums[key] = (messages + 1, charged + (row.charged_iqd or 0), risked + at_risk)
    return sums


def parts_counted(database: Database) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """As `counted`, of what is counted of closed messages only."""
    sums: dict[tuple[Any, ...], Counter[str]] = {}
    for row in (*all_rows(database, PartTally), *all_rows(database, PartDelta)):
        key = tuple(getattr(row, name) for name in PART_KEY)
        sums.setdefault(key, Counter()).update({name: getattr(row, name) for name in PART_SUMS})
    found = {key: tuple(amounts[name] for name in PART_SUMS) for key, amounts in sums.items()}
    return {key: amounts for key, amounts in found.items() if any(amounts)}


def parts_recounted(
    database: Database, began: Callable[[datetime], datetime] = hour_of
) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """What `parts_counted` must be, from what is known of the messages; or the same by another stretch of time."""
    sums: dict[tuple[Any, ...], tuple[int, ...]] = {}
    for row in all_rows(database, Message):
        hour, charged_iqd = began(row.created_at), row.charged_iqd or 0
        for part, word, place, *more in _parts_of(row) if row.closed else []:
            key = (hour, part, row.carrier, row.channel or "", word, place, row.is_sample)
            adds = (1, *more) if part == "took" else (1, *more, charged_iqd)
            sums[key] = tuple(map(sum, zip(sums.get(key, (0, 0, 0)), adds, strict=True)))
    return sums


def _parts_of(row: Message) -> Iterator[tuple[Any, ...]]:
    """Part, word, place and seconds, and for `took` no money."""
    known = status.from_json(row.delivery).channels
    order = dict.fromkeys([*status.route(row.provider), *status.CHANNELS, "?"])
    tried = [(name, known[name]) for name in order if name in known and known[name].first_at]
    if tried:
        began_at = row.created_at
        if len(tried) > 1:
            (_, last_but_one), (_, last) = tried[-2:]
            began_at = min(last.first_at.values())
            if last_but_one.reached.name == "FAILED":
                began_at = min(max(last_but_one.first_at.values()), max(last.first_at.values()))
        seconds = max(0, int((began_at - row.created_at).total_seconds()))
        yield "path", " ".join(f"{name}:{channel.reached.name.lower()}" for name, channel in tried), 0, seconds
    if row.status in ("delivered", "read") and row.source_id is None:
        assert row.settled_at is not None
        bucket, end_s = 0, 0.5
        while (row.settled_at - row.created_at).total_seconds() > end_s:
            bucket, end_s = bucket + 1, end_s * 1.2
        yield "took", "", bucket, 0, 0
    if row.status == "failed":
        yield "reason", (row.reason or "")[:200], 0, 0
    elif row.status in ("rejected", "throttled", "unsent"):
        yield "reason", f"send:{(row.outcome or {}).get('kind') or ''}", 0, 0
    if row.is_repeat and row.status not in ("rejected", "throttled", "unsent"):
        yield "repeat", "", 0, 0


def everything_stored(database: Database) -> str:
    """Every column of every row, to be searched for what must not be there."""
    with database.reading() as session:
        return "\n".join(
            repr(tuple(row)) for table in Base.metadata.sorted_tables for row in session.execute(select(table))
        )


def may_be_charged(row: Message) -> bool:
    """Whether it is open what a message cost: nobody said, and the send has no outcome that tells."""
    return row.charged_iqd is None and row.send_state in ("sending", "unconfirmed")
