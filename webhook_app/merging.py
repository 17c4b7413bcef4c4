"""The one place where facts change a message's row: hold it, join, derive the headline, count the change.

One message at a time for whoever has more to change in it (`lock`, `add`, `merge`), many for a batch of callbacks
(`hold`, `Held.tell`, `save`). What a row's columns are after a join is `columns_after` for both.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Connection, Row, Table, bindparam, case, select, tuple_, update
from sqlalchemy.orm import Session
from sqlalchemy.sql import Update

from . import counting, status
from .models import TO_BE_DERIVED, Message
from .status import OUTCOMES, Delivery, Fact, Headline, Status

_FIRST_ASK = timedelta(minutes=1)
# What a merge and a count read of a message, and what a merge writes.
_READ = (
    *("id", "created_at", "source_id", "is_sample", "is_repeat", "carrier", "sms_type", "provider", "sender_id"),
    *("send_state", "sms_id", "status", "channel", "reason", "track_at", "estimate_iqd", "charged_iqd", "delivery"),
    *("path", "fallback_s", "took_bucket", "outcome"),
)
_WRITTEN = (
    *("delivery", "status", "closed", "channel", "reason", "settled_at", "last_fact_at", "charged_iqd"),
    *("sms_id", "track_at", "path", "fallback_s", "took_bucket"),
)
_OPEN: Mapping[str, Any] = {"path": None, "fallback_s": None, "took_bucket": None}
# Made once: to build a statement costs more than to run it.
_TABLE = cast(Table, Message.__table__)
# A send's outcome is needed where nothing was ever heard of it, and is not parsed for all the others.
_OUTCOME = case((_TABLE.c.status.in_(status.CLOSED_SENDS), _TABLE.c.outcome)).label("outcome")
_HOLD = select(*(_OUTCOME if name == "outcome" else _TABLE.c[name] for name in _READ)).with_for_update()
_HOLD_BY_ID = _HOLD.where(_TABLE.c.id.in_(bindparam("ids", expanding=True))).order_by(_TABLE.c.id)
_SOURCE_AND_SMS_ID = (_TABLE.c.source_id, _TABLE.c.sms_id)
_HOLD_BY_SMS_ID = _HOLD.where(tuple_(*_SOURCE_AND_SMS_ID).in_(bindparam("keys", expanding=True))).order_by(
    *_SOURCE_AND_SMS_ID
)
_HOLD_NEXT_TO_DERIVE = (
    _HOLD.where(TO_BE_DERIVED).order_by(_TABLE.c.id).limit(bindparam("n")).with_for_update(skip_locked=True)
)


def _saving(*names: str) -> Update:
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
    return update(_TABLE).where(_TABLE.c.id == bindparam("held_id")).values(values)


_SAVE = _saving(*_WRITTEN)
# Nearly always: to write an smsId that is the same again would cost both of its indexes a write.
_SAVE_BUT_SMS_ID = _saving(*(name for name in _WRITTEN if name != "sms_id"))


def lock(session: Session, message_id: UUID) -> Message | None:
    """The message as it is now, held until the transaction ends."""
    held = select(Message).where(Message.id == message_id).with_for_update()
    return session.scalars(held, execution_options={"populate_existing": True}).one_or_none()


def add(session: Session, message: Message) -> None:
    """Store a new message, its headline and its count."""
    derive(message, status.NOTHING)
    session.add(message)
    session.flush()
    counting.append(session.connection(), [(None, columns_of(message))])


def merge(session: Session, message: Message, facts: Iterable[Fact] = (), **columns: Any) -> bool:
    """Join `facts` into a locked message and set `columns`; returns whether the facts told anything new."""
    before = columns_of(message)
    known = status.from_json(message.delivery)
    joined = known.join(status.fold(facts))
    tells = joined.knows_more_than(known)
    _set(message, columns)
    got_sms_id = before["sms_id"] is None and message.sms_id is not None  # read off an answer that made no sense
    derive(message, joined, is_news=tells or got_sms_id)
    session.flush()
    counting.append(session.connection(), [(before, columns_of(message))])
    return tells


def derive(message: Message, delivery: Delivery, *, is_news: bool = False) -> None:
    """Write the join and what follows from it into the row."""
    _set(message, columns_after(columns_of(message), delivery, is_news=is_news))


@dataclass(kw_only=True)
class Held:
    """A locked message while a batch is merged into it."""

    row: Mapping[str, Any]
    is_new: bool = False
    delivery: Delivery = field(init=False)
    is_told: bool = field(init=False, default=False)  # some fact was joined
    has_news: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.delivery = status.from_json(self.row["delivery"])

    def tell(self, fact: Fact) -> bool:
        """Join one fact; returns whether it told anything new."""
        joined = self.delivery.join(status.of_fact(fact))
        tells = joined.knows_more_than(self.delivery)
        self.delivery, self.is_told, self.has_news = joined, True, self.has_news or tells
        return tells


def hold(connection: Connection, ids: Collection[UUID]) -> list[Held]:
    """The messages of these ids, locked in the order of their ids until the transaction ends."""
    return _held(connection.execute(_HOLD_BY_ID, {"ids": list(ids)}))


def hold_of_sources(connection: Connection, keys: Collection[tuple[Any, ...]]) -> list[Held]:
    """The messages of these source ids and smsIds, locked in that order."""
    return _held(connection.execute(_HOLD_BY_SMS_ID, {"keys": list(keys)}))


def derive_next(connection: Connection, at_most: int) -> int:
    """Write what follows from the join into closed messages that lack it, and count it; returns how many there were.

    Whoever is held by another is left for the next time.
    """
    held = _held(connection.execute(_HOLD_NEXT_TO_DERIVE, {"n": at_most}))
    for one in held:
        one.is_told = True
    save(connection, held)
    return len(held)


def _held(found: Iterable[Row[Any]]) -> list[Held]:
    return [Held(row=row._asdict()) for row in found]


def save(connection: Connection, held: Iterable[Held]) -> None:
    """Write what the held messages were told, and count it."""
    rows: dict[Update, list[dict[str, Any]]] = {_SAVE: [], _SAVE_BUT_SMS_ID: []}
    changes = []
    for one in held:
        if one.is_told or one.is_new:
            after = columns_after(one.row, one.delivery, is_news=one.has_news)
            statement = _SAVE_BUT_SMS_ID if after["sms_id"] == one.row["sms_id"] else _SAVE
            rows[statement].append({f"new_{name}": value for name, value in after.items()} | {"held_id": one.row["id"]})
            changes.append((None if one.is_new else one.row, {**one.row, **after}))
    for statement, told in rows.items():
        if told:
            # An executemany: the driver sends all of them in one go.
            connection.execute(statement, told)
    counting.append(connection, changes)


def columns_of(message: Message) -> dict[str, Any]:
    return {name: getattr(message, name) for name in _READ}


def columns_after(row: Mapping[str, Any], delivery: Delivery, *, is_news: bool) -> dict[str, Any]:
    """The join and what follows from it, as a row's columns."""
    headline = status.headline(delivery, Status(row["send_state"]), row["provider"])
    sms_id = min(delivery.sms_ids, default=row["sms_id"])
    track_at = row["track_at"]
    # What it cost is asked for also when it is closed: of a source's message, or of a send in doubt, only OTPIQ knows.
    is_known = headline.closed and delivery.charged_iqd is not None
    if is_known or sms_id is None:
        track_at = None
    elif track_at is None and is_news:
        track_at = (delivery.last_at or row["created_at"]) + _FIRST_ASK  # in case nothing more is heard
    return {
        "delivery": status.to_json(delivery),
        "status": headline.status,
        "closed": headline.closed,
        "channel": headline.channel,
        "reason": headline.reason,
        "settled_at": headline.at if headline.closed else None,
        "last_fact_at": delivery.last_at,
        "charged_iqd": delivery.charged_iqd,
        "sms_id": sms_id,
        "track_at": track_at,
        **(_of_closed(row, delivery, headline) if headline.closed else _OPEN),
    }


def _of_closed(row: Mapping[str, Any], delivery: Delivery, headline: Headline) -> dict[str, Any]:
    """What the pictures count a closed message by."""
    tries = status.tries(delivery, row["provider"], row["created_at"])
    # When another program asked for its message is not known: only when its first callback came.
    at = headline.at if headline.status in OUTCOMES["delivered"] and row["source_id"] is None else None
    return {
        "path": " ".join(f"{each.channel}:{each.reached.name.lower()}" for each in tries),
        "fallback_s": int(tries[-1].start_s) if tries else 0,
        "took_bucket": counting.bucket_of((at - row["created_at"]).total_seconds()) if at else None,
    }


def _set(message: Message, columns: Mapping[str, Any]) -> None:
    for name, value in columns.items():
        setattr(message, name, value)
