"""Lists of messages, and everything known of one."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, func, literal, select, union_all
from sqlalchemy.orm import Session

from .. import status
from ..database import Database
from ..ids import first_id
from ..models import Callback, Exchange, Message, Source
from ..otpiq import Unreadable, parse_report
from ..otpiq.document import is_clean_text
from ..phone import BadPhone, mask, normalise
from ..status import NO_REPORT_AFTER, OUTCOMES, SEND_STATES, Reached, Status
from .rows import Hop, MessageDetail, MessagePage, MessageRow, Raw, StatusCount, Step

PAGE_SIZE = 50
COUNT_CAP = 10_001
NO_STATUS = "none"  # a status and an outcome that exclude each other
_SETTLED = (Status.READ, Status.DELIVERED, Status.FAILED)


@dataclass(frozen=True, kw_only=True)
class Filter:
    """What a list is narrowed to; days are whole days in the reader's zone, both ends included."""

    status: str | None = None
    outcome: str | None = None  # delivered, failed or waiting: several statuses at once
    carrier: str | None = None
    channel: str | None = None
    sms_type: str | None = None
    source_id: UUID | None = None
    since: date | datetime | None = None
    until: date | datetime | None = None

    @property
    def statuses(self) -> tuple[str, ...]:
        """The statuses that pass, to be looked up one by one; none named means all at once, by the primary key."""
        named = OUTCOMES[self.outcome] if self.outcome else tuple(Status)
        chosen = tuple(str(name) for name in named if self.status in (None, name))
        is_whole = len(chosen) == len(Status) and not (self.carrier or self.channel or self.sms_type)
        return () if is_whole else chosen or (NO_STATUS,)

    def conditions(self, zone: ZoneInfo) -> list[ColumnElement[bool]]:
        """What else must hold; the statuses are looked up one by one, each by its index."""
        given = [
            (Message.carrier, self.carrier),
            (Message.channel, self.channel),
            (Message.sms_type, self.sms_type),
            (Message.source_id, self.source_id),
        ]
        found: list[ColumnElement[bool]] = [column == value for column, value in given if value is not None]
        # Ids are in order of time, so a range of time is a range of the primary key.
        if self.since is not None:
            found.append(Message.id >= first_id(_moment(self.since, zone)))
        if self.until is not None:
            end = self.until if isinstance(self.until, datetime) else self.until + timedelta(days=1)
            found.append(Message.id < first_id(_moment(end, zone)))
        return found


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
    conditions = filter_.conditions(zone)
    if after is not None:
        conditions.append(Message.id > after)
    elif before is not None:
        conditions.append(Message.id < before)
    with database.reading() as session:
        found = _nearest(session, conditions, filter_.statuses, limit + 1, newest_first=after is None)
        more, found = len(found) > limit, found[:limit]
        if after is not None:
            found.reverse()
        rows = _rows(session, found, now, masked=masked)
    has_newer = more if after is not None else before is not None
    has_older = more if after is None else True
    return MessagePage(
        rows=rows,
        newer=rows[0].id if rows and has_newer else None,
        older=rows[-1].id if rows and has_older else None,
    )


def every_message(
    database: Database, filter_: Filter, zone: ZoneInfo, now: datetime, *, limit: int, masked: bool = True
) -> Iterator[MessageRow]:
    """All that match, newest first, up to `limit`, read in pages so that memory stays flat."""
    before: UUID | None = None
    while limit > 0:
        size = min(limit, 500)
        found = page(database, filter_, zone, now, before=before, limit=size, masked=masked)
        yield from found.rows
        if len(found.rows) < size:
            return
        before, limit = found.rows[-1].id, limit - size


def tabs(database: Database, filter_: Filter, zone: ZoneInfo) -> tuple[StatusCount, ...]:
    """How many there are of each status under the filter's other conditions; the first entry is all of them."""
    others = filter_.conditions(zone)
    counts = [
        select(literal(name or "").label("status"), func.count().label("n")).select_from(
            select(Message.id)
            .where(*others, *([Message.status == name] if name else []))
            .limit(COUNT_CAP)
            .subquery(name=f"capped_{name or 'all'}")
        )
        for name in (None, *(str(word) for word in Status))
    ]
    with database.reading() as session:
        found = {row.status: row.n for row in session.execute(union_all(*counts))}
    return tuple(StatusCount(status=name or None, count=found[name]) for name in ("", *(str(word) for word in Status)))


