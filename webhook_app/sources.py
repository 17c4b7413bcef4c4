"""Sources: programs that send by themselves and let their callbacks come here."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from .database import Database
from .ids import new_id
from .marking import N_
from .models import Source
from .naming import BadName, checked_name


@dataclass(frozen=True, kw_only=True)
class NamedSource:
    id: UUID
    name: str


def add(database: Database, name: str, now: datetime) -> NamedSource:
    """Make a source. Raises BadName when the name is empty, too long, odd or taken."""
    name = checked_name(name)
    try:
        with database.transaction() as session:
            source = Source(id=new_id(now), name=name, created_at=now)
            session.add(source)
    except IntegrityError:
        raise BadName(N_("is taken: choose another name")) from None
    return NamedSource(id=source.id, name=name)


def named(database: Database) -> list[NamedSource]:
    """All of them, by name."""
    with database.reading() as session:
        rows = session.execute(select(Source.id, Source.name).order_by(Source.name))
        return [NamedSource(id=row.id, name=row.name) for row in rows]
