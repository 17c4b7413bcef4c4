"""Asking OTPIQ about one message: `/sms/track`, merged like any other fact."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from . import merging
from .database import Database
from .ids import new_id
from .models import Exchange, Message
from .otpiq import Otpiq, OtpiqError
from .phone import carrier_of


class NothingToAskBy(Exception):
    """The message has no smsId yet, so OTPIQ cannot be asked about it."""


def check(database: Database, otpiq: Otpiq, message_id: UUID, clock: Callable[[], datetime]) -> bool:
    """Ask once, store the answer, and return whether it told anything new.

    Raises NothingToAskBy, LookupError for an unknown message, and OtpiqError (also stored) when OTPIQ has no answer.
    """
    with database.reading() as session:
        message = session.get(Message, message_id)
    if message is None:
        raise LookupError(message_id)
    if message.sms_id is None:
        raise NothingToAskBy
    try:
        tracking = otpiq.track(message.sms_id, clock(), message.phone)
    except OtpiqError as error:
        _store_failure(database, message_id, error, clock())
        raise
    with database.transaction() as session:
        held = merging.lock(session, message_id)
        assert held is not None
        phone = held.phone or tracking.phone
        changed = merging.merge(
            session, held, tracking.facts, phone=phone, phone_end=phone and phone[-4:], carrier=carrier_of(phone)
        )
        headline = tracking.facts[0]
        session.add(
            Exchange(
                id=new_id(clock()),
                message_id=message_id,
                at=headline.at,
                kind="tracking",
                outcome="ok",
                words=headline.word,
                http_status=200,
                trace=tracking.trace,
                sms_id=headline.sms_id,
                cost_iqd=headline.cost_iqd,
                changed=changed,
            )
        )
    return changed


def _store_failure(database: Database, message_id: UUID, error: OtpiqError, at: datetime) -> None:
    with database.transaction() as session:
        session.add(
            Exchange(
                id=new_id(at),
                message_id=message_id,
                at=at,
                kind="tracking",
                outcome=error.kind,
                words=error.words or None,
                http_status=error.http_status,
                trace=error.trace,
                changed=False,
            )
        )
