"""What a list of messages is narrowed to, and the lanes by which the store finds that without reading all it has."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, TextClause, and_, case, func, select, true
from sqlalchemy.orm import aliased

from ..counting import REASON_LENGTH, SEND_REASON
from ..ids import first_id
from ..models import AT_RISK, REPEATED, Message
from ..otpiq.document import is_clean_text
from ..phone import BadPhone, bare, normalise, unmask
from ..status import CLOSED_SENDS, OUTCOMES, Status

Conditions = tuple[ColumnElement[bool] | TextClause, ...]
NO_CHANNEL = "none"  # the channel of those that none is known of yet
_FIRST_HOUR, _LAST_HOUR = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Lane:
    """Some of the messages asked for: what an index finds in order of id, and what is then looked at in each row."""

    status: Status | None = None  # None: of any
    found_by: Conditions = ()
    looked_at: Conditions = ()

    @property
    def fits(self) -> ColumnElement[int]:
        """1 where all that is looked at holds, else 0. A case, so that no planner takes an index for it, and reads all
        that failed to find the few of them that went to one number."""
        return case((and_(true(), *self.looked_at), 1), else_=0)


@dataclass(frozen=True, kw_only=True)
class Filter:
    """What a list is narrowed to; days are whole days in the reader's zone, both ends included."""

    status: str | None = None
    outcome: str | None = None  # delivered, failed or waiting: several statuses at once
    carrier: str | None = None
    channel: str | None = None
    sms_type: str | None = None
    source_id: UUID | None = None
    sender_id: str | None = None
    reason: str | None = None  # as failures are counted by it: counting.REASON_LENGTH, counting.SEND_REASON
    tried: int | None = None  # closed, and tried on so many channels or more
    like: UUID | None = None  # to the same number as this message
    is_repeat: bool = False  # closed, and went out within a minute of another to the same number
    at_risk: bool = False  # may have been charged
    since: date | datetime | None = None
    until: date | datetime | None = None

    @property
    def statuses(self) -> tuple[Status, ...]:
        """Those that pass: none where what is asked for excludes itself."""
        named: Sequence[Status] = OUTCOMES[self.outcome] if self.outcome else tuple(Status)
        if self.reason is not None:
            of_reason = CLOSED_SENDS if self.reason.startswith(SEND_REASON) else (Status.FAILED,)
            named = [name for name in named if name in of_reason]
        if self.is_repeat:
            named = [name for name in named if name not in CLOSED_SENDS]
        return tuple(name for name in named if self.status in (None, name))

    def cell_hours(self, zone: ZoneInfo) -> tuple[datetime, datetime] | None:
        """The hours [start, end) whose cells, or paths if `tried`, hold all that passes; None where they do not tell
        it from others."""
        told_by_cells = Filter(
            status=self.status,
            outcome=self.outcome,
            carrier=self.carrier,
            channel=self.channel,
            tried=self.tried,
            since=self.since,
            until=self.until,
        )
        start, end = self._span(zone)
        hours = start or _FIRST_HOUR, end or _LAST_HOUR
        is_whole = all(at.astimezone(UTC).replace(minute=0, second=0, microsecond=0) == at for at in hours)
        return hours if self == told_by_cells and is_whole else None

    def lanes(self, zone: ZoneInfo, *, by_status: bool = False) -> tuple[Lane, ...]:
        """By number, by source or of what is at risk there is one lane; else one for each status, as the indexes are
        made.

        All messages at once are one lane too, the primary key's, unless they are wanted `by_status`.
        """
        in_range, looked_at = self._in_range(zone), self._looked_at()
        narrow = [*self._of_number(), *self._of_source(), *self._at_risk(), *self._of_kind()]
        if self.like or self.source_id or self.at_risk:
            of_status = () if len(self.statuses) == len(Status) else (Message.status.in_(self.statuses),)
            return (Lane(found_by=(*in_range, narrow[0]), looked_at=(*of_status, *narrow[1:], *looked_at)),)
        if len(self.statuses) == len(Status) and not narrow and not by_status:
            return (Lane(found_by=in_range, looked_at=looked_at),)
        found_by, looked_at = (*in_range, *narrow[:1]), (*narrow[1:], *looked_at)
        return tuple(
            Lane(status=name, found_by=(*found_by, Message.status == name), looked_at=looked_at)
            for name in self.statuses
        )

    def _of_number(self) -> Conditions:
        if self.like is None:
            return ()
        other = aliased(Message)
        return (Message.phone == select(other.phone).where(other.id == self.like).scalar_subquery(),)

    def _of_source(self) -> Conditions:
        return (Message.source_id == self.source_id,) if self.source_id else ()

    def _at_risk(self) -> Conditions:
        return (AT_RISK,) if self.at_risk else ()

    def _of_kind(self) -> Conditions:
        """Each has an index with the status; of several the first is looked up by, the rest looked at."""
        channel = None if self.channel == NO_CHANNEL else self.channel
        given: tuple[tuple[object, ColumnElement[bool] | TextClause], ...] = (
            (self.is_repeat or None, REPEATED),
            (self.carrier, Message.carrier == self.carrier),
            (self.channel, Message.channel == channel),
            (self.sms_type, Message.sms_type == self.sms_type),
        )
        return tuple(condition for value, condition in given if value is not None)

    def _looked_at(self) -> Conditions:
        """What no index finds."""
        found: list[ColumnElement[bool]] = []
        if self.sender_id is not None:
            found.append(Message.sender_id == self.sender_id)
        if self.reason is not None and self.reason.startswith(SEND_REASON):
            found.append(Message.outcome["kind"].as_string() == self.reason.removeprefix(SEND_REASON))
        elif self.reason is not None:
            found.append(func.substr(Message.reason, 1, REASON_LENGTH) == self.reason)
        if self.tried is not None:
            found.append(Message.path.like(" ".join(["_%"] * self.tried)))
        return tuple(found)

    def _in_range(self, zone: ZoneInfo) -> Conditions:
        """Ids are in order of time, so a range of time is a range of ids."""
        start, end = self._span(zone)
        found: list[ColumnElement[bool]] = []
        if start is not None:
            found.append(Message.id >= first_id(start))
        if end is not None:
            found.append(Message.id < first_id(end))
        return tuple(found)

    def _span(self, zone: ZoneInfo) -> tuple[datetime | None, datetime | None]:
        start = None if self.since is None else _moment(self.since, zone)
        if self.until is None or isinstance(self.until, datetime):
            return start, self.until
        return start, _moment(self.until + timedelta(days=1), zone)


