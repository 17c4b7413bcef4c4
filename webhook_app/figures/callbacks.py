"""Is anything coming in? The header's light and balance."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, literal, select, union_all

from ..database import Database
from ..ids import first_id
from ..models import BalanceReading, Callback, Message
from ..status import Status
from .balance import days_left
from .intake import is_refusing
from .messages import COUNT_CAP
from .rows import Frame, Unplaced

_SILENT_AFTER = timedelta(minutes=5)
_NEWEST_BALANCE = select(BalanceReading.iqd, BalanceReading.at).order_by(BalanceReading.id.desc()).limit(1)


def unplaced(database: Database) -> Unplaced:
    """How many authentic callbacks are kept that could not be read, or that belong to no message known here."""
    counts = [
        select(literal(verdict).label("verdict"), func.count().label("n")).select_from(
            select(Callback.id).where(Callback.verdict == verdict).limit(COUNT_CAP).subquery(name=verdict)
        )
        for verdict in ("quarantined", "orphan")
    ]
    with database.reading() as session:
        found = {row.verdict: row.n for row in session.execute(union_all(*counts))}
    return Unplaced(quarantined=found["quarantined"], orphans=found["orphan"])


def newest_callbacks(database: Database, verdict: str, limit: int) -> list[UUID]:
    newest = select(Callback.id).where(Callback.verdict == verdict).order_by(Callback.id.desc()).limit(limit)
    with database.reading() as session:
        return list(session.scalars(newest))


def latest_balance_iqd(database: Database) -> int | None:
    with database.reading() as session:
        balance = session.execute(_NEWEST_BALANCE).one_or_none()
    return balance.iqd if balance else None


def frame(database: Database, environment: str, now: datetime, spooled: int = 0) -> Frame:
    """`spooled` is how many callbacks wait for the store."""
    with database.reading() as session:
        last_at = session.scalar(select(Callback.received_at).order_by(Callback.id.desc()).limit(1))
        balance = session.execute(_NEWEST_BALANCE).one_or_none()
        # Sent after the last callback and long enough ago to have been called back.
        unheard = select(Message.id).where(
            Message.status == Status.ACCEPTED, Message.id < first_id(now - _SILENT_AFTER), Message.is_sample.is_(False)
        )
        if last_at is not None:
            unheard = unheard.where(Message.id > first_id(last_at))
        silent = session.scalar(unheard.order_by(Message.id.desc()).limit(1)) is not None
        refused = is_refusing(session, now)
        lasts = days_left(session, balance.iqd, now) if balance else None
    return Frame(
        environment=environment,
        balance_iqd=balance.iqd if balance else None,
        balance_at=balance.at if balance else None,
        days_left=lasts,
        last_callback_at=last_at,
        light="spooled" if spooled else "refused" if refused else "silent" if silent else "ok" if last_at else "none",
        spooled=spooled,
    )
