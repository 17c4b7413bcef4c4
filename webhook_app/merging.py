"""The one place where facts change a message's row: lock it, join, derive the headline, count the change."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from . import counting, status
from .models import Message
from .status import Fact, Status


def lock(session: Session, message_id: UUID) -> Message | None:
    """The message as it is now, held until the transaction ends."""
    held = select(Message).where(Message.id == message_id).with_for_update()
    return session.scalars(held, execution_options={"populate_existing": True}).one_or_none()


def add(session: Session, message: Message) -> None:
    """Store a new message, its headline and its count."""
    with counting.recounted(session, message, is_new=True):
        derive(message, status.NOTHING)
        session.add(message)
        session.flush()


def merge(session: Session, message: Message, facts: Iterable[Fact] = (), **columns: Any) -> bool:
    """Join `facts` into a locked message and set `columns`; returns whether the facts told anything new."""
    with counting.recounted(session, message):
        for name, value in columns.items():
            setattr(message, name, value)
        known = status.from_json(message.delivery)
        joined = known.join(status.fold(facts))
        derive(message, joined)
        session.flush()
    return replace(joined, last_at=None) != replace(known, last_at=None)


def derive(message: Message, delivery: status.Delivery) -> None:
    """Write the join and what follows from it into the row."""
    headline = status.headline(delivery, Status(message.send_state), message.provider)
    message.delivery = status.to_json(delivery)
    message.status = headline.status
    message.closed = headline.closed
    message.channel = headline.channel
    message.reason = headline.reason
    message.settled_at = headline.at if headline.closed else None
    message.last_fact_at = delivery.last_at
    message.charged_iqd = delivery.charged_iqd
    if delivery.sms_ids:
        message.sms_id = min(delivery.sms_ids)
