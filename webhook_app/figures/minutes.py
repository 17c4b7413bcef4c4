"""The counts of the last hour by the minute, from the messages themselves: no tally is that fine.

The same questions as `tallies` asks, with minutes where hours stand. What they cost grows with the messages of that
hour, which a range of ids finds, and not with those of all time.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Row, String, case, cast, func, literal, select
from sqlalchemy import type_coerce as read_as
from sqlalchemy.orm import Session

from ..counting import REASON_LENGTH, SEND_REASON
from ..database import UtcDateTime
from ..ids import first_id
from ..models import COUNT_SUMS, PART_SUMS, Message
from ..status import CLOSED_SENDS, Status
from .tallies import CellCount, HourCount, PartCount

_IN_DOUBT = Message.charged_iqd.is_(None) & Message.send_state.in_((Status.SENDING, Status.UNCONFIRMED))
_REASON = case(
    (Message.status == Status.FAILED, func.substr(func.coalesce(Message.reason, ""), 1, REASON_LENGTH)),
    else_=literal(SEND_REASON).concat(func.coalesce(Message.outcome["kind"].as_string(), "")),
)
_SAID: Mapping[str, ColumnElement[Any]] = {
    "status": Message.status.expression,
    "carrier": Message.carrier.expression,
    "channel": func.coalesce(Message.channel, ""),
    "place": Message.took_bucket.expression,
    "messages": literal(1),
    "samples": case((Message.is_sample, 1), else_=0),
    "seconds": func.coalesce(Message.fallback_s, 0),
    "charged_iqd": func.coalesce(Message.charged_iqd, 0),
    "at_risk_iqd": case((_IN_DOUBT, func.coalesce(Message.estimate_iqd, 0)), else_=0),
}
# What each part counts, and its word.
_PARTS: Mapping[str, tuple[ColumnElement[bool], ColumnElement[Any]]] = {
    "took": (Message.took_bucket.is_not(None), literal("")),
    "path": (Message.path != "", Message.path.expression),
    "reason": (Message.status.in_((Status.FAILED, *CLOSED_SENDS)), _REASON),
}


def hours(session: Session, start: datetime, end: datetime) -> list[HourCount]:
    """By minute and status, in that order."""
    found = _summed(session, start, end, ("hour", "status"), (*COUNT_SUMS, "samples"))
    return [HourCount(**row._mapping) for row in found]


def cells(session: Session, start: datetime, end: datetime, *by: str) -> list[CellCount]:
    return [CellCount(**row._mapping) for row in _summed(session, start, end, by, COUNT_SUMS)]


def parts(session: Session, part: str, start: datetime, end: datetime, *by: str) -> list[PartCount]:
    return [PartCount(**row._mapping) for row in _summed(session, start, end, by, PART_SUMS, part)]


def _summed(
    session: Session, start: datetime, end: datetime, by: tuple[str, ...], sums: tuple[str, ...], part: str = ""
) -> list[Row[Any]]:
    counts, word = _PARTS.get(part, (None, literal("")))
    said = {**_SAID, "hour": _minute(session), "word": word}
    # Ids are in order of time, so a range of time is a range of the primary key.
    rows = select(*(said[name].label(name) for name in (*by, *sums))).where(
        Message.id >= first_id(start), Message.id < first_id(end), *([] if counts is None else [counts])
    )
    each = rows.subquery()
    key = [each.c[name] for name in by]
    summed = [cast(func.sum(each.c[name]), BigInteger).label(name) for name in sums]
    # A sum of nothing is one row without a key.
    found = session.execute(select(*key, *summed).group_by(*key).order_by(*key).having(func.count() > 0))
    return list(found)


def _minute(session: Session) -> ColumnElement[Any]:
    if session.get_bind().dialect.name == "sqlite":  # keeps times as text in UTC, such as 2026-11-22 09:59:59.000000
        return read_as(func.substr(read_as(Message.created_at, String), 1, 16).concat(":00.000000"), UtcDateTime)
    return func.date_trunc("minute", Message.created_at, "UTC", type_=UtcDateTime)
