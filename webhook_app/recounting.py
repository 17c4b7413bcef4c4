"""The counts held against the messages they are about, and put right: `wasl db recount`.

Nobody waits for it. A message and its count change in one transaction, and a fold moves counts without changing their
sum; so what a count lacks stays the same, whoever writes meanwhile. One statement sees one moment, and what it finds
lacking is appended afterwards, as one more delta. Only two recounts at once must not both append it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    String,
    case,
    cast,
    func,
    insert,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy import type_coerce as read_as
from sqlalchemy.orm import Session

from .database import Database, UtcDateTime
from .models import COUNT_KEY, COUNT_SUMS, Delta, Message, Moment, Tally
from .status import Status

_REPAIRED = "counts repaired"
_UUID_PARTS = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What is counted under one key (named as in COUNT_KEY), and by how much it falls short of the messages."""

    key: Mapping[str, Any]
    short: Mapping[str, int]  # by COUNT_SUMS; negative: too much is counted


@dataclass(frozen=True, kw_only=True)
class Recount:
    messages: int  # there are
    differences: tuple[Difference, ...]


def recount(database: Database, *, check_only: bool = False) -> Recount:
    """Count the messages, compare, and put the counts right unless `check_only`; tells what differed before."""
    while True:
        with database.reading() as session:
            repaired_at = _repaired_at(session)  # first: what is repaired after this is noticed
            found = _differences(session, database.is_sqlite)
            messages = _count(session) + sum(difference.short["messages"] for difference in found)
        if not found or check_only or _append(database, found, repaired_at):
            return Recount(messages=messages, differences=found)


def _append(database: Database, found: Iterable[Difference], repaired_at: datetime | None) -> bool:
    """Add what lacks; False when another recount was quicker."""
    with database.transaction() as session:
        database.one_at_a_time(session, _REPAIRED)
        if _repaired_at(session) != repaired_at:
            return False
        session.merge(Moment(name=_REPAIRED, at=datetime.now(UTC)))
        session.execute(insert(Delta), [{**difference.key, **difference.short} for difference in found])
        return True


def _repaired_at(session: Session) -> datetime | None:
    return session.scalar(select(Moment.at).where(Moment.name == _REPAIRED))


def _differences(session: Session, is_sqlite: bool) -> tuple[Difference, ...]:
    found = [
        Difference(key={name: row[name] for name in COUNT_KEY}, short={name: row[name] for name in COUNT_SUMS})
        for row in session.execute(_differing(is_sqlite)).mappings()
    ]
    return tuple(sorted(found, key=lambda difference: tuple(difference.key.values())))


def _differing(is_sqlite: bool) -> Select[Any]:
    """By key: what the messages say, less what is counted, where that leaves anything."""
    counted = [
        select(*(table.__table__.c[name] for name in COUNT_KEY), *(-table.__table__.c[name] for name in COUNT_SUMS))
        for table in (Tally, Delta)
    ]
    both = union_all(_of_messages(is_sqlite), *counted).subquery()
    key = [both.c[name] for name in COUNT_KEY]
    # PostgreSQL sums whole numbers to decimals.
    short = [cast(func.sum(both.c[name]), BigInteger).label(name) for name in COUNT_SUMS]
    return select(*key, *short).group_by(*key).having(or_(*(func.sum(both.c[name]) != 0 for name in COUNT_SUMS)))


def _of_messages(is_sqlite: bool) -> Select[Any]:
    """Where and what each message counts, as `counting` says it, in SQL; a test holds the two together."""
    in_doubt = Message.charged_iqd.is_(None) & Message.send_state.in_((Status.SENDING, Status.UNCONFIRMED))
    said: dict[str, ColumnElement[Any]] = {
        "hour": _hour(is_sqlite),
        "status": Message.status.expression,
        "carrier": Message.carrier.expression,
        "channel": func.coalesce(Message.channel, ""),
        "sms_type": Message.sms_type.expression,
        "sender_id": func.coalesce(Message.sender_id, ""),
        "source": func.coalesce(_source(is_sqlite), ""),
        "is_sample": Message.is_sample.expression,
        "messages": literal(1),
        "charged_iqd": func.coalesce(Message.charged_iqd, 0),
        "at_risk_iqd": case((in_doubt, func.coalesce(Message.estimate_iqd, 0)), else_=0),
    }
    return select(*(said[name].label(name) for name in (*COUNT_KEY, *COUNT_SUMS)))


def _hour(is_sqlite: bool) -> ColumnElement[Any]:
    if is_sqlite:  # keeps times as text in UTC, such as 2026-11-22 09:59:59.000000
        return read_as(func.substr(read_as(Message.created_at, String), 1, 13).concat(":00:00.000000"), UtcDateTime)
    return func.date_trunc("hour", Message.created_at, "UTC", type_=UtcDateTime)


def _source(is_sqlite: bool) -> ColumnElement[Any]:
    if is_sqlite:  # keeps ids as 32 digits without dashes
        digits = read_as(Message.source_id, String)
        first, *others = (func.substr(digits, start, length, type_=String) for start, length in _UUID_PARTS)
        return reduce(lambda known, part: known.concat("-").concat(part), others, first)
    return cast(Message.source_id, String)


def _count(session: Session) -> int:
    tables = union_all(*(select(table.messages) for table in (Tally, Delta))).subquery()
    return int(session.scalar(select(func.sum(tables.c.messages))) or 0)
