"""The tables. A message's current state is one row; what was asked, answered and called back is append-only.

Those of counts are made in `count_tables`.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from .count_tables import CELL_KEY as CELL_KEY
from .count_tables import COUNT_KEY as COUNT_KEY
from .count_tables import COUNT_SUMS as COUNT_SUMS
from .count_tables import DAY_CELL_KEY as DAY_CELL_KEY
from .count_tables import DAY_KEY as DAY_KEY
from .count_tables import DAY_PACE_KEY as DAY_PACE_KEY
from .count_tables import DAY_PART_KEY as DAY_PART_KEY
from .count_tables import HOUR_KEY as HOUR_KEY
from .count_tables import PACE_KEY as PACE_KEY
from .count_tables import PART_KEY as PART_KEY
from .count_tables import PART_SUMS as PART_SUMS
from .count_tables import SLOT_CELL_KEY as SLOT_CELL_KEY
from .count_tables import SLOT_KEY as SLOT_KEY
from .count_tables import SLOT_PART_KEY as SLOT_PART_KEY
from .count_tables import CellTally as CellTally
from .count_tables import DayCellTally as DayCellTally
from .count_tables import DayPaceTally as DayPaceTally
from .count_tables import DayPartTally as DayPartTally
from .count_tables import DayTally as DayTally
from .count_tables import Delta as Delta
from .count_tables import HourTally as HourTally
from .count_tables import PaceTally as PaceTally
from .count_tables import PartDelta as PartDelta
from .count_tables import PartTally as PartTally
from .count_tables import SlotCellTally as SlotCellTally
from .count_tables import SlotPartTally as SlotPartTally
from .count_tables import SlotTally as SlotTally
from .count_tables import Tally as Tally
from .database import Base, UtcDateTime
from .phone import Carrier
from .status import SEND_STATES, Status


def _words(column: str, allowed: Any) -> str:
    return f"{column} IN ({', '.join(repr(str(word)) for word in allowed)})"


class Source(Base):
    """A program that sends by itself and lets its callbacks come here."""

    __tablename__ = "source"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(60), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    paused_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SourceAddress(Base):
    """Where a source's callbacks come to: the id is in the URL, and the secret is derived from it."""

    __tablename__ = "source_address"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    source_id: Mapped[UUID] = mapped_column(ForeignKey("source.id"), index=True)
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)
    retired_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ApiKey(Base):
    """A key for our own API: only its digest is kept."""

    __tablename__ = "api_key"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(60), unique=True)
    hint: Mapped[str] = mapped_column(String(16))  # its first characters, to tell keys apart
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


# Sends that have no outcome yet; the text is the partial index's own, or SQLite would not use it.
IN_PROGRESS = text("send_state IN ('queued', 'sending')")
TO_BE_TRACKED = text("track_at IS NOT NULL")
# What the Spend page leads to: repeats as its waste counts them, and what may have been charged (`at_risk_iqd`).
REPEATED = text("is_repeat = true AND closed")
AT_RISK = text("charged_iqd IS NULL AND send_state IN ('sending', 'unconfirmed')")
# The note of a callback that came meanwhile, or there.
PAUSED, RETIRED = "the source is paused", "the address is retired"
HELD = text(f"note IN ('{PAUSED}', '{RETIRED}')")
# Closed by code that did not know yet what the pictures count a message by.
TO_BE_DERIVED = text("closed AND path IS NULL")


