"""Everything known of one message: what was asked, answered and called back, in order, and raw."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from uuid import UUID

from sqlalchemy import select

from .. import status
from ..database import Database
from ..models import Callback, Exchange, Message, Reveal
from ..otpiq import Unreadable, parse_report, parse_tracking, read_object
from ..phone import mask
from ..status import Fact, Status
from .messages import rows_of
from .rows import MessageDetail, Raw, RevealRow, Step

_EXPORTS_SHOWN = 5


def find_detail(database: Database, message_id: UUID, now: datetime) -> MessageDetail | None:
    with database.reading() as session:
        message = session.get(Message, message_id)
        if message is None:
            return None
        callbacks = session.scalars(
            select(Callback).where(Callback.message_id == message_id).order_by(Callback.id)
        ).all()
        exchanges = session.scalars(
            select(Exchange).where(Exchange.message_id == message_id).order_by(Exchange.id)
        ).all()
        again_as = session.scalar(
            select(Message.id).where(Message.again_of == message_id).order_by(Message.id.desc()).limit(1)
        )
        reveals = session.execute(
            select(Reveal.at, Reveal.user_name, Reveal.why).where(Reveal.message_id == message_id).order_by(Reveal.id)
        ).all()
        (row,) = rows_of(session, [message], now)
    delivery = status.from_json(message.delivery)
    return MessageDetail(
        row=row,
        route=status.route(message.provider),
        provider=message.provider or "",
        sender_id=message.sender_id,
        custom_text=message.custom_text,
        sms_ids=tuple(sorted(delivery.sms_ids)) or ((message.sms_id,) if message.sms_id else ()),
        estimate_iqd=message.estimate_iqd,
        charged_iqd=message.charged_iqd,
        anomalies=status.anomalies(delivery, Status(message.send_state)),
        again_of=message.again_of,
        again_as=again_as,
        at_risk_iqd=message.at_risk_iqd,
        steps=_steps(message, callbacks, exchanges),
        raws=_raws(message, callbacks, exchanges),
        reveals=tuple(RevealRow(at=at, user_name=user_name, why=why) for at, user_name, why in reveals),
        request=message.request,
        has_number=message.phone is not None,
        can_check=message.sms_id is not None and not message.is_sample,
    )


def whole_exports(database: Database) -> tuple[RevealRow, ...]:
    """The latest exports that took whole numbers along."""
    newest = select(Reveal.at, Reveal.user_name, Reveal.why).where(Reveal.message_id.is_(None))
    with database.reading() as session:
        found = session.execute(newest.order_by(Reveal.id.desc()).limit(_EXPORTS_SHOWN)).all()
    return tuple(RevealRow(at=at, user_name=user_name, why=why) for at, user_name, why in found)


def _steps(message: Message, callbacks: Sequence[Callback], exchanges: Sequence[Exchange]) -> tuple[Step, ...]:
    steps = [
        Step(at=message.created_at, gap_s=None, kind="asked", asked_by=message.asked_by),
        *(_step_of_exchange(exchange) for exchange in exchanges),
        *(step_of_callback(callback) for callback in callbacks),
    ]
    steps.sort(key=lambda step: step.at)
    gaps = [None, *((late.at - early.at).total_seconds() for early, late in pairwise(steps))]
    return tuple(replace(step, gap_s=gap) for step, gap in zip(steps, gaps, strict=True))


def _step_of_exchange(exchange: Exchange) -> Step:
    is_answer = exchange.kind == "answer"
    told = None if is_answer or exchange.outcome != "ok" else _told(exchange)
    return Step(
        at=exchange.at,
        gap_s=None,
        kind=exchange.kind,
        word=exchange.outcome if is_answer or exchange.outcome != "ok" else exchange.words,
        channel=told.channel if told else None,
        is_final=told is not None and told.is_final,
        reason=exchange.words if is_answer or exchange.outcome != "ok" else None,
        sms_id=exchange.sms_id,
        cost_iqd=exchange.cost_iqd,
        balance_iqd=exchange.balance_iqd,
        changed=exchange.changed,
    )


def _told(exchange: Exchange) -> Fact | None:
    """What a tracking answer said of the message as a whole, read as it was then."""
    try:
        return parse_tracking(read_object(exchange.trace.encode()), exchange.at)[0]
    except Unreadable:  # it was cut to be kept
        return None


def step_of_callback(callback: Callback) -> Step:
    step = Step(
        at=callback.received_at,
        gap_s=None,
        kind="callback",
        repeats=callback.repeats,
        changed=callback.changed,
        quarantined=callback.note,
    )
    try:
        report = parse_report(callback.body)
    except Unreadable:
        return step
    return replace(step, word=report.word, channel=report.channel, is_final=report.is_final, reason=report.reason)


def _raws(message: Message, callbacks: Sequence[Callback], exchanges: Sequence[Exchange]) -> tuple[Raw, ...]:
    raws = [
        Raw(
            title="callback",
            at=callback.received_at,
            head=head_of(callback),
            body=readable(callback.body),
            callback_id=callback.id,
            step=step_of_callback(callback),
        )
        for callback in callbacks
    ]
    raws += [
        Raw(
            title=exchange.kind,
            at=exchange.at,
            head=f"HTTP {exchange.http_status}" if exchange.http_status else "",
            body=exchange.trace or exchange.words or "",
        )
        for exchange in exchanges
    ]
    if message.request is not None:
        head = f"POST /sms, to {mask(message.phone)}"
        body = json.dumps(message.request, ensure_ascii=False)
        raws.append(Raw(title="request", at=message.created_at, head=head, body=body))
    return tuple(sorted(raws, key=lambda raw: raw.at))


def head_of(callback: Callback) -> str:
    lines = [f"POST /callbacks/otpiq/{callback.target_id}"]
    return "\n".join([*lines, *(f"{name}: {value}" for name, value in sorted(callback.headers.items()))])


def readable(raw: bytes) -> str:
    return raw.decode(errors="replace").replace("\0", "�")