def search(
    database: Database, query: str, now: datetime, *, before: UUID | None = None, limit: int = PAGE_SIZE
) -> MessagePage:
    """By number in any shape, its last four digits, smsId, our id, or reference; each by its own index."""
    wanted: dict[UUID, Message] = {}
    with database.reading() as session:
        for condition in _search_conditions(query.strip()):
            found = select(Message).where(condition).order_by(Message.id.desc()).limit(limit + 1)
            if before is not None:
                found = found.where(Message.id < before)
            wanted |= {message.id: message for message in session.scalars(found)}
        newest = sorted(wanted.values(), key=lambda message: message.id, reverse=True)
        rows = _rows(session, newest[:limit], now)
    return MessagePage(rows=rows, newer=None, older=rows[-1].id if len(newest) > limit else None)


def newest(session: Session, now: datetime, limit: int, statuses: Sequence[str] = ()) -> tuple[MessageRow, ...]:
    """The newest messages, of these statuses if any are named."""
    return _rows(session, _nearest(session, [], statuses, limit), now)


def find_detail(database: Database, message_id: UUID, now: datetime) -> MessageDetail | None:
    with database.reading() as session:
        message = session.get(Message, message_id)
        if message is None:
            return None
        callbacks = session.scalars(
            select(Callback).where(Callback.message_id == message_id).order_by(Callback.id)
        ).all()
        exchanges = session.scalars(
            select(Exchange).where(Exchange.message_id == message_id).order_by(Exchange.id)
        ).all()
        again_as = session.scalar(
            select(Message.id).where(Message.again_of == message_id).order_by(Message.id.desc()).limit(1)
        )
        (row,) = _rows(session, [message], now)
    delivery = status.from_json(message.delivery)
    return MessageDetail(
        row=row,
        route=status.route(message.provider),
        provider=message.provider or "",
        sender_id=message.sender_id,
        custom_text=message.custom_text,
        sms_ids=tuple(sorted(delivery.sms_ids)) or ((message.sms_id,) if message.sms_id else ()),
        estimate_iqd=message.estimate_iqd,
        charged_iqd=message.charged_iqd,
        anomalies=status.anomalies(delivery, Status(message.send_state)),
        again_of=message.again_of,
        again_as=again_as,
        steps=_steps(message, callbacks, exchanges),
        raws=_raws(message, callbacks, exchanges),
        can_check=message.sms_id is not None and not message.is_sample,
    )


def _nearest(
    session: Session,
    conditions: Sequence[ColumnElement[bool]],
    statuses: Sequence[str],
    limit: int,
    *,
    newest_first: bool = True,
) -> list[Message]:
    """The first `limit` messages in order of id. One look-up for each status: no plan for `IN` with an order avoids
    reading all that match."""
    order = Message.id.desc() if newest_first else Message.id
    found = [
        message
        for narrowed in [[Message.status == name] for name in statuses] or [[]]
        for message in session.scalars(select(Message).where(*conditions, *narrowed).order_by(order).limit(limit))
    ]
    return sorted(found, key=lambda message: message.id, reverse=newest_first)[:limit]


def _search_conditions(query: str) -> list[ColumnElement[bool]]:
    if not is_clean_text(query):
        return []  # no store could hold it
    conditions = [Message.sms_id == query, Message.reference == query]
    try:
        conditions.append(Message.phone == normalise(query))
    except BadPhone:
        digits = "".join(str(int(character)) for character in query if character.isdecimal())
        if len(digits) == 4 and len(query) == 4:
            conditions.append(Message.phone_end == digits)
    with suppress(ValueError):
        conditions.append(Message.id == UUID(query))
    return conditions


def _rows(
    session: Session, messages: Sequence[Message], now: datetime, *, masked: bool = True
) -> tuple[MessageRow, ...]:
    ids = {message.source_id for message in messages if message.source_id}
    named = select(Source.id, Source.name).where(Source.id.in_(ids))
    names = {row.id: row.name for row in session.execute(named)} if ids else {}
    return tuple(_row(message, names.get(message.source_id), now, masked) for message in messages)


