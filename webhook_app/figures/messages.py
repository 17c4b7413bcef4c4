"""Lists of messages: a page of those that match, how many there are, and what a search finds."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Row,
    Select,
    func,
    literal,
    select,
    union,
    union_all,
)
from sqlalchemy.orm import Session

from .. import status
from ..database import Database
from ..ids import time_of
from ..models import Message, Source
from ..phone import mask
from ..status import NO_REPORT_AFTER, SEND_STATES, Status
from . import tallies
from .fallback import outcomes_of
from .filters import NO_CHANNEL, Filter, Lane, understand
from .rows import Hop, MessagePage, MessageRow, StatusCount
from .tallies import CellCount, PartCount

PAGE_SIZE = 50
COUNT_CAP = 10_001
# How many messages of a lane are looked at one by one: a rare combination costs no more than a frequent one.
LOOKED_THROUGH = 2_000
_SETTLED = frozenset({Status.READ, Status.DELIVERED, Status.FAILED})


@dataclass(frozen=True, kw_only=True)
class Found:
    """Ids in the order asked for, and the last one looked at where there may be others past it."""

    ids: tuple[UUID, ...] = ()
    edge: UUID | None = None


def page(
    database: Database,
    filter_: Filter,
    zone: ZoneInfo,
    now: datetime,
    *,
    before: UUID | None = None,
    after: UUID | None = None,
    limit: int = PAGE_SIZE,
    masked: bool = True,
) -> MessagePage:
    """Newest first. `before` and `after` are the ids at the edge of the page one comes from."""
    return _page(database, filter_.lanes(zone), now, before=before, after=after, limit=limit, masked=masked)


def search(
    database: Database,
    query: str,
    now: datetime,
    *,
    before: UUID | None = None,
    after: UUID | None = None,
    limit: int = PAGE_SIZE,
) -> MessagePage:
    """By number in any shape, its last four digits, smsId, our id, or reference; each by its own index."""
    return _page(database, understand(query).lanes(), now, before=before, after=after, limit=limit)


def every_message(
    database: Database, filter_: Filter, zone: ZoneInfo, now: datetime, *, limit: int, masked: bool = True
) -> Iterator[MessageRow]:
    """All that match, newest first, up to `limit`, read in pages so that memory stays flat."""
    before: UUID | None = None
    while limit > 0:
        found = page(database, filter_, zone, now, before=before, limit=min(limit, 500), masked=masked)
        yield from found.rows
        if found.older is None:
            return
        before, limit = found.older, limit - len(found.rows)


def tabs(database: Database, filter_: Filter, zone: ZoneInfo) -> tuple[StatusCount, ...]:
    """How many there are of each status under the filter's other conditions; the first entry is all of them."""
    with database.reading() as session:
        counts, edge = _counts(session, replace(filter_, status=None), zone)
    looked_to = None if edge is None else time_of(edge)
    counted = [(None, counts.total()), *((str(name), counts[name]) for name in Status)]
    return tuple(StatusCount(status=name, count=min(count, COUNT_CAP), looked_to=looked_to) for name, count in counted)


def matching(database: Database, filter_: Filter, zone: ZoneInfo) -> StatusCount:
    """How many there are under all of the filter's conditions: one of its `tabs`, without counting the others."""
    lanes = filter_.lanes(zone)
    if any(lane.looked_at for lane in lanes):
        return next(tab for tab in tabs(database, filter_, zone) if tab.status == filter_.status)
    return StatusCount(status=filter_.status, count=_found(database, lanes, union_all))


def search_count(database: Database, query: str) -> int:
    """How many messages a search finds, capped."""
    return _found(database, understand(query).lanes(), union)


def _found(database: Database, lanes: Sequence[Lane], together: Callable[..., CompoundSelect[Any]]) -> int:
    if not lanes:
        return 0
    each = [_subselect(select(Message.id).where(*lane.found_by).limit(COUNT_CAP)) for lane in lanes]
    counted = select(together(*each).subquery()).limit(COUNT_CAP).subquery()
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(counted)) or 0


def newest_to(database: Database, number: str) -> UUID | None:
    """The newest message to this number."""
    with database.reading() as session:
        return session.scalar(select(Message.id).where(Message.phone == number).order_by(Message.id.desc()).limit(1))


