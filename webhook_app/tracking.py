"""Asking OTPIQ about one message, because a person wants to know or because it fell silent: `/sms/track`, merged like
any other fact.

When a message is to be asked about stands in its row (`track_at`, first set by `merging`); when anybody may ask at all
stands in the store, for all workers on all machines. No transaction is open while OTPIQ answers.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from . import merging
from .database import Database
from .ids import new_id
from .models import Exchange, Message, Moment
from .otpiq import Otpiq, OtpiqError, RateLimited
from .otpiq.client import Tracking
from .phone import carrier_of
from .status import NO_REPORT_AFTER

# After the first, second … ask, when it left the message open; the last one for all that follow. The first comes a
# minute after the last fact (merging).
_WAITS = tuple(timedelta(minutes=minutes) for minutes in (5, 15, 60, 6 * 60, 24 * 60))
_LEASE = timedelta(minutes=2)  # far past a call's deadline: a worker that died leaves its message to the others
_LONGEST_PAUSE_MINUTES = 24 * 60  # an odd number in a 429 must not end all asking
_IDLE_S = 5.0
_TURN = "tracking"  # the moment from which the next one may ask
_PAUSE = "tracking pause"  # the moment until which OTPIQ, by a 429, wants to be left alone

log = structlog.get_logger()


class NothingToAskBy(Exception):
    """The message has no smsId yet, so OTPIQ cannot be asked about it."""


def check(database: Database, otpiq: Otpiq, message_id: UUID, clock: Callable[[], datetime]) -> bool:
    """Ask once, now, store the answer, and return whether it told anything new. When it is asked next stays as it is.

    Raises NothingToAskBy, LookupError for an unknown message, and OtpiqError (also stored) when OTPIQ has no answer.
    """
    with database.reading() as session:
        message = session.get(Message, message_id)
        paused_until = _moment(session, _PAUSE)
    if message is None:
        raise LookupError(message_id)
    if message.sms_id is None:
        raise NothingToAskBy
    at = clock()
    is_paused = paused_until > at
    answer = _not_asked(paused_until) if is_paused else _ask(otpiq, message, at)
    with database.transaction() as session:
        if isinstance(answer, RateLimited) and not is_paused:
            _pause(database, session, answer, clock())
        changed = _keep(session, _held(session, message_id), answer, at)
    if isinstance(answer, OtpiqError):
        raise answer
    return changed


def ask_next(database: Database, otpiq: Otpiq, per_minute: int, clock: Callable[[], datetime]) -> float:
    """Ask about the message that is most overdue, if anybody may ask now; returns in how many seconds to come again.

    `per_minute` holds for all who call this together: each turn taken moves the moment of the next.
    """
    with database.transaction() as session:
        database.one_at_a_time(session, _TURN)
        free_at = max(_moment(session, _TURN), _moment(session, _PAUSE))
        now = clock()  # not before: waiting for the others took its time
        if free_at > now:
            return (free_at - now).total_seconds()
        message = _most_overdue(session, now)
        if message is None:
            return _IDLE_S
        due_at, message.track_at = message.track_at, now + _LEASE
        next_turn_at = now + timedelta(minutes=1) / per_minute
        session.merge(Moment(name=_TURN, at=next_turn_at))
    at = clock()
    answer = _ask(otpiq, message, at)
    with database.transaction() as session:
        if isinstance(answer, RateLimited):
            _pause(database, session, answer, clock())
            _reschedule(_held(session, message.id), due_at)  # it keeps its place, and was not asked
        else:
            held = _held(session, message.id)
            _keep(session, held, answer, at)
            held.tracked += 1
            _reschedule(held, _next_ask(held, at))
    return max(0.0, (next_turn_at - clock()).total_seconds())


def _most_overdue(session: Session, now: datetime) -> Message | None:
    overdue = select(Message).where(Message.track_at <= now).order_by(Message.track_at).limit(1)
    return session.scalars(overdue.with_for_update(skip_locked=True)).one_or_none()


def _next_ask(message: Message, now: datetime) -> datetime | None:
    """The last time is when the message becomes "no report"; a later fact, if one comes, begins again. A closed one (a
    source's, for its cost) is asked about once."""
    if message.closed:
        return None
    last_at = (message.last_fact_at or message.created_at) + NO_REPORT_AFTER
    if now >= last_at:
        return None
    return min(now + _WAITS[min(message.tracked, len(_WAITS)) - 1], last_at)


def _reschedule(message: Message, track_at: datetime | None) -> None:
    if message.track_at is not None:  # not closed meanwhile
        message.track_at = track_at


def _ask(otpiq: Otpiq, message: Message, at: datetime) -> Tracking | OtpiqError:
    assert message.sms_id is not None
    try:
        return otpiq.track(message.sms_id, at, message.phone)
    except OtpiqError as error:
        return error


def _not_asked(paused_until: datetime) -> RateLimited:
    return RateLimited(f"not asked: OTPIQ wants no question before {paused_until:%H:%M} UTC")


def _keep(session: Session, message: Message, answer: Tracking | OtpiqError, at: datetime) -> bool:
    """Store the answer and merge what it tells into the locked message; returns whether that was anything new."""
    changed = False
    if isinstance(answer, Tracking):
        phone = message.phone or answer.phone
        who = {"phone": phone, "phone_end": phone and phone[-4:], "carrier": carrier_of(phone)}
        changed = merging.merge(session, message, answer.facts, **who)
    common: dict[str, Any] = {"id": new_id(at), "message_id": message.id, "at": at, "kind": "tracking"}
    session.add(Exchange(trace=answer.trace, changed=changed, **common, **_told(answer)))
    return changed


def _told(answer: Tracking | OtpiqError) -> dict[str, Any]:
    if isinstance(answer, OtpiqError):
        return {"outcome": answer.kind, "words": answer.words or None, "http_status": answer.http_status}
    headline = answer.facts[0]
    told = {"sms_id": headline.sms_id, "cost_iqd": headline.cost_iqd}
    return {"outcome": "ok", "words": headline.word, "http_status": 200} | told


def _pause(database: Database, session: Session, limit: RateLimited, now: datetime) -> None:
    """Nobody asks before OTPIQ said we may."""
    minutes = min(limit.wait_minutes, _LONGEST_PAUSE_MINUTES)
    database.one_at_a_time(session, _TURN)
    until = max(_moment(session, _PAUSE), now + timedelta(minutes=minutes))
    session.merge(Moment(name=_PAUSE, at=until))
    log.warning("tracking.paused", minutes=minutes)


def _moment(session: Session, name: str) -> datetime:
    found = session.get(Moment, name)
    return found.at if found else datetime.min.replace(tzinfo=UTC)


def _held(session: Session, message_id: UUID) -> Message:
    message = merging.lock(session, message_id)
    assert message is not None, "a message that OTPIQ was asked about is not deleted meanwhile"
    return message