def _row(message: Message, source_name: str | None, now: datetime, masked: bool) -> MessageRow:
    # When another program asked for its message is not known: only when its first callback came.
    settled = message.settled_at if message.status in _SETTLED and message.source_id is None else None
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
        took_s=max(0.0, (settled - message.created_at).total_seconds()) if settled else None,
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


def hops(message: Message) -> tuple[Hop, ...]:
    """The channels tried, in the route's order; each starts where the one before gave up."""
    known = status.from_json(message.delivery).channels
    found: list[Hop] = []
    for name in (*status.CHANNELS, status.UNKNOWN_CHANNEL):
        channel = known.get(name)
        if channel is None or channel.reached is Reached.NONE:
            continue
        times = [max(0.0, (at - message.created_at).total_seconds()) for at in channel.first_at.values()]
        start_s = found[-1].end_s if found and found[-1].outcome == "failed" else min(times) if found else 0.0
        found.append(
            Hop(
                channel=name,
                outcome=channel.reached.name.lower(),
                start_s=min(start_s, max(times)),
                end_s=max(times),
                reason=channel.reason,
            )
        )
    return tuple(found)


def _steps(message: Message, callbacks: Sequence[Callback], exchanges: Sequence[Exchange]) -> tuple[Step, ...]:
    steps = [
        Step(at=message.created_at, gap_s=None, kind="asked", asked_by=message.asked_by),
        *(_step_of_exchange(exchange) for exchange in exchanges),
        *(step_of_callback(callback) for callback in callbacks),
    ]
    steps.sort(key=lambda step: step.at)
    gaps = [None, *((late.at - early.at).total_seconds() for early, late in pairwise(steps))]
    return tuple(replace(step, gap_s=gap) for step, gap in zip(steps, gaps, strict=True))


def _step_of_exchange(exchange: Exchange) -> Step:
    is_answer = exchange.kind == "answer"
    return Step(
        at=exchange.at,
        gap_s=None,
        kind=exchange.kind,
        word=exchange.outcome if is_answer or exchange.outcome != "ok" else exchange.words,
        reason=exchange.words if is_answer or exchange.outcome != "ok" else None,
        sms_id=exchange.sms_id,
        cost_iqd=exchange.cost_iqd,
        balance_iqd=exchange.balance_iqd,
        changed=exchange.changed,
    )


def step_of_callback(callback: Callback) -> Step:
    step = Step(
        at=callback.received_at,
        gap_s=None,
        kind="callback",
        repeats=callback.repeats,
        changed=callback.changed,
        quarantined=callback.note,
    )
    try:
        report = parse_report(callback.body)
    except Unreadable:
        return step
    return replace(step, word=report.word, channel=report.channel, is_final=report.is_final, reason=report.reason)


def _raws(message: Message, callbacks: Sequence[Callback], exchanges: Sequence[Exchange]) -> tuple[Raw, ...]:
    raws = [
        Raw(title="callback", at=callback.received_at, head=head_of(callback), body=readable(callback.body))
        for callback in callbacks
    ]
    raws += [
        Raw(
            title=exchange.kind,
            at=exchange.at,
            head=f"HTTP {exchange.http_status}" if exchange.http_status else "",
            body=exchange.trace or exchange.words or "",
        )
        for exchange in exchanges
    ]
    if message.request is not None:
        head = f"POST /sms, to {mask(message.phone)}"
        body = json.dumps(message.request, ensure_ascii=False)
        raws.append(Raw(title="request", at=message.created_at, head=head, body=body))
    return tuple(sorted(raws, key=lambda raw: raw.at))


def head_of(callback: Callback) -> str:
    lines = [f"POST /callbacks/otpiq/{callback.target_id}"]
    return "\n".join([*lines, *(f"{name}: {value}" for name, value in sorted(callback.headers.items()))])


def readable(raw: bytes) -> str:
    return raw.decode(errors="replace").replace("\0", "�")


def _moment(day: date | datetime, zone: ZoneInfo) -> datetime:
    return day if isinstance(day, datetime) else datetime.combine(day, time(), tzinfo=zone)