class Message(Base):
    """One message: what was asked, how the send went, and the join of all that OTPIQ said since."""

    __tablename__ = "message"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    asked_by: Mapped[str] = mapped_column(String(80))
    source_id: Mapped[UUID | None] = mapped_column(ForeignKey("source.id"))
    again_of: Mapped[UUID | None] = mapped_column(ForeignKey("message.id"), index=True)
    is_sample: Mapped[bool] = mapped_column(default=False)
    # Asked for within sending.SOON of another one to the same number that was not refused.
    is_repeat: Mapped[bool] = mapped_column(default=False, server_default=false())

    phone: Mapped[str | None] = mapped_column(String(15))
    phone_end: Mapped[str | None] = mapped_column(String(4))  # its last four digits, to be searched by
    carrier: Mapped[str] = mapped_column(String(10), default=Carrier.OTHER)
    sms_type: Mapped[str] = mapped_column(String(20), default="unknown")
    provider: Mapped[str | None] = mapped_column(String(30))
    sender_id: Mapped[str | None] = mapped_column(String(40))
    custom_text: Mapped[str | None] = mapped_column(Text)
    reference: Mapped[str | None] = mapped_column(String(100), index=True)
    request: Mapped[dict[str, Any] | None] = mapped_column(JSON)  # without number, code, template parameters, secret

    once_key: Mapped[str | None] = mapped_column(String(255))  # Idempotency-Key, or the page's form token
    request_digest: Mapped[str | None] = mapped_column(String(64))

    send_state: Mapped[str] = mapped_column(String(12))
    outcome: Mapped[dict[str, Any] | None] = mapped_column(JSON)  # of the send: sending.Outcome
    sms_id: Mapped[str | None] = mapped_column(String(200), index=True)
    stamp_key: Mapped[str | None] = mapped_column(String(8))  # which master key its secret is made with: stamp.key_name
    delivery: Mapped[dict[str, Any]] = mapped_column(JSON)  # status.to_json

    # The headline, derived from `delivery` and `send_state` at every merge and kept for lists and counts:
    status: Mapped[str] = mapped_column(String(12))
    closed: Mapped[bool]
    channel: Mapped[str | None] = mapped_column(String(10))
    reason: Mapped[str | None] = mapped_column(Text)
    settled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # What a closed message is counted by in the pictures, NULL while it is open:
    path: Mapped[str | None] = mapped_column(String(80))  # channels tried, in order: "whatsapp:failed sms:delivered"
    fallback_s: Mapped[int | None]  # from asked until the last of its channels was tried; 0 with one channel
    took_bucket: Mapped[int | None]  # of the seconds until it was delivered: counting.bucket_of
    last_fact_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    track_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when OTPIQ is to be asked next; None: not any more
    tracked: Mapped[int] = mapped_column(default=0, server_default="0")  # how often it was asked by itself

    estimate_iqd: Mapped[int | None] = mapped_column(BigInteger)
    charged_iqd: Mapped[int | None] = mapped_column(BigInteger)
    balance_iqd: Mapped[int | None] = mapped_column(BigInteger)  # the account's, after this send

    @property
    def at_risk_iqd(self) -> int:
        return at_risk_iqd(self.send_state, self.estimate_iqd, self.charged_iqd)

    __table_args__ = (
        # NULLs are distinct: our own messages are found by id, and OTPIQ repeating an smsId must not lose a callback.
        UniqueConstraint("source_id", "sms_id"),
        UniqueConstraint("asked_by", "once_key"),
        CheckConstraint(_words("status", Status), name="status"),
        CheckConstraint(_words("send_state", SEND_STATES), name="send_state"),
        CheckConstraint(_words("carrier", Carrier), name="carrier"),
        CheckConstraint("charged_iqd >= 0 AND estimate_iqd >= 0", name="iqd"),
        Index(None, "status", "id"),
        # What a list is narrowed by, each with the status: lists are read status by status (figures.messages).
        Index(None, "carrier", "status", "id"),
        Index(None, "channel", "status", "id"),
        Index(None, "sms_type", "status", "id"),
        # The first column has one value alone: for its sake SQLite takes this one, and not the status' own.
        Index("ix_message_repeat", "is_repeat", "status", "id", sqlite_where=REPEATED, postgresql_where=REPEATED),
        Index("ix_message_at_risk", "id", "status", sqlite_where=AT_RISK, postgresql_where=AT_RISK),
        Index(None, "source_id", "id"),
        Index(None, "phone", "id"),
        Index("ix_message_in_progress", "id", sqlite_where=IN_PROGRESS, postgresql_where=IN_PROGRESS),
        Index(None, "phone_end", "id"),
        Index("ix_message_to_be_derived", "id", sqlite_where=TO_BE_DERIVED, postgresql_where=TO_BE_DERIVED),
        Index("ix_message_track_at", "track_at", sqlite_where=TO_BE_TRACKED, postgresql_where=TO_BE_TRACKED),
    )


def at_risk_iqd(send_state: str, estimate_iqd: int | None, charged_iqd: int | None) -> int:
    """The estimate, while it is open whether this send was charged, also when it is known to have arrived."""
    in_doubt = charged_iqd is None and send_state in (Status.SENDING, Status.UNCONFIRMED)
    return (estimate_iqd or 0) if in_doubt else 0


