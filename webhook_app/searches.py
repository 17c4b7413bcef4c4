"""What someone searched for, kept for a day: so its results have an address to come back to, and that tells nothing."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, select

from .database import Database
from .ids import first_id, new_id
from .models import Search

KEPT = timedelta(days=1)


def keep(database: Database, user_id: UUID, query: str, now: datetime) -> UUID:
    """The id it is found by from now on, by this user."""
    search_id = new_id(now)
    with database.transaction() as session:
        session.add(Search(id=search_id, user_id=user_id, query=query))
    return search_id


def find(database: Database, user_id: UUID, search_id: UUID, now: datetime) -> str | None:
    """None when it is another's, or not kept any more."""
    kept = select(Search.query).where(Search.id == search_id, Search.id >= first_id(now - KEPT))
    with database.reading() as session:
        return session.scalar(kept.where(Search.user_id == user_id))


def forget(database: Database, now: datetime) -> None:
    """Those of a day ago."""
    with database.transaction() as session:
        session.execute(delete(Search).where(Search.id < first_id(now - KEPT)))
