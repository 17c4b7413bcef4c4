"""The sources with their addresses and what came in for each."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ScalarSelect, Select, func, select
from sqlalchemy.orm import InstrumentedAttribute

from ..database import Base, Database
from ..models import HELD, Callback, Message, Source, SourceAddress
from ..stamp import Stamper
from .messages import COUNT_CAP
from .rows import AddressRow, SourceRow


def source_rows(database: Database, stamper: Stamper) -> tuple[SourceRow, ...]:
    """By name."""
    messages = select(Message.id).where(Message.source_id == Source.id)
    held = select(Callback.id).where(Callback.target_id == SourceAddress.id, HELD)
    with database.reading() as session:
        told = select(Source, _capped(messages, Source), _newest(Message.created_at), _came_by())
        rows = session.execute(told.order_by(Source.name)).all()
        addresses = session.execute(
            select(SourceAddress, _capped(held, SourceAddress)).order_by(SourceAddress.id.desc())
        ).all()
    of_source: dict[UUID, list[tuple[SourceAddress, int]]] = defaultdict(list)
    for address, held_now in addresses:
        of_source[address.source_id].append((address, held_now))
    return tuple(
        SourceRow(
            id=source.id,
            name=source.name,
            created_at=source.created_at,
            paused_at=source.paused_at,
            messages=message_count,
            last_message_at=last_message_at,
            addresses=tuple(
                _address(address, held_now, stamper, came_by)
                for address, held_now in of_source[source.id] or [(_only(source), 0)]
            ),
        )
        for source, message_count, last_message_at, came_by in rows
    )


def held_callbacks(database: Database, source_id: UUID, most: int) -> Sequence[UUID]:
    """Some of those that came at an address in use while it, or the source, was not, and told nothing yet."""
    in_use = SourceAddress.source_id == source_id, SourceAddress.retired_at.is_(None)
    held = select(Callback.id).join(SourceAddress, SourceAddress.id == Callback.target_id).where(HELD, *in_use)
    with database.reading() as session:
        return session.scalars(held.limit(most)).all()


def _capped(rows: Select[Any], of: type[Base]) -> ScalarSelect[int]:
    return select(func.count()).select_from(rows.limit(COUNT_CAP).correlate(of).subquery()).scalar_subquery()


def _only(source: Source) -> SourceAddress:
    """The address of one that has none yet: see `sources`."""
    return SourceAddress(id=source.id, source_id=source.id, made_at=source.created_at)


def _newest(column: InstrumentedAttribute[Any]) -> ScalarSelect[Any]:
    """Of the source's newest message."""
    newest = select(column).where(Message.source_id == Source.id).order_by(Message.id.desc()).limit(1)
    return newest.correlate(Source).scalar_subquery()


def _came_by() -> ScalarSelect[UUID]:
    """The address that the newest message's first callback came by."""
    first = select(Callback.target_id).where(Callback.message_id == _newest(Message.id)).order_by(Callback.id).limit(1)
    return first.correlate(Source).scalar_subquery()


def _address(address: SourceAddress, held: int, stamper: Stamper, came_by: UUID | None) -> AddressRow:
    stamp = stamper.issue(address.id)
    return AddressRow(
        id=address.id,
        url=stamp.url,
        secret=stamp.secret,
        made_at=address.made_at,
        retired_at=address.retired_at,
        held=held,
        is_of_newest=address.id == came_by,
    )