def newest(session: Session, now: datetime, limit: int, statuses: Sequence[Status] = ()) -> tuple[MessageRow, ...]:
    """The newest messages, of these statuses if any are named."""
    lanes = [Lane(status=name, found_by=(Message.status == name,)) for name in statuses] or [Lane()]
    return rows_of(session, _messages(session, find_ids(session, lanes, limit=limit).ids), now)


def find_ids(
    session: Session, lanes: Sequence[Lane], *, before: UUID | None = None, after: UUID | None = None, limit: int
) -> Found:
    """The next ids of all lanes together: downwards from the newest one or from `before`, or upwards from `after`.

    What no index finds is looked for among the next LOOKED_THROUGH messages of each lane. One look-up for each lane: no
    plan for `IN` with an order avoids reading all that match.
    """
    if not lanes:
        return Found()
    upwards = after is not None
    order = Message.id if upwards else Message.id.desc()
    place = [Message.id > after] if after else [Message.id < before] if before else []
    edge = _edge(session, [lane for lane in lanes if lane.looked_at], place, upwards=upwards)
    if edge is not None:
        place.append(Message.id <= edge if upwards else Message.id >= edge)
    each = (
        select(Message.id).where(*lane.found_by, lane.fits == 1, *place).order_by(order).limit(limit) for lane in lanes
    )
    found = union(*map(_subselect, each)).subquery()
    ids = session.scalars(select(found.c.id).order_by(found.c.id if upwards else found.c.id.desc()).limit(limit))
    return Found(ids=tuple(ids), edge=edge)


def rows_of(
    session: Session, messages: Sequence[Message], now: datetime, *, masked: bool = True
) -> tuple[MessageRow, ...]:
    ids = {message.source_id for message in messages if message.source_id}
    named = select(Source.id, Source.name).where(Source.id.in_(ids))
    names = {row.id: row.name for row in session.execute(named)} if ids else {}
    return tuple(_row(message, names.get(message.source_id), now, masked) for message in messages)


def took_s(message: Message | Row[Any]) -> float | None:
    """From asked to delivered or failed; of a source's message only its first callback's time is known, not when it was
    asked for."""
    if message.status not in _SETTLED or message.source_id is not None or message.settled_at is None:
        return None
    return max(0.0, (message.settled_at - message.created_at).total_seconds())


def hops(message: Message) -> tuple[Hop, ...]:
    """The channels tried, in the route's order; each starts where the one before gave up."""
    return tuple(
        Hop(
            channel=each.channel,
            outcome=each.reached.name.lower(),
            start_s=each.start_s,
            end_s=each.end_s,
            reason=each.reason,
        )
        for each in status.tries(status.from_json(message.delivery), message.provider, message.created_at)
    )


def _page(
    database: Database,
    lanes: Sequence[Lane],
    now: datetime,
    *,
    before: UUID | None,
    after: UUID | None,
    limit: int,
    masked: bool = True,
) -> MessagePage:
    with database.reading() as session:
        found = find_ids(session, lanes, before=before, after=after, limit=limit + 1)
        walked, is_full = found.ids[:limit], len(found.ids) > limit
        rows = rows_of(session, _messages(session, walked), now, masked=masked)
    onward = walked[-1] if is_full else found.edge
    back = walked[0] if walked and (before or after) else None
    return MessagePage(
        rows=rows,
        newer=onward if after else back,
        older=back if after else onward,
        looked_to=None if is_full or found.edge is None else time_of(found.edge),
    )


def _edge(
    session: Session, lanes: Sequence[Lane], place: Sequence[ColumnElement[bool]], *, upwards: bool
) -> UUID | None:
    """Where the first of these lanes has been looked through; None where each of them ends before."""
    # An offset that is always the same costs the same at any size.
    walk = select(Message.id).order_by(Message.id if upwards else Message.id.desc()).offset(LOOKED_THROUGH - 1).limit(1)
    each = [_subselect(walk.where(*lane.found_by, *place)) for lane in lanes]
    ends = session.scalars(union_all(*each)).all() if each else ()
    return (min if upwards else max)(ends, default=None)


