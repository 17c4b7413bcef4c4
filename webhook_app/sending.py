"""Sending one message: the row first, then the call, then its outcome merged in. At most one paid message a request.

A crash at any line leaves evidence: `queued` means nothing left, `sending` that something may have. Nothing here ever
repeats a call.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from . import budgets, counting, figures, merging, status
from .budgets import Spent
from .database import Database, StoreAway
from .ids import first_id, new_id
from .models import IN_PROGRESS, BalanceReading, Exchange, Message
from .otpiq import NotSent, Otpiq, OtpiqError, OutcomeUnknown, RateLimited, SendRequest
from .otpiq.client import DEADLINE_S, Accepted
from .phone import carrier_of, mask
from .stamp import Stamper
from .status import Status

_UTC = ZoneInfo("UTC")
SOON = timedelta(seconds=60)  # asked for again so quickly, the first one was on its way: the second is likely wasted
_ABANDONED_AFTER = timedelta(seconds=60)  # far past the call's own deadline: whoever was sending is gone
_ANSWERS_WITHIN_S = 9.0  # many callers give up after 10, and would send again
_SETTLES_AGAIN_AFTER_S = 0.2

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Who asks for a message, and how a repeated request is known (`once_key`, unique for `by`)."""

    by: str  # "key:checkout", "user:sara", "command line"
    once_key: str | None = None
    body: bytes = b""  # what was asked, to tell a repeat from another request under the same key; never stored
    again_of: UUID | None = None
    estimate_iqd: int | None = None
    zone: ZoneInfo = _UTC  # whose days and months budgets are of


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of the call. `state` is accepted, rejected, throttled, unconfirmed or unsent; money in IQD."""

    message_id: UUID
    state: str
    sms_id: str | None = None
    cost_iqd: int | None = None
    balance_iqd: int | None = None
    estimate_iqd: int | None = None
    payment_type: str = "prepaid"
    kind: str | None = None  # of the error, as in otpiq.errors
    words: str = ""  # the provider's, scrubbed
    http_status: int | None = None
    numbers: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, list[str]] = field(default_factory=dict)
    wait_minutes: int | None = None  # of a throttled send


class StillRunning(Exception):
    """The same request is being sent at this moment."""

    def __init__(self, message_id: UUID) -> None:
        super().__init__("still running")
        self.message_id = message_id


class KeyReused(Exception):
    """The same once_key came with another body."""

    def __init__(self, message_id: UUID) -> None:
        super().__init__("key reused")
        self.message_id = message_id


def send(
    database: Database,
    otpiq: Otpiq,
    stamper: Stamper,
    request: SendRequest,
    asked: Asked,
    clock: Callable[[], datetime],
) -> Outcome:
    """Send once and return the outcome; a repeat under the same once_key gets the first outcome again.

    Raises StillRunning, KeyReused, or StoreAway before anything has left.
    """
    started_at = clock()
    with database.transaction() as session:
        settle_abandoned(session, started_at)
    try:
        earlier, message = _earlier_or_queued(database, stamper, request, asked, clock)
    except IntegrityError:
        # The same once_key at the same moment: the other's row is there now, and the second look finds it.
        earlier, message = _earlier_or_queued(database, stamper, request, asked, clock)
    if message is None:
        return _replay(earlier)
    if (given_up := _take(database, message.id, asked.zone, clock())) is not None:
        return _replay(given_up)
    # No transaction and no connection is held during the call; what waiting for the store took is not waited again.
    left_s = DEADLINE_S - (clock() - started_at).total_seconds()
    try:
        answer: Accepted | OtpiqError = otpiq.send(request, stamper.issue(message.id), deadline_s=left_s)
    except OtpiqError as error:
        answer = error
    outcome = _outcome(message.id, answer, asked.estimate_iqd)
    log.info(
        "message.sent",
        message_id=str(message.id),
        to=mask(request.phone),
        outcome=str(outcome.state),
        kind=outcome.kind,
    )
    with _whatever_the_store_does(message.id):
        left_s = _ANSWERS_WITHIN_S - (clock() - started_at).total_seconds()
        _settle_patiently(database, outcome, answer, clock(), left_s)
        counting.fold_now_and_then(database, clock())
    return outcome


def _take(database: Database, message_id: UUID, zone: ZoneInfo, now: datetime) -> Message | None:
    """`queued` to `sending`; or the message, when it must not go out: a budget stops it, or whoever asked for it was so
    slow that it was declared unsent meanwhile."""
    with database.transaction() as session:
        message = _held(session, message_id)
        if message.send_state != Status.QUEUED:
            return message
        estimate_iqd, held = message.estimate_iqd, budgets.read(session)
        if held.can_stop:
            database.one_at_a_time(session, "spending")  # so that what the one before may cost is counted
            if spent := budgets.spent(session, held, zone, now):
                outcome = _stopped(message, spent)
                merging.merge(session, message, send_state=outcome.state, outcome=_to_json(outcome))
                log.warning("message.stopped", message_id=str(message.id), kind=outcome.kind)
                return message
            if estimate_iqd is None:
                estimate_iqd = figures.dearest_of_late_iqd(session)
        merging.merge(session, message, send_state=Status.SENDING, estimate_iqd=estimate_iqd)
    return None


def _stopped(message: Message, spent: Spent) -> Outcome:
    return Outcome(
        message_id=message.id,
        state=Status.UNSENT,
        kind=f"budget_{spent.period}",
        words=f"the budget of the {spent.period} is spent",
        estimate_iqd=message.estimate_iqd,
        numbers={"spent_iqd": spent.spent_iqd, "budget_iqd": spent.budget_iqd},
    )


@dataclass(frozen=True, kw_only=True)
class Repeatable:
    """A message that can be asked for once more: a new one, linked to it. Its number stays out of the page."""

    message_id: UUID
    phone: str
    went_out: bool  # or may have: a second one is charged, too
    fields: Mapping[str, str]  # as in the provider's own body, without number and code
    reference: str | None


def find_repeatable(database: Database, message_id: UUID) -> Repeatable | None:
    with database.reading() as session:
        message = session.get(Message, message_id)
    if message is None or message.phone is None:
        return None
    asked = {name: value for name, value in (message.request or {}).items() if isinstance(value, str)}
    return Repeatable(
        message_id=message.id,
        phone=message.phone,
        went_out=message.send_state not in status.CLOSED_SENDS,
        fields=asked,
        reference=message.reference,
    )


def settle_abandoned(session: Session, now: datetime) -> None:
    """Give sends whose owner died their honest state: nothing left (`unsent`), or perhaps (`unconfirmed`)."""
    stale = (
        select(Message)
        .where(IN_PROGRESS, Message.id < first_id(now - _ABANDONED_AFTER))
        .order_by(Message.id)
        .limit(100)
        .with_for_update(skip_locked=True)
    )
    for message in session.scalars(stale):
        _abandon(session, message)


def _abandon(session: Session, message: Message) -> None:
    never_left = message.send_state == Status.QUEUED
    state = Status.UNSENT if never_left else Status.UNCONFIRMED
    outcome = Outcome(
        message_id=message.id,
        state=state,
        kind=NotSent.kind if never_left else OutcomeUnknown.kind,
        words="Wasl stopped before the call" if never_left else "Wasl stopped during the call",
        estimate_iqd=message.estimate_iqd,
    )
    merging.merge(session, message, send_state=state, outcome=_to_json(outcome))


def _earlier_or_queued(
    database: Database, stamper: Stamper, request: SendRequest, asked: Asked, clock: Callable[[], datetime]
) -> tuple[Message | None, Message | None]:
    with database.transaction() as session:
        earlier = _earlier(session, stamper, asked, clock())
        return earlier, None if earlier else _queue(session, stamper, request, asked, clock())


def _earlier(session: Session, stamper: Stamper, asked: Asked, now: datetime) -> Message | None:
    if asked.once_key is None:
        return None
    same = select(Message).where(Message.asked_by == asked.by, Message.once_key == asked.once_key)
    message = session.scalars(same).one_or_none()
    if message and not stamper.is_fingerprint(asked.body, message.request_digest or ""):
        raise KeyReused(message.id)
    if message and message.outcome is None and message.id < first_id(now - _ABANDONED_AFTER):
        held = _held(session, message.id)
        if held.outcome is None:  # else somebody who was slow, yet alive, was waited for
            _abandon(session, held)
    if message and (message.outcome or {}).get("state") in (Status.UNSENT, Status.THROTTLED):
        # Nothing went out, and the caller was told to come back: the key is free again.
        message.once_key = None
        session.flush()
        return None
    return message


def _queue(session: Session, stamper: Stamper, request: SendRequest, asked: Asked, now: datetime) -> Message:
    message_id = new_id(now)
    message = Message(
        id=message_id,
        created_at=now,
        asked_by=asked.by,
        again_of=asked.again_of,
        is_sample=False,
        is_repeat=_is_repeat(session, request.phone, now),
        phone=request.phone,
        phone_end=request.phone[-4:],
        carrier=carrier_of(request.phone),
        sms_type=request.sms_type,
        provider="sms" if request.sms_type == "custom" else request.provider,
        sender_id=request.sender_id,
        custom_text=request.custom_text,
        reference=request.reference,
        request=request.trace(stamper.issue(message_id).url),
        once_key=asked.once_key,
        request_digest=stamper.fingerprint(asked.body) if asked.once_key else None,
        estimate_iqd=asked.estimate_iqd,
        stamp_key=stamper.key_names[0],
        send_state=Status.QUEUED,
        delivery=status.to_json(status.NOTHING),
    )
    merging.add(session, message)
    return message


def _is_repeat(session: Session, phone: str, now: datetime) -> bool:
    before = select(Message.id).where(
        Message.phone == phone, Message.id >= first_id(now - SOON), Message.send_state.not_in(status.CLOSED_SENDS)
    )
    return session.scalar(before.limit(1)) is not None


def _replay(message: Message | None) -> Outcome:
    assert message is not None
    if message.outcome is None:
        raise StillRunning(message.id)
    return Outcome(**{**message.outcome, "message_id": message.id})


def _outcome(message_id: UUID, answer: Accepted | OtpiqError, estimate_iqd: int | None) -> Outcome:
    if isinstance(answer, Accepted):
        return Outcome(
            message_id=message_id,
            state=Status.ACCEPTED,
            sms_id=answer.sms_id,
            cost_iqd=answer.cost_iqd,
            balance_iqd=answer.balance_iqd,
            payment_type=answer.payment_type,
            estimate_iqd=estimate_iqd,
        )
    return Outcome(
        message_id=message_id,
        state=_state_after(answer),
        sms_id=answer.salvaged_sms_id,
        estimate_iqd=estimate_iqd,
        kind=answer.kind,
        words=answer.words,
        http_status=answer.http_status,
        numbers=answer.numbers,
        errors=answer.errors,
        wait_minutes=answer.wait_minutes if isinstance(answer, RateLimited) else None,
    )


def _state_after(error: OtpiqError) -> Status:
    if isinstance(error, NotSent):
        return Status.UNSENT
    if isinstance(error, OutcomeUnknown):
        return Status.UNCONFIRMED
    return Status.THROTTLED if isinstance(error, RateLimited) else Status.REJECTED


def _settle_patiently(
    database: Database, outcome: Outcome, answer: Accepted | OtpiqError, now: datetime, left_s: float
) -> None:
    """Once at least: whoever asks again is told another outcome when this one is not stored."""
    give_up_at_s = time.monotonic() + left_s
    while True:
        try:
            return _settle(database, outcome, answer, now)
        except StoreAway:
            if time.monotonic() > give_up_at_s:
                raise
            time.sleep(_SETTLES_AGAIN_AFTER_S)


def _settle(database: Database, outcome: Outcome, answer: Accepted | OtpiqError, now: datetime) -> None:
    """Merge the outcome under lock: a callback that came first is not undone."""
    facts = [answer.fact(now)] if isinstance(answer, Accepted) else []
    with database.transaction() as session:
        message = _held(session, outcome.message_id)
        if message.outcome == _to_json(outcome):  # committed the last time, though the line broke before we heard so
            return
        merging.merge(
            session,
            message,
            facts,
            send_state=outcome.state,
            outcome=_to_json(outcome),
            balance_iqd=outcome.balance_iqd,
            sms_id=message.sms_id or outcome.sms_id,
        )
        session.add(
            Exchange(
                id=new_id(now),
                message_id=message.id,
                at=now,
                kind="answer",
                outcome=outcome.state,
                words=outcome.words or None,
                http_status=200 if isinstance(answer, Accepted) else answer.http_status,
                trace=answer.trace,
                sms_id=outcome.sms_id,
                cost_iqd=outcome.cost_iqd,
                balance_iqd=outcome.balance_iqd,
                changed=True,
            )
        )
        if outcome.balance_iqd is not None:
            session.add(BalanceReading(id=new_id(now), at=now, iqd=outcome.balance_iqd))


@contextlib.contextmanager
def _whatever_the_store_does(message_id: UUID) -> Iterator[None]:
    """The message may be out and paid: a store that fails now must not make the caller send it again.

    The row stays `sending`, becomes `unconfirmed`, and its callback settles it.
    """
    try:
        yield
    except (SQLAlchemyError, StoreAway) as error:
        log.error("message.outcome_not_stored", message_id=str(message_id), error=type(error).__name__)


def _held(session: Session, message_id: UUID) -> Message:
    message = merging.lock(session, message_id)
    assert message is not None, "a message that was committed is never deleted while it is being sent"
    return message


def _to_json(outcome: Outcome) -> dict[str, Any]:
    return {**asdict(outcome), "message_id": str(outcome.message_id)}
