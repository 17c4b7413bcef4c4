"""How Wasl itself is: its store, its worker, what waits. `wasl doctor` looks at more, judges it, and asks OTPIQ."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, text, union_all
from sqlalchemy.orm import Session

from ..database import Database, sqlite_module
from ..ids import first_id
from ..models import Callback, Delta, Message, Moment, PartDelta
from ..status import NO_REPORT_AFTER, OUTCOMES
from .messages import COUNT_CAP

_BEAT_WITHIN = timedelta(minutes=1)
_LOOKED_THROUGH = 200


@dataclass(frozen=True, kw_only=True)
class Vitals:
    store: str  # "SQLite 3.51.3"
    store_bytes: int
    worker_at: datetime | None  # when a worker was last seen
    is_working: bool  # so lately that it lives
    unfolded: int  # counts that wait to be folded; capped like StatusCount
    oldest_open_at: datetime | None  # when the oldest message was asked for that a report may still come for
    last_callback_at: datetime | None


def vitals(database: Database, now: datetime) -> Vitals:
    with database.reading() as session:
        store, store_bytes = _store(session, is_sqlite=database.is_sqlite)
        worker_at = last_beat_at(session)
        return Vitals(
            store=store,
            store_bytes=store_bytes,
            worker_at=worker_at,
            is_working=is_working(worker_at, now),
            unfolded=_unfolded(session),
            oldest_open_at=_oldest_open_at(session, now),
            last_callback_at=session.scalar(select(Callback.received_at).order_by(Callback.id.desc()).limit(1)),
        )


def last_beat_at(session: Session) -> datetime | None:
    beats = select(Moment.at).where(Moment.name.startswith("worker:", autoescape=True))
    return session.scalar(beats.order_by(Moment.at.desc()).limit(1))


def is_working(worker_at: datetime | None, now: datetime) -> bool:
    return worker_at is not None and now - worker_at <= _BEAT_WITHIN


def _store(session: Session, *, is_sqlite: bool) -> tuple[str, int]:
    """Its name and version, and how much room it takes on the disk."""
    if is_sqlite:
        pages, size = (session.execute(text(f"PRAGMA {name}")).scalar_one() for name in ("page_count", "page_size"))
        return f"SQLite {sqlite_module().sqlite_version}", pages * size
    version = session.execute(text("SHOW server_version")).scalar_one().split()[0]
    return f"PostgreSQL {version}", session.execute(select(func.pg_database_size(func.current_database()))).scalar_one()


def _unfolded(session: Session) -> int:
    each = (select(model.id).limit(COUNT_CAP).subquery() for model in (Delta, PartDelta))
    counts = [select(func.count().label("n")).select_from(found) for found in each]
    return min(sum(session.scalars(union_all(*counts))), COUNT_CAP)


def _oldest_open_at(session: Session, now: datetime) -> datetime | None:
    """Looked up status by status, by its index; among those that are sent many may be closed, so that only the oldest
    two hundred are looked at."""
    since = first_id(now - NO_REPORT_AFTER)
    oldest = [
        select(Message.created_at, Message.closed)
        .where(Message.status == status, Message.id >= since)
        .order_by(Message.id)
        .limit(_LOOKED_THROUGH)
        .subquery()
        for status in OUTCOMES["waiting"]
    ]
    firsts = union_all(*(select(func.min(found.c.created_at)).where(found.c.closed.is_(False)) for found in oldest))
    return min((at for at in session.scalars(firsts) if at is not None), default=None)
