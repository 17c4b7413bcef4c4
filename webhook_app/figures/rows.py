"""What the pages are given: frozen rows with plain values, never ORM objects. No query lives here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, kw_only=True)
class Hop:
    """One channel of one message; `outcome` is sent, delivered, read or failed; times are seconds since asked."""

    channel: str
    outcome: str
    start_s: float
    end_s: float
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class MessageRow:
    id: UUID
    created_at: datetime
    phone_masked: str  # whole where the command line asked for it
    carrier: str
    sms_type: str
    hops: tuple[Hop, ...]
    sms_id: str | None
    status: str
    closed: bool
    channel: str | None  # the one the status speaks of
    no_report: bool  # still open 72 hours after its last fact: a label over the status
    reason: str | None
    took_s: float | None  # from asked to delivered or failed
    cost_iqd: int | None
    cost_is_estimate: bool
    reference: str | None
    source_name: str | None
    is_sample: bool


@dataclass(frozen=True, kw_only=True)
class StatusCount:
    """A tab: `count` stops at 10,001, which is shown as "10,000+"."""

    status: str | None
    count: int
    looked_to: datetime | None = None  # how far back was counted, where that is not all there are


@dataclass(frozen=True, kw_only=True)
class MessagePage:
    rows: tuple[MessageRow, ...]
    newer: UUID | None  # cursors: the page's edges, None where there is nothing beyond
    older: UUID | None
    looked_to: datetime | None = None  # how far was looked for these, where that is not all there are


@dataclass(frozen=True, kw_only=True)
class Step:
    """One line of a message's timeline.

    `kind` is asked, answer, callback or tracking. For an answer `word` is the send's state (accepted, rejected,
    throttled, unconfirmed, unsent), else the provider's own status word.
    """

    at: datetime
    gap_s: float | None
    kind: str
    word: str | None = None
    channel: str | None = None
    is_final: bool = False
    reason: str | None = None
    sms_id: str | None = None
    cost_iqd: int | None = None
    balance_iqd: int | None = None
    repeats: int = 0
    changed: bool = True  # False: came late or told nothing new
    asked_by: str | None = None
    quarantined: str | None = None  # why an authentic callback could not be read


@dataclass(frozen=True, kw_only=True)
class Raw:
    """One raw panel: what was sent or received, with secrets and codes removed."""

    title: str  # request, answer, callback or tracking
    at: datetime
    head: str
    body: str
    callback_id: UUID | None = None
    step: Step | None = None  # of a callback


@dataclass(frozen=True, kw_only=True)
class RevealRow:
    """Someone asked for the whole number: who, when and why."""

    at: datetime
    user_name: str
    why: str


@dataclass(frozen=True, kw_only=True)
class MessageDetail:
    row: MessageRow
    route: tuple[str, ...]
    provider: str
    sender_id: str | None
    custom_text: str | None
    sms_ids: tuple[str, ...]
    estimate_iqd: int | None
    charged_iqd: int | None
    anomalies: tuple[str, ...]  # sent_twice, refused_yet_reported, failed_after_delivered
    again_of: UUID | None
    again_as: UUID | None
    at_risk_iqd: int
    steps: tuple[Step, ...]
    raws: tuple[Raw, ...]
    reveals: tuple[RevealRow, ...]
    request: Mapping[str, Any] | None  # as it was kept: without number, code, template parameters, secret
    has_number: bool
    can_check: bool

    @property
    def channel(self) -> str | None:
        return self.row.channel

    @property
    def closed(self) -> bool:
        return self.row.closed


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The header and side of every page."""

    environment: str  # live, dev, simulator or none (no key)
    balance_iqd: int | None
    balance_at: datetime | None
    days_left: int | None  # that the balance lasts at the present pace; None where there is too little to go by
    last_callback_at: datetime | None
    # spooled (waiting for the store), refused (not taken for OTPIQ's), silent (sending, yet none for 5 minutes),
    # ok, or none (none ever)
    light: str
    spooled: int


@dataclass(frozen=True, kw_only=True)
class Unplaced:
    """Authentic callbacks that led to nothing; capped like StatusCount."""

    quarantined: int
    orphans: int


@dataclass(frozen=True, kw_only=True)
class IntakeMinute:
    """What came in at the callbacks' door in [start, end)."""

    start: datetime
    end: datetime
    counts: Mapping[str, int]  # accepted, late, repeat, orphan, quarantined, or a refusal's cause


@dataclass(frozen=True, kw_only=True)
class RefusedCause:
    """Refused requests of one cause; the sample is one of its newest, without its secret."""

    cause: str
    callbacks: int
    last_minute: datetime
    sample: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class CallbackRow:
    """One stored callback: what it said, whose it is, and what became of it."""

    id: UUID
    received_at: datetime
    verdict: str  # accepted, late (told nothing new), orphan or quarantined
    step: Step
    repeats: int
    target_id: UUID
    message_id: UUID | None
    message_status: str | None  # the message's, as it is now
    phone_masked: str | None
    source_id: UUID | None
    source_name: str | None

    @property
    def times(self) -> int:
        """How often it came."""
        return self.repeats + 1


@dataclass(frozen=True, kw_only=True)
class CallbackPage:
    rows: tuple[CallbackRow, ...]
    newer: UUID | None  # cursors, as in MessagePage
    older: UUID | None
    looked_through: int | None  # how many were looked at where that is not all there are


@dataclass(frozen=True, kw_only=True)
class CallbackDetail:
    row: CallbackRow
    head: str  # the request's line and headers; the secret as it was stored: cut short
    body: str
    is_cut: bool
    body_bytes: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class AddressRow:
    """One address of a source. The secret stays out of repr()."""

    id: UUID
    url: str
    secret: str = field(repr=False)
    made_at: datetime
    retired_at: datetime | None
    held: int  # callbacks that came while it was retired, or the source paused, and told nothing yet; capped
    is_of_newest: bool  # the source's newest message came by it


@dataclass(frozen=True, kw_only=True)
class SourceRow:
    id: UUID
    name: str
    created_at: datetime
    paused_at: datetime | None
    messages: int  # capped like StatusCount
    last_message_at: datetime | None
    addresses: tuple[AddressRow, ...]  # newest first

    @property
    def held(self) -> int:
        """Those that can be taken in as soon as the source goes on."""
        return sum(address.held for address in self.addresses if address.retired_at is None)

    @property
    def address(self) -> AddressRow:
        """The newest in use: the one to put into the program."""
        return next(address for address in self.addresses if address.retired_at is None)

    @property
    def old(self) -> AddressRow | None:
        """The other one in use."""
        return next((one for one in self.addresses if one.retired_at is None and one is not self.address), None)

    @property
    def retired(self) -> tuple[AddressRow, ...]:
        return tuple(address for address in self.addresses if address.retired_at is not None)
