"""The tables of counts: what is counted, appended as deltas, folded into tallies. `counting` says how.

The tally is summed up further, by fewer things and by the day, so that a page reads few rows whatever is sent. Of the
last few hours there are counts by the slot as well: the five minutes, from a clock's 0, 5, 10 …, it was asked in.
"""

from datetime import datetime

from sqlalchemy import BigInteger, Integer, PrimaryKeyConstraint, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from .database import Base, UtcDateTime

# On PostgreSQL each addition to a row takes a number, though the row keeps its own: 32 bits would last two busy years.
_ID = BigInteger().with_variant(Integer, "sqlite")


class _Count:
    """What is counted: messages and money by the hour asked (UTC) and by what lists can be filtered by."""

    hour: Mapped[datetime] = mapped_column(UtcDateTime)
    status: Mapped[str] = mapped_column(String(12))
    carrier: Mapped[str] = mapped_column(String(10))
    channel: Mapped[str] = mapped_column(String(10))
    sms_type: Mapped[str] = mapped_column(String(20))
    sender_id: Mapped[str] = mapped_column(String(40))
    source: Mapped[str] = mapped_column(String(36))
    is_sample: Mapped[bool]
    messages: Mapped[int] = mapped_column(BigInteger)
    charged_iqd: Mapped[int] = mapped_column(BigInteger)
    at_risk_iqd: Mapped[int] = mapped_column(BigInteger)


COUNT_KEY = ("hour", "status", "carrier", "channel", "sms_type", "sender_id", "source", "is_sample")
COUNT_SUMS = ("messages", "charged_iqd", "at_risk_iqd")


class Delta(_Count, Base):
    """One change of one message, appended: -1 where it was, +1 where it is. No row is hot."""

    __tablename__ = "delta"

    id: Mapped[int] = mapped_column(_ID, primary_key=True)
    slot: Mapped[datetime | None] = mapped_column(UtcDateTime)  # None: of the hour, and of none of its slots


class Tally(_Count, Base):
    """Deltas folded up, one row a key. What is true is tally plus the deltas not folded yet."""

    __tablename__ = "tally"

    id: Mapped[int] = mapped_column(_ID, primary_key=True)
    __table_args__ = (UniqueConstraint(*COUNT_KEY, name="uq_tally_key"),)


class _ByStatus:
    """The tally by status alone."""

    status: Mapped[str] = mapped_column(String(12), primary_key=True)
    is_sample: Mapped[bool] = mapped_column(primary_key=True)
    messages: Mapped[int] = mapped_column(BigInteger)
    charged_iqd: Mapped[int] = mapped_column(BigInteger)
    at_risk_iqd: Mapped[int] = mapped_column(BigInteger)


class HourTally(_ByStatus, Base):
    __tablename__ = "hour_tally"

    hour: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True, sort_order=-1)


class DayTally(_ByStatus, Base):
    __tablename__ = "day_tally"

    day: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True, sort_order=-1)  # its first hour in Iraq


class SlotTally(_ByStatus, Base):
    __tablename__ = "slot_tally"

    slot: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True, sort_order=-1)


HOUR_KEY = ("hour", "status", "is_sample")
SLOT_KEY = ("slot", "status", "is_sample")
DAY_KEY = ("day", "status", "is_sample")


class _Cell:
    """The tally by carrier, channel and status: the cells of the carrier and channel tables."""

    carrier: Mapped[str] = mapped_column(String(10), primary_key=True)
    channel: Mapped[str] = mapped_column(String(10), primary_key=True)
    status: Mapped[str] = mapped_column(String(12), primary_key=True)
    is_sample: Mapped[bool] = mapped_column(primary_key=True)
    messages: Mapped[int] = mapped_column(BigInteger)
    charged_iqd: Mapped[int] = mapped_column(BigInteger)
    at_risk_iqd: Mapped[int] = mapped_column(BigInteger)


class CellTally(_Cell, Base):
    __tablename__ = "cell_tally"

    hour: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True, sort_order=-1)


class DayCellTally(_Cell, Base):
    __tablename__ = "day_cell_tally"

    day: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True, sort_order=-1)