@dataclass(frozen=True, kw_only=True)
class Search:
    """What someone typed to find messages by, as it was understood; everything it may be is looked for."""

    words: str  # an smsId or a reference, whole
    number: str | None = None
    number_end: str | None = None  # its last four digits
    number_start: str = ""  # and its first ones, of a number that was masked
    message_id: UUID | None = None

    def lanes(self) -> tuple[Lane, ...]:
        if not is_clean_text(self.words):
            return ()  # no store could hold it
        conditions = [Message.sms_id == self.words, Message.reference == self.words]
        if self.number is not None:
            conditions.append(Message.phone == self.number)
        if self.number_end is not None:
            started = func.substr(Message.phone, 1, len(self.number_start)) == self.number_start
            conditions.append(and_(Message.phone_end == self.number_end, started))
        if self.message_id is not None:
            conditions.append(Message.id == self.message_id)
        return tuple(Lane(found_by=(condition,)) for condition in conditions)


def understand(typed: str) -> Search:
    """A number in any shape, masked as we show it, or its last four digits; an id of ours; or words that stand for
    themselves."""
    words = typed.strip()
    number, number_start, number_end, message_id = None, "", None, None
    try:
        number = normalise(words)
    except BadPhone:
        digits = bare(words)
        if len(digits) == 4 and digits.isdecimal():
            number_end = digits
        elif shown := unmask(words):
            number_start, number_end = shown
    with suppress(ValueError):
        message_id = UUID(words)
    return Search(words=words, number=number, number_end=number_end, number_start=number_start, message_id=message_id)


def _moment(day: date | datetime, zone: ZoneInfo) -> datetime:
    return day if isinstance(day, datetime) else datetime.combine(day, time(), tzinfo=zone)
