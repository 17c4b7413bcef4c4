"""What the pages are given: frozen rows with plain values, never ORM objects. No query lives here."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
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


@dataclass(frozen=True, kw_only=True)
class MessagePage:
    rows: tuple[MessageRow, ...]
    newer: UUID | None  # cursors: the page's edges, None where there is nothing beyond
    older: UUID | None


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
    steps: tuple[Step, ...]
    raws: tuple[Raw, ...]
    can_check: bool

    @property
    def channel(self) -> str | None:
        return self.row.channel

    @property
    def closed(self) -> bool:
        return self.row.closed


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """One bar: messages asked for in [start, end), by what became of them."""

    start: datetime
    end: datetime
    delivered: int
    failed: int
    waiting: int
    spend_iqd: int

    @property
    def messages(self) -> int:
        return self.delivered + self.failed + self.waiting


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Some hours added up; the percentage is None where nothing was settled."""

    messages: int
    delivered_percent: float | None
    spend_iqd: int


@dataclass(frozen=True, kw_only=True)
class Overview:
    """Tiles and bars of one range. Percentages are None where nothing was settled."""

    range: str  # today, 7d or 30d
    at: datetime  # the moment it was asked for
    messages: int
    delivered_percent: float | None  # of delivered and failed
    spend_iqd: int
    at_risk_iqd: int  # estimates of sends of which it is open whether they were charged
    over: Sums  # the hours of the range that are over
    before: Sums  # the same hours of the range before, to compare with
    buckets: tuple[Bucket, ...]
    worst: Bucket | None  # the bar where failures jumped, if any did
    worst_carrier: str | None  # the one that most of its failures are on, if one is
    failures: tuple[MessageRow, ...]
    latest: tuple[MessageRow, ...]
    has_sample: bool

    @property
    def begun(self) -> tuple[Bucket, ...]:
        """The bars that are not in the future."""
        return tuple(bucket for bucket in self.buckets if bucket.start <= self.at)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The header and side of every page."""

    environment: str  # live, dev, simulator or none (no key)
    balance_iqd: int | None
    balance_at: datetime | None
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
class SourceRow:
    id: UUID
    name: str
    url: str
    secret: str
    created_at: datetime
    messages: int  # capped like StatusCount
    last_message_at: datetime | None
