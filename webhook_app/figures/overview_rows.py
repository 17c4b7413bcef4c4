"""What the overview is given: frozen rows with plain values. No query lives here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from .ranges import Range
from .rows import MessageRow

FEW = 30  # of fewer messages no share is worth a colour or a sentence


def percent(delivered: int, failed: int) -> float | None:
    """Delivered of what is settled; None where nothing is."""
    return 100 * delivered / (delivered + failed) if delivered + failed else None


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

    @property
    def delivered_percent(self) -> float | None:
        return percent(self.delivered, self.failed)


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Some hours added up; None where nothing was settled, or nothing delivered."""

    messages: int
    delivered_percent: float | None
    p95_s: float | None
    spend_iqd: int


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The messages of one carrier by one channel; "" where no channel is known, or none was tried."""

    carrier: str
    channel: str
    delivered: int
    failed: int
    waiting: int
    spend_iqd: int

    @property
    def messages(self) -> int:
        return self.delivered + self.failed + self.waiting

    @property
    def settled(self) -> int:
        return self.delivered + self.failed

    @property
    def delivered_percent(self) -> float | None:
        return percent(self.delivered, self.failed)


@dataclass(frozen=True, kw_only=True)
class Tier:
    """The first, second or further channel that messages were tried on."""

    place: int  # 1 is the first
    came: int  # messages that were tried here
    channels: tuple[tuple[str, int], ...]  # by which channel, most first
    delivered: int  # here
    charged_iqd: int  # for all that came
    wait_s: float | None  # from asked until tried here, on average of those that ended here


@dataclass(frozen=True, kw_only=True)
class Fallback:
    """What became of the closed messages that were tried on some channel: each tier's delivered, the failed and those
    whose network gives no receipts are all of them."""

    tiers: tuple[Tier, ...]
    failed: int
    no_receipt: int

    @property
    def messages(self) -> int:
        return self.tiers[0].came if self.tiers else 0


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long one carrier's delivered messages took."""

    carrier: str
    messages: int
    p50_s: float
    p95_s: float


@dataclass(frozen=True, kw_only=True)
class WeekHour:
    """The messages asked for in one hour of the week; day 0 is Saturday."""

    day: int
    hour: int
    delivered: int
    failed: int
    times: int  # how many such hours of the range have anything settled
    last_start: datetime  # the last such hour in the range of which anything is settled

    @property
    def settled(self) -> int:
        return self.delivered + self.failed

    @property
    def delivered_percent(self) -> float | None:
        return percent(self.delivered, self.failed)


@dataclass(frozen=True, kw_only=True)
class ReasonCount:
    """Failures of one reason: the provider's words, or "send:" and the kind of a send that was refused."""

    word: str
    messages: int


@dataclass(frozen=True, kw_only=True)
class Jump:
    """Hours of this moment in which far more fails than usual."""

    start: datetime
    end: datetime
    delivered: int
    failed: int
    usual_percent: float | None  # delivered of the last seven days
    carrier: str | None  # three quarters of the failures are its, or None
    channel: str | None  # likewise
    reason: str | None  # the commonest, as in ReasonCount

    @property
    def delivered_percent(self) -> float | None:
        return percent(self.delivered, self.failed)


@dataclass(frozen=True, kw_only=True)
class Health:
    """What is wrong at this moment, as far as messages tell, or since when nothing is."""

    jump: Jump | None
    well_since: datetime | None  # the end of the last trouble of these 24 hours; None: there was none
    is_quiet: bool  # nothing was asked for in these 24 hours
    failed_all: int  # how many failed, where none at all was delivered


@dataclass(frozen=True, kw_only=True)
class Overview:
    """One range beside the one before it."""

    range: Range
    messages: int
    delivered_percent: float | None  # of delivered and failed
    p95_s: float | None
    spend_iqd: int
    at_risk_iqd: int  # estimates of sends of which it is open whether they were charged
    over: Sums  # the hours of the range that are over
    before: Sums  # the same hours of the range before, to compare with
    buckets: tuple[Bucket, ...]
    pace: tuple[float | None, ...]  # p95_s of each of Range.pace_edges' spans that has begun
    worst: Bucket | None  # the bar where failures jumped, if any did
    worst_carrier: str | None  # the one that most of its failures are on, if one is
    cells: tuple[Cell, ...]
    fallback: Fallback
    paces: tuple[Pace, ...]
    week: tuple[WeekHour, ...] | None  # None where the range is shorter than a week
    reasons: tuple[ReasonCount, ...]  # most first
    health: Health
    failures: tuple[MessageRow, ...]
    has_sample: bool
    is_empty: bool  # no message was ever asked for
    is_out: bool  # one was ever taken by OTPIQ

    @property
    def delivered(self) -> int:
        return sum(bucket.delivered for bucket in self.buckets)

    @property
    def failed(self) -> int:
        return sum(bucket.failed for bucket in self.buckets)

    @property
    def begun(self) -> Sequence[Bucket]:
        """The bars that are not in the future."""
        return tuple(bucket for bucket in self.buckets if bucket.start <= self.range.at)
