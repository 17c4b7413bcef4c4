"""The sources with their addresses and what came in for each."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ScalarSelect, func, select
from sqlalchemy.orm import InstrumentedAttribute

from ..database import Database
from ..models import HELD, Callback, Message, Source, SourceAddress
from ..stamp import Stamper
from .messages import COUNT_CAP
from .rows import AddressRow, SourceRow

_HELD = select(SourceAddress.source_id, Callback.id).join(Callback, Callback.target_id == SourceAddress.id).where(HELD)


def source_rows(database: Database, stamper: Stamper) -> tuple[SourceRow, ...]:
    """By name."""
    capped = select(Message.id).where(Message.source_id == Source.id).limit(COUNT_CAP).correlate(Source).subquery()
    count = select(func.count()).select_from(capped).scalar_subquery()
    with database.reading() as session:
        told = select(Source, count, _newest(Message.created_at), _came_by())
        rows = session.execute(told.order_by(Source.name)).all()
        addresses = session.scalars(select(SourceAddress).order_by(SourceAddress.id.desc())).all()
        held = Counter(source_id for source_id, _callback_id in session.execute(_HELD.limit(COUNT_CAP)))
    of_source: dict[UUID, list[SourceAddress]] = defaultdict(list)
    for address in addresses:
        of_source[address.source_id].append(address)
    return tuple(
        SourceRow(
            id=source.id,
            name=source.name,
            created_at=source.created_at,
            paused_at=source.paused_at,
            messages=messages,
            last_message_at=last_message_at,
            held=held[source.id],
            addresses=tuple(_address(one, stamper, came_by) for one in of_source[source.id]),
        )
        for source, messages, last_message_at, came_by in rows
    )


def held_callbacks(database: Database, source_id: UUID, most: int) -> Sequence[UUID]:
    """Some of those that came while it was paused and told nothing yet."""
    held = _HELD.where(SourceAddress.source_id == source_id).limit(most).with_only_columns(Callback.id)
    with database.reading() as session:
        return session.scalars(held).all()


def _newest(column: InstrumentedAttribute[Any]) -> ScalarSelect[Any]:
    """Of the source's newest message."""
    newest = select(column).where(Message.source_id == Source.id).order_by(Message.id.desc()).limit(1)
    return newest.correlate(Source).scalar_subquery()


def _came_by() -> ScalarSelect[UUID]:
    """The address that the newest message's first callback came by."""
    first = select(Callback.target_id).where(Callback.message_id == _newest(Message.id)).order_by(Callback.id).limit(1)
    return first.correlate(Source).scalar_subquery()


def _address(address: SourceAddress, stamper: Stamper, came_by: UUID | None) -> AddressRow:
    stamp = stamper.issue(address.id)
    return AddressRow(
        id=address.id,
        url=stamp.url,
        secret=stamp.secret,
        made_at=address.made_at,
        retired_at=address.retired_at,
        is_of_newest=address.id == came_by,
    )