def _counts(session: Session, filter_: Filter, zone: ZoneInfo) -> tuple[Counter[str], UUID | None]:
    """How many there are of each status, and the last one looked at where there may be others past it: the same one for
    each status, or the rare ones would seem frequent."""
    lanes = filter_.lanes(zone, by_status=True)
    looked = [lane for lane in lanes if lane.looked_at or lane.status is None]
    hours = filter_.cell_hours(zone)
    if looked and hours:  # of a carrier or a channel alone an index tells
        return (_of_paths if filter_.tried else _of_cells)(session, filter_, *hours), None
    edge = _edge(session, looked, (), upwards=False)
    counts: Counter[str] = Counter()
    each = [_count_of(lane, edge) for lane in lanes]
    for name, messages in session.execute(union_all(*each)) if each else ():
        counts[name] += messages
    return counts, edge


def _of_cells(session: Session, filter_: Filter, start: datetime, end: datetime) -> Counter[str]:
    counts: Counter[str] = Counter()
    for cell in tallies.cells(session, start, end, "carrier", "channel", "status"):
        if _is_in(cell, filter_) and cell.status in filter_.statuses:
            counts[cell.status] += cell.messages
    return counts


def _of_paths(session: Session, filter_: Filter, start: datetime, end: datetime) -> Counter[str]:
    counts: Counter[str] = Counter()
    for path in tallies.parts(session, "path", start, end, "carrier", "channel", "word"):
        channels = outcomes_of(path)
        status = channels.get(path.channel or "")
        if _is_in(path, filter_) and len(channels) >= (filter_.tried or 0) and status in filter_.statuses:
            counts[status] += path.messages
    return counts


def _is_in(count: CellCount | PartCount, filter_: Filter) -> bool:
    channel = "" if filter_.channel == NO_CHANNEL else filter_.channel
    return filter_.carrier in (None, count.carrier) and channel in (None, count.channel)


def _count_of(lane: Lane, edge: UUID | None) -> Select[Any]:
    # In the order of the lane's index: with none asked for, a planner may take another that is read all over.
    ordered = select(Message.status).where(*lane.found_by).order_by(Message.id.desc())
    if lane.status is not None and not lane.looked_at:
        counted = ordered.limit(COUNT_CAP).subquery()
        columns: list[ColumnElement[Any]] = [literal(str(lane.status)), func.count()]
        return select(*columns).select_from(counted)
    past = () if edge is None else (Message.id >= edge,)
    looked = ordered.add_columns(lane.fits.label("fits")).where(*past).limit(LOOKED_THROUGH).subquery()
    return select(looked.c.status, func.sum(looked.c.fits)).group_by(looked.c.status)


def _messages(session: Session, ids: Sequence[UUID]) -> Sequence[Message]:
    return session.scalars(select(Message).where(Message.id.in_(ids)).order_by(Message.id.desc())).all() if ids else ()


def _subselect(statement: Select[Any]) -> Select[Any]:
    """SQLite takes an order and a limit inside a union only so."""
    return select(*statement.subquery().c)


def _row(message: Message, source_name: str | None, now: datetime, masked: bool) -> MessageRow:
    last_word_at = message.last_fact_at or message.created_at
    return MessageRow(
        id=message.id,
        created_at=message.created_at,
        phone_masked=mask(message.phone) if masked else message.phone or "–",
        carrier=message.carrier,
        sms_type=message.sms_type,
        hops=hops(message),
        sms_id=message.sms_id,
        status=message.status,
        closed=message.closed,
        channel=message.channel,
        no_report=not message.closed and now - last_word_at > NO_REPORT_AFTER,
        reason=message.reason or (_send_words(message) if message.status in SEND_STATES else None),
        took_s=took_s(message),
        cost_iqd=message.estimate_iqd if _is_estimate(message) else message.charged_iqd,
        cost_is_estimate=_is_estimate(message),
        reference=message.reference,
        source_name=source_name,
        is_sample=message.is_sample,
    )


def _send_words(message: Message) -> str | None:
    return (message.outcome or {}).get("words") or None


def _is_estimate(message: Message) -> bool:
    return message.at_risk_iqd > 0
