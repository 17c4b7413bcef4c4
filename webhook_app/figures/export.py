"""All messages that match, one batch after the other, for files of any length."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, case, select
from sqlalchemy.orm import Session

from .. import status
from ..database import Database
from ..models import Message, Source, at_risk_iqd
from ..status import SEND_STATES
from .filters import Lane
from .messages import find_ids, took_s

_AT_ONCE = 1_000


@dataclass(frozen=True, kw_only=True)
class ExportRow:
    """One message as a line of a file, its number whole: who writes the file masks it."""

    id: UUID
    created_at: datetime
    phone: str | None
    carrier: str
    sms_type: str
    provider: str | None
    sender_id: str | None
    source_name: str | None
    reference: str | None
    asked_by: str
    status: str
    channel: str | None
    path: str  # as Message.path, also while it is open
    reason: str | None
    took_s: float | None
    charged_iqd: int | None
    estimate_iqd: int | None
    at_risk_iqd: int
    sms_id: str | None


_COLUMNS = (
    *(Message.id, Message.created_at, Message.phone, Message.carrier, Message.sms_type, Message.provider),
    *(Message.sender_id, Message.source_id, Message.reference, Message.asked_by, Message.send_state, Message.status),
    *(Message.channel, Message.path, Message.reason, Message.settled_at, Message.sms_id),
    *(Message.charged_iqd, Message.estimate_iqd),
    # Documents are parsed only where nothing else tells.
    case((Message.path.is_(None), Message.delivery)).label("delivery"),
    case((Message.status.in_(SEND_STATES), Message.outcome)).label("outcome"),
)


def export_batches(database: Database, lanes: Sequence[Lane]) -> Iterator[tuple[ExportRow, ...]]:
    """Newest first, those there are at the start; what changes meanwhile is as it is when its batch is read.

    A batch is a short look of its own: between two of them nothing is held open, however slow the reader is.
    """
    before: UUID | None = None
    with database.reading() as session:
        sources = {row.id: row.name for row in session.execute(select(Source.id, Source.name))}
    while True:
        with database.reading() as session:
            found = find_ids(session, lanes, before=before, limit=_AT_ONCE)
            rows = _rows(session, found.ids, sources)
        yield rows
        before = found.ids[-1] if len(found.ids) == _AT_ONCE else found.edge
        if before is None:
            return


def _rows(session: Session, ids: Sequence[UUID], sources: dict[UUID, str]) -> tuple[ExportRow, ...]:
    if not ids:
        return ()
    found = session.execute(select(*_COLUMNS).where(Message.id.in_(ids)).order_by(Message.id.desc()))
    return tuple(_row(row, sources.get(row.source_id)) for row in found)


def _row(row: Row[Any], source_name: str | None) -> ExportRow:
    return ExportRow(
        id=row.id,
        created_at=row.created_at,
        phone=row.phone,
        carrier=row.carrier,
        sms_type=row.sms_type,
        provider=row.provider,
        sender_id=row.sender_id,
        source_name=source_name,
        reference=row.reference,
        asked_by=row.asked_by,
        status=row.status,
        channel=row.channel,
        path=row.path if row.path is not None else _path_of(row),
        reason=row.reason or (row.outcome or {}).get("words") or None,
        took_s=took_s(row),
        charged_iqd=row.charged_iqd,
        estimate_iqd=row.estimate_iqd,
        at_risk_iqd=at_risk_iqd(row.send_state, row.estimate_iqd, row.charged_iqd),
        sms_id=row.sms_id,
    )


def _path_of(row: Row[Any]) -> str:
    tried = status.tries(status.from_json(row.delivery), row.provider, row.created_at)
    return " ".join(f"{each.channel}:{each.reached.name.lower()}" for each in tried)
