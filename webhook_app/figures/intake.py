"""What comes in at the callbacks' door: minute by minute, callback by callback, and what was refused and why."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from ..database import Database
from ..models import Callback, Intake, Message, Source, SourceAddress
from ..otpiq import Unreadable, read_object
from ..otpiq.document import is_writable
from ..phone import mask
from ..refusals import Cause
from .messages import PAGE_SIZE
from .one_message import head_of, readable, step_of_callback
from .rows import CallbackDetail, CallbackPage, CallbackRow, IntakeMinute, RefusedCause

VERDICTS = ("accepted", "late", "orphan", "quarantined", "repeated")
_MINUTE = timedelta(minutes=1)
_STRIP_MINUTES = 60
_REFUSED_FOR = timedelta(hours=24)
_LIGHT_LOOKS_BACK = timedelta(minutes=5)
NOT_FROM_OTPIQ = (Cause.NO_SECRET, Cause.WRONG_SECRET, Cause.BAD_SIGNATURE)
_LOOKED_THROUGH = 10_000
_MOST_SHOWN = 4096  # characters of a body

# What each verdict is found by: by an index, or by looking at one callback after the other.
_INDEXED: Mapping[str, list[ColumnElement[bool]]] = {
    "accepted": [Callback.verdict == "accepted"],
    "late": [Callback.verdict == "accepted"],
    "orphan": [Callback.verdict == "orphan"],
    "quarantined": [Callback.verdict == "quarantined"],
}
_LOOKED_AT: Mapping[str, ColumnElement[bool]] = {
    "accepted": Callback.changed.is_(True),
    "late": Callback.changed.is_(False),
    "repeated": Callback.repeats > 0,
}


def intake_minutes(database: Database, now: datetime) -> tuple[IntakeMinute, ...]:
    """The last hour, a minute each, the one that runs included."""
    last = now.astimezone(UTC).replace(second=0, microsecond=0)
    starts = [last - _MINUTE * back for back in reversed(range(_STRIP_MINUTES))]
    counts: dict[datetime, dict[str, int]] = defaultdict(dict)
    with database.reading() as session:
        for minute, what, callbacks in session.execute(
            select(Intake.minute, Intake.what, func.sum(Intake.callbacks))
            .where(Intake.minute >= starts[0])
            .group_by(Intake.minute, Intake.what)
        ):
            counts[minute][what] = int(callbacks)
    return tuple(IntakeMinute(start=start, end=start + _MINUTE, counts=counts[start]) for start in starts)


def callback_page(
    database: Database, verdict: str | None, *, before: UUID | None = None, after: UUID | None = None
) -> CallbackPage:
    """Newest first, of one of VERDICTS or of all; `before` and `after` are the edges of the page one comes from.

    What no index finds is looked for among the next 10,000 callbacks, so that a rare one costs no more than a
    frequent one; the cursor then leads on from there.
    """
    upwards = after is not None
    place = [Callback.id > after] if after else [Callback.id < before] if before else []
    with database.reading() as session:
        found, edge = _next(session, verdict or "", place, upwards=upwards)
    rows = [_row(row) for row in found[:PAGE_SIZE]]
    is_full = len(found) > PAGE_SIZE
    onward = rows[-1].id if is_full else edge
    back = rows[0].id if rows and place else None
    return CallbackPage(
        rows=tuple(reversed(rows)) if upwards else tuple(rows),
        newer=onward if upwards else back,
        older=back if upwards else onward,
        looked_through=None if is_full or edge is None else _LOOKED_THROUGH,
    )


def find_callback(database: Database, callback_id: UUID) -> CallbackDetail | None:
    with database.reading() as session:
        found = session.execute(_WITH_MESSAGE.where(Callback.id == callback_id)).one_or_none()
        if found is None:
            return None
        callback = found.Callback
    body = _pretty(callback.body)
    return CallbackDetail(
        row=_row(found),
        head=head_of(callback),
        body=body[:_MOST_SHOWN],
        is_cut=len(body) > _MOST_SHOWN,
        body_bytes=len(callback.body),
        digest=callback.digest,
    )


def refused_causes(database: Database, now: datetime) -> tuple[RefusedCause, ...]:
    """What was refused in the last 24 hours, the most frequent cause first, each with its newest sample."""
    counted = (
        select(Intake.what, func.sum(Intake.callbacks).label("callbacks"), func.max(Intake.minute).label("minute"))
        .where(Intake.minute > now - _REFUSED_FOR, Intake.what.in_(tuple(Cause)))
        .group_by(Intake.what)
        .subquery()
    )
    newest = select(counted, Intake.sample).join(
        Intake, (Intake.what == counted.c.what) & (Intake.minute == counted.c.minute)
    )
    with database.reading() as session:
        found = session.execute(newest.order_by(Intake.writer)).all()
    causes = {
        row.what: RefusedCause(
            cause=row.what, callbacks=int(row.callbacks), last_minute=row.minute, sample=row.sample or {}
        )
        for row in found
    }
    return tuple(sorted(causes.values(), key=lambda cause: -cause.callbacks))


def is_refusing(session: Session, now: datetime) -> bool:
    """Whether more callbacks were refused as not OTPIQ's in the last five minutes than were taken in.

    Anyone can knock with a wrong secret, so a single one beside good ones means nothing; but when they outnumber the
    good ones, or there are no good ones, then OTPIQ itself is likely the one that is turned away.
    """
    since = now - _LIGHT_LOOKS_BACK - _MINUTE
    counts = select(Intake.what, func.sum(Intake.callbacks)).where(Intake.minute > since).group_by(Intake.what)
    found = {what: int(callbacks) for what, callbacks in session.execute(counts)}
    refused = sum(found.get(cause, 0) for cause in NOT_FROM_OTPIQ)
    return refused > sum(callbacks for what, callbacks in found.items() if what not in tuple(Cause))


# A source's callback is its message's, or, where that could not be told, known by the id in its URL alone.
_WITH_MESSAGE = (
    select(Callback, Message.phone, Message.status, Source.id.label("source_id"), Source.name.label("source_name"))
    .outerjoin(Message, Message.id == Callback.message_id)
    .outerjoin(SourceAddress, SourceAddress.id == Callback.target_id)
    .outerjoin(Source, Source.id == func.coalesce(Message.source_id, SourceAddress.source_id))
)


def _next(
    session: Session, verdict: str, place: list[ColumnElement[bool]], *, upwards: bool
) -> tuple[Sequence[Any], UUID | None]:
    """A page of callbacks and one more, and the last one looked through if there may be others past it."""
    order = Callback.id if upwards else Callback.id.desc()
    conditions, edge = [*place, *_INDEXED.get(verdict, ())], None
    if verdict in _LOOKED_AT:
        # An offset that is always the same costs the same at any size.
        walk = select(Callback.id).where(*conditions).order_by(order).offset(_LOOKED_THROUGH - 1).limit(1)
        edge = session.scalar(walk)
        conditions.append(_LOOKED_AT[verdict])
    if edge is not None:
        conditions.append(Callback.id <= edge if upwards else Callback.id >= edge)
    found = session.execute(_WITH_MESSAGE.where(*conditions).order_by(order).limit(PAGE_SIZE + 1)).all()
    return found, edge


def _row(found: Any) -> CallbackRow:
    callback, phone, message_status, source_id, source_name = found
    is_late = callback.verdict == "accepted" and not callback.changed
    return CallbackRow(
        id=callback.id,
        received_at=callback.received_at,
        verdict="late" if is_late else callback.verdict,
        step=step_of_callback(callback),
        repeats=callback.repeats,
        target_id=callback.target_id,
        message_id=callback.message_id,
        message_status=message_status,
        phone_masked=mask(phone) if phone else None,
        source_id=source_id,
        source_name=source_name,
    )


def _pretty(body: bytes) -> str:
    """JSON on lines of its own, as long as that is sure to say the same; else the bytes as text."""
    try:
        document = read_object(body)
    except Unreadable:
        return readable(body)
    return json.dumps(document, ensure_ascii=False, indent=2) if is_writable(document) else readable(body)
