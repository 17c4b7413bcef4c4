"""A batch of authentic callbacks: parsed, matched to their messages, merged, stored raw, in one transaction.

Whoever calls has checked the stamp. What comes in here is never dropped: what cannot be read is quarantined, what
belongs to no message is an orphan, and both are stored like the rest.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from . import counting, merging, status
from .database import Database
from .ids import new_id
from .models import Callback, Message, Source
from .otpiq import Report, Unreadable, parse_report, without_codes
from .status import Status

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """An authentic callback as it came: the id in its URL, the raw body, the headers that may be kept, and when."""

    target_id: UUID
    raw: bytes
    headers: Mapping[str, str]
    at: datetime

    @property
    def digest(self) -> str:
        """What a repeat is known by; of what is kept, because a bare hash of a code gives the code away."""
        return hashlib.sha256(without_codes(self.raw)).hexdigest()


def receive(database: Database, batch: Sequence[Arrival]) -> list[str]:
    """Store and merge; once durable, return each one's verdict: accepted, repeat, orphan or quarantined."""
    read = [(arrival, *_read(arrival.raw)) for arrival in batch]
    verdicts = {}
    with database.transaction() as session:
        for place in sorted(range(len(batch)), key=lambda place: _place_in_lock_order(*read[place])):
            verdicts[place] = _receive_one(session, *read[place])
    for place, (arrival, _report, note) in enumerate(read):
        log.info("callback.received", target_id=str(arrival.target_id), verdict=verdicts[place], note=note)
    counting.fold_now_and_then(database)
    return [verdicts[place] for place in range(len(batch))]


def _place_in_lock_order(arrival: Arrival, report: Report | None, _note: str | None) -> tuple[UUID, str, str]:
    """One order for all, down to a single message or orphan: two batches wait for each other, they cannot deadlock."""
    return arrival.target_id, (report and report.sms_id) or "", arrival.digest


def _receive_one(session: Session, arrival: Arrival, report: Report | None, note: str | None) -> str:
    message = _find_message(session, arrival, report)
    seen_as = _count_repeat(session, arrival)
    if seen_as is not None and not (seen_as == "orphan" and message is not None):
        return "repeat"
    if report is not None and report.sms_id is None and _find_source(session, arrival.target_id) is not None:
        note = "the body has no smsId"  # a source's message is known by it alone
    changed = False
    if message is not None and report is not None:
        changed = merging.merge(session, message, [report.fact(arrival.at)])
    verdict = "quarantined" if note else "accepted" if message is not None else "orphan"
    _store(session, arrival, message, verdict, note, changed)
    return verdict


def _read(raw: bytes) -> tuple[Report | None, str | None]:
    try:
        return parse_report(raw), None
    except Unreadable as why:
        return None, str(why)


def _find_message(session: Session, arrival: Arrival, report: Report | None) -> Message | None:
    """The message the URL names, locked; for a source's URL its message with the body's smsId, made if new."""
    message = merging.lock(session, arrival.target_id)
    if message is not None or report is None or report.sms_id is None:
        return message
    source = _find_source(session, arrival.target_id)
    if source is None:
        return None
    return _find_of_source(session, source, report.sms_id) or _first_seen(session, source, report, arrival.at)


def _find_of_source(session: Session, source: Source, sms_id: str | None) -> Message | None:
    held = select(Message).where(Message.source_id == source.id, Message.sms_id == sms_id).with_for_update()
    return session.scalars(held, execution_options={"populate_existing": True}).one_or_none()


def _first_seen(session: Session, source: Source, report: Report, at: datetime) -> Message:
    """A message another program sent: made by its first callback; number and cost are OTPIQ's to tell."""
    message = Message(
        id=new_id(at),
        created_at=at,
        asked_by=f"source:{source.name}",
        source_id=source.id,
        is_sample=False,
        carrier="other",
        sms_type="unknown",
        sender_id=report.sender_id,
        send_state=Status.ACCEPTED,
        sms_id=report.sms_id,
        delivery=status.to_json(status.NOTHING),
    )
    try:
        with session.begin_nested():
            merging.add(session, message)
    except IntegrityError:
        # Two first callbacks at once: the insert waited for the other's.
        found = _find_of_source(session, source, report.sms_id)
        assert found is not None, "what stood in the way of the insert"
        return found
    return message


def _find_source(session: Session, source_id: UUID) -> Source | None:
    return session.get(Source, source_id)


def _count_repeat(session: Session, arrival: Arrival) -> str | None:
    """The verdict on the same body when it came before; None for a first time."""
    repeated = (
        update(Callback)
        .where(Callback.target_id == arrival.target_id, Callback.digest == arrival.digest)
        .values(repeats=Callback.repeats + 1)
        .returning(Callback.verdict)
    )
    return session.execute(repeated).scalar_one_or_none()


def _store(
    session: Session, arrival: Arrival, message: Message | None, verdict: str, note: str | None, changed: bool
) -> None:
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    row = (sqlite_insert if is_sqlite else postgresql_insert)(Callback).values(
        id=new_id(arrival.at),
        target_id=arrival.target_id,
        message_id=message.id if message else None,
        received_at=arrival.at,
        repeats=0,
        digest=arrival.digest,
        body=without_codes(arrival.raw),
        headers=dict(arrival.headers),
        verdict=verdict,
        note=note,
        changed=changed,
    )
    # An orphan holds no message's lock, so the same one twice at once meets here, as does one that has its message now.
    placed = {"verdict": verdict, "message_id": row.excluded.message_id, "changed": changed}
    already = {"repeats": Callback.repeats + 1} if message is None else placed
    session.execute(row.on_conflict_do_update(index_elements=["target_id", "digest"], set_=already))
