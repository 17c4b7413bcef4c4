"""Sources: programs that send by themselves and let their callbacks come here."""

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from .database import Database
from .ids import new_id
from .marking import N_
from .models import Source

_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,60}")


class BadName(ValueError):
    """The text says which rule the name breaks."""


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


def checked_name(name: str) -> str:
    """A name for a source, a key or a user. Raises BadName."""
    name = name.strip()
    if not _NAME.fullmatch(name) or not name.isprintable():
        raise BadName(N_("must be 1 to 60 characters that can be printed"))
    return name


def named(database: Database) -> list[NamedSource]:
    """All of them, by name."""
    with database.reading() as session:
        rows = session.execute(select(Source.id, Source.name).order_by(Source.name))
        return [NamedSource(id=row.id, name=row.name) for row in rows]
