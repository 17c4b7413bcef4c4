"""Sources: programs that send by themselves and let their callbacks come here.

A source has an address, that is a URL and its secret. When it gets a new one, the old one works on until it is retired,
so that the program can be changed without haste. What comes while a source is paused, or at a retired address, is
kept and tells nothing: it can be taken in later (`replaying`).
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from .database import Database
from .ids import new_id
from .marking import N_
from .models import PAUSED as PAUSED
from .models import RETIRED as RETIRED
from .models import Source, SourceAddress
from .naming import BadName, checked_name

_MOST_IN_USE = 2
_TWO_IN_USE = N_("Two addresses are in use. Retire the old one first.")


class AddressRule(ValueError):
    """The text says which rule stands against it."""


@dataclass(frozen=True, kw_only=True)
class NamedSource:
    id: UUID
    name: str


def add(database: Database, name: str, now: datetime) -> NamedSource:
    """Make a source; its first address has its own id. Raises BadName when the name is empty, too long, odd or
    taken."""
    name = checked_name(name)
    try:
        with database.transaction() as session:
            source = Source(id=new_id(now), name=name, created_at=now)
            session.add(source)
            session.flush()
            session.add(SourceAddress(id=source.id, source_id=source.id, made_at=now))
    except IntegrityError:
        raise BadName(N_("is taken: choose another name")) from None
    return NamedSource(id=source.id, name=name)


def named(database: Database) -> list[NamedSource]:
    """All of them, by name."""
    with database.reading() as session:
        rows = session.execute(select(Source.id, Source.name).order_by(Source.name))
        return [NamedSource(id=row.id, name=row.name) for row in rows]


def rotate(database: Database, source_id: UUID, now: datetime) -> UUID:
    """Give it a new address; the one it has works on. Raises LookupError, or AddressRule when two are in use."""
    with database.transaction() as session:
        _locked(session, source_id)
        if len(_in_use(session, source_id)) >= _MOST_IN_USE:
            raise AddressRule(_TWO_IN_USE)
        address = SourceAddress(id=new_id(now), source_id=source_id, made_at=now)
        session.add(address)
        return address.id


def retire(database: Database, source_id: UUID, address_id: UUID, now: datetime) -> None:
    """Let nothing that comes there from now on tell anything.

    Raises LookupError, or AddressRule when it is the source's newest: a source keeps an address.
    """
    with database.transaction() as session:
        address = _locked_address(session, source_id, address_id)
        if address_id == _in_use(session, source_id)[0]:
            raise AddressRule(N_("This is the newest address. Make a new one first, then retire this one."))
        address.retired_at = address.retired_at or now


def restore(database: Database, source_id: UUID, address_id: UUID) -> None:
    """Use a retired address again. Raises LookupError, or AddressRule when two are in use."""
    with database.transaction() as session:
        address = _locked_address(session, source_id, address_id)
        if address.retired_at is not None and len(_in_use(session, source_id)) >= _MOST_IN_USE:
            raise AddressRule(_TWO_IN_USE)
        address.retired_at = None


def pause(database: Database, source_id: UUID, now: datetime) -> None:
    """Let nothing that comes from now on tell anything. Raises LookupError."""
    with database.transaction() as session:
        source = _locked(session, source_id)
        source.paused_at = source.paused_at or now


def resume(database: Database, source_id: UUID) -> None:
    """Raises LookupError. What came meanwhile stays as it is until it is replayed."""
    with database.transaction() as session:
        _locked(session, source_id).paused_at = None


def why_held(paused_at: datetime | None, retired_at: datetime | None, at: datetime) -> str | None:
    """Why a callback that came at `at` tells nothing, if it does not: PAUSED or RETIRED."""
    if retired_at is not None and at >= retired_at:
        return RETIRED
    return PAUSED if paused_at is not None and at >= paused_at else None


def _locked(session: Session, source_id: UUID) -> Source:
    source = session.scalar(select(Source).where(Source.id == source_id).with_for_update())
    if source is None:
        raise LookupError(source_id)
    if session.scalar(select(SourceAddress.id).where(SourceAddress.source_id == source_id).limit(1)) is None:
        # Made by a process of before 0008 that ran on beside the new ones.
        session.add(SourceAddress(id=source.id, source_id=source.id, made_at=source.created_at))
        session.flush()
    return source


def _locked_address(session: Session, source_id: UUID, address_id: UUID) -> SourceAddress:
    _locked(session, source_id)
    address = session.get(SourceAddress, address_id)
    if address is None or address.source_id != source_id:
        raise LookupError(address_id)
    return address


def _in_use(session: Session, source_id: UUID) -> list[UUID]:
    """Newest first."""
    in_use = select(SourceAddress.id).where(SourceAddress.source_id == source_id, SourceAddress.retired_at.is_(None))
    return list(session.scalars(in_use.order_by(SourceAddress.id.desc())))