class Exchange(Base):
    """One answer of OTPIQ to a call of ours about a message: the send's (once) or a tracking's."""

    __tablename__ = "exchange"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    message_id: Mapped[UUID] = mapped_column(ForeignKey("message.id"), index=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    kind: Mapped[str] = mapped_column(String(10))
    outcome: Mapped[str] = mapped_column(String(20))  # the send state it led to, or ok, or the error's kind
    words: Mapped[str | None] = mapped_column(Text)
    http_status: Mapped[int | None]
    trace: Mapped[str] = mapped_column(Text)
    sms_id: Mapped[str | None] = mapped_column(String(200))
    cost_iqd: Mapped[int | None] = mapped_column(BigInteger)
    balance_iqd: Mapped[int | None] = mapped_column(BigInteger)
    changed: Mapped[bool]

    __table_args__ = (CheckConstraint(_words("kind", ("answer", "tracking")), name="kind"),)


class Callback(Base):
    """One authentic callback, raw, once; the same bytes again are counted."""

    __tablename__ = "callback"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    target_id: Mapped[UUID]  # the id in its URL: of a message or of a source's address
    message_id: Mapped[UUID | None] = mapped_column(ForeignKey("message.id"), index=True)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    repeats: Mapped[int]
    last_id: Mapped[UUID | None]  # of the repeat counted last: it may come again by way of the spool
    digest: Mapped[str] = mapped_column(String(64))  # SHA-256 of the raw body
    body: Mapped[bytes] = mapped_column(LargeBinary)
    headers: Mapped[dict[str, str]] = mapped_column(JSON)  # the secret cut short
    verdict: Mapped[str] = mapped_column(String(12))
    note: Mapped[str | None] = mapped_column(Text)  # why it was not understood, or is held back
    changed: Mapped[bool]

    __table_args__ = (
        UniqueConstraint("target_id", "digest"),
        CheckConstraint(_words("verdict", ("accepted", "orphan", "quarantined")), name="verdict"),
        Index(None, "verdict", "id"),
        Index("ix_callback_held", "target_id", sqlite_where=HELD, postgresql_where=HELD),
    )


class Intake(Base):
    """What came in at the callbacks' door, by the minute: stored ones by what became of them, refused ones by cause.

    Each process counts in rows of its own (`writer`), so that no two ever wait for the same row.
    """

    __tablename__ = "intake"

    minute: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    what: Mapped[str] = mapped_column(String(20), primary_key=True)
    writer: Mapped[str] = mapped_column(String(16), primary_key=True)
    callbacks: Mapped[int] = mapped_column(BigInteger)
    sample: Mapped[dict[str, Any] | None] = mapped_column(JSON)  # one refused request of these, without its secret


class Spooled(Base):
    """How far a spool file has been taken into the store; written in the transaction that took it."""

    __tablename__ = "spooled"

    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    taken_bytes: Mapped[int] = mapped_column(BigInteger)


class Moment(Base):
    """A time all processes share: when OTPIQ may be asked again, when a worker was last seen."""

    __tablename__ = "moment"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class BalanceReading(Base):
    """What the account held at a moment, as OTPIQ said it."""

    __tablename__ = "balance_reading"

    id: Mapped[UUID] = mapped_column(primary_key=True)  # in order of time
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    iqd: Mapped[int] = mapped_column(BigInteger)


class SenderPrice(Base):
    """What a sender id cost, from the moment it was first seen so until the next row of the same."""

    __tablename__ = "sender_price"

    id: Mapped[UUID] = mapped_column(primary_key=True)  # in order of time
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    sender_id: Mapped[str] = mapped_column(String(40))
    carrier: Mapped[str] = mapped_column(String(10))
    iqd: Mapped[int | None] = mapped_column(BigInteger)  # None: it was taken off the list

    __table_args__ = (Index(None, "sender_id", "carrier", "id"),)


class Budget(Base):
    """What may be spent in a day or a month of the reader's zone."""

    __tablename__ = "budget"

    period: Mapped[str] = mapped_column(String(5), primary_key=True)
    iqd: Mapped[int] = mapped_column(BigInteger)
    stops: Mapped[bool] = mapped_column(default=False, server_default=false())  # sending, once it is spent
    set_at: Mapped[datetime] = mapped_column(UtcDateTime)
    set_by: Mapped[str] = mapped_column(String(80))

    __table_args__ = (
        CheckConstraint(_words("period", ("day", "month")), name="period"),
        CheckConstraint("iqd > 0", name="iqd"),
    )


class Reveal(Base):
    """Someone looked at a whole number, or took many along in an export: who, whose, when and why."""

    __tablename__ = "reveal"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    message_id: Mapped[UUID | None] = mapped_column(ForeignKey("message.id"), index=True)  # None: an export's
    chosen: Mapped[str | None] = mapped_column(String(500))  # what an export was narrowed to
    user_name: Mapped[str] = mapped_column(String(60))
    why: Mapped[str] = mapped_column(String(200))


class User(Base):
    __tablename__ = "user"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(60), unique=True)
    language: Mapped[str | None] = mapped_column(String(10))  # None: as the browser asks
    password_hash: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SignIn(Base):
    """A session in a browser; signing out deletes the row, so a copied cookie dies with it."""

    __tablename__ = "sign_in"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)  # SHA-256 of the cookie's token
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Search(Base):
    """What someone looked for among the messages; it may be a number, so it is kept for a day and no longer."""

    __tablename__ = "search"

    id: Mapped[UUID] = mapped_column(primary_key=True)  # in order of time
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    query: Mapped[str] = mapped_column(String(200))


class SignInFailure(Base):
    """A wrong password, remembered for a quarter of an hour to slow the next guess."""

    __tablename__ = "sign_in_failure"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(String(80), index=True)  # a digest of the name tried, or of the address
    at: Mapped[datetime] = mapped_column(UtcDateTime)