class SlotCellTally(_Cell, Base):
    __tablename__ = "slot_cell_tally"

    slot: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True, sort_order=-1)


CELL_KEY = ("hour", "carrier", "channel", "status", "is_sample")
SLOT_CELL_KEY = ("slot", "carrier", "channel", "status", "is_sample")
DAY_CELL_KEY = ("day", "carrier", "channel", "status", "is_sample")


class _Part:
    """What is counted of closed messages only, each `part` by a word of its own.

    took: `place` is Message.took_bucket of those that were delivered; a source's have none. path: `word` is
    Message.path where any channel was tried, `seconds` the sum of fallback_s. reason: `word` is why a message failed:
    the provider's reason (cut short, "" where none was given), or "send:" and the kind of the send's refusal. repeat:
    those of Message.is_repeat that went out.
    """

    part: Mapped[str] = mapped_column(String(8))
    carrier: Mapped[str] = mapped_column(String(10))
    channel: Mapped[str] = mapped_column(String(10))
    word: Mapped[str] = mapped_column(String(200))
    place: Mapped[int]
    is_sample: Mapped[bool]
    messages: Mapped[int] = mapped_column(BigInteger)
    seconds: Mapped[int] = mapped_column(BigInteger)
    charged_iqd: Mapped[int] = mapped_column(BigInteger)


PART_KEY = ("hour", "part", "carrier", "channel", "word", "place", "is_sample")
SLOT_PART_KEY = ("slot", "part", "carrier", "channel", "word", "place", "is_sample")
DAY_PART_KEY = ("day", "part", "carrier", "channel", "word", "place", "is_sample")
PART_SUMS = ("messages", "seconds", "charged_iqd")


class PartDelta(_Part, Base):
    """As Delta: appended, then folded."""

    __tablename__ = "part_delta"

    id: Mapped[int] = mapped_column(_ID, primary_key=True)
    hour: Mapped[datetime] = mapped_column(UtcDateTime)
    slot: Mapped[datetime | None] = mapped_column(UtcDateTime)


class PartTally(_Part, Base):
    """As Tally."""

    __tablename__ = "part_tally"

    id: Mapped[int] = mapped_column(_ID, primary_key=True)
    hour: Mapped[datetime] = mapped_column(UtcDateTime)
    __table_args__ = (UniqueConstraint("part", "hour", *PART_KEY[2:], name="uq_part_tally_key"),)


class DayPartTally(_Part, Base):
    __tablename__ = "day_part_tally"

    id: Mapped[int] = mapped_column(_ID, primary_key=True)
    day: Mapped[datetime] = mapped_column(UtcDateTime)
    __table_args__ = (UniqueConstraint("part", "day", *DAY_PART_KEY[2:], name="uq_day_part_tally_key"),)


class _Pace:
    """Parts by their place alone: how long messages took, whoever carried them. Of other parts it is one row."""

    part: Mapped[str] = mapped_column(String(8))
    place: Mapped[int]
    messages: Mapped[int] = mapped_column(BigInteger)
    seconds: Mapped[int] = mapped_column(BigInteger)
    charged_iqd: Mapped[int] = mapped_column(BigInteger)


class PaceTally(_Pace, Base):
    __tablename__ = "pace_tally"

    hour: Mapped[datetime] = mapped_column(UtcDateTime)
    __table_args__ = (PrimaryKeyConstraint("part", "hour", "place"),)


class DayPaceTally(_Pace, Base):
    __tablename__ = "day_pace_tally"

    day: Mapped[datetime] = mapped_column(UtcDateTime)
    __table_args__ = (PrimaryKeyConstraint("part", "day", "place"),)


PACE_KEY = ("hour", "part", "place")
DAY_PACE_KEY = ("day", "part", "place")


class SlotPartTally(_Part, Base):
    """Only `took` tells carriers apart, and only `path` channels; elsewhere they are "": a busy slot is few rows."""

    __tablename__ = "slot_part_tally"

    slot: Mapped[datetime] = mapped_column(UtcDateTime)
    __table_args__ = (PrimaryKeyConstraint("part", "slot", *SLOT_PART_KEY[2:]),)
