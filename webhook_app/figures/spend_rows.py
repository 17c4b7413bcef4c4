"""What the Spend page is given: frozen rows with plain values. No query lives here."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, kw_only=True)
class SpendDay:
    """One bar: what was charged for the messages asked for in [start, end), a whole day of the reader's zone."""

    start: datetime
    end: datetime
    messages: int
    by_channel: Mapping[str, int]  # IQD; "" where no channel is known yet

    @property
    def charged_iqd(self) -> int:
        return sum(self.by_channel.values())


@dataclass(frozen=True, kw_only=True)
class SpendCell:
    """One carrier by one channel; without a channel ("") are messages that were tried on none, or on none yet."""

    carrier: str
    channel: str
    messages: int
    taken: int  # of them, by OTPIQ: the others cost nothing, and are in no average
    charged_iqd: int
    at_risk_iqd: int
    percent: float | None  # of all that was charged; None while nothing was

    @property
    def average_iqd(self) -> float | None:
        return self.charged_iqd / self.taken if self.taken else None


@dataclass(frozen=True, kw_only=True)
class DayCell:
    """One line of the accountant's file."""

    day: date
    carrier: str
    channel: str
    messages: int
    charged_iqd: int
    at_risk_iqd: int


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What the month will come to. `by` is weekday (each coming day as its weekday's average over 28 days) or day (as
    the average day, where there are fewer than 28); `days` is how many whole days it stands on."""

    iqd: int
    by: str
    days: int


@dataclass(frozen=True, kw_only=True)
class Waste:
    """Money that bought nothing, or bought it late."""

    failed: int  # messages that were sent and failed
    failed_iqd: int  # what was charged for them all the same
    hopped: int  # messages that needed a second or third channel
    hopped_iqd: int
    hopped_s: float | None  # on average, until their last channel was tried
    repeated: int  # messages that went out within a minute of another to the same number
    repeated_iqd: int


@dataclass(frozen=True, kw_only=True)
class BalanceDay:
    """What the account held when this day ended, or holds now; None where nobody had asked yet."""

    start: datetime
    end: datetime
    iqd: int | None
    topped_up_iqd: int  # 0 where the balance does not clearly show it


@dataclass(frozen=True, kw_only=True)
class Spend:
    """One month of the reader's zone."""

    month: date  # its first day
    at: datetime  # the moment it was asked for
    start: datetime
    end: datetime
    days: tuple[SpendDay, ...]
    cells: tuple[SpendCell, ...]  # the dearest first
    messages: int
    charged_iqd: int
    at_risk_iqd: int
    over_iqd: int  # of the days that are over
    before_iqd: int  # of as many days of the month before
    forecast: Forecast | None  # None for a month that is over, and where there is too little to go by
    waste: Waste
    opening_iqd: int | None  # the balance when the month began
    balances: tuple[BalanceDay, ...]  # of the days that have begun
    has_sample: bool

    @property
    def is_over(self) -> bool:
        return self.end <= self.at

    @property
    def today(self) -> SpendDay | None:
        return next((day for day in self.days if day.start <= self.at < day.end), None)

    @property
    def begun(self) -> tuple[SpendDay, ...]:
        """The days that are not in the future."""
        return tuple(day for day in self.days if day.start <= self.at)

    @property
    def taken(self) -> int:
        return sum(cell.taken for cell in self.cells)

    @property
    def average_iqd(self) -> float | None:
        return self.charged_iqd / self.taken if self.taken else None

    @property
    def closing_iqd(self) -> int | None:
        """The balance as last known in this month."""
        return next((day.iqd for day in reversed(self.balances) if day.iqd is not None), None)

    @property
    def a_day_iqd(self) -> float:
        """Charged on an average day of a month that is over."""
        return self.charged_iqd / len(self.days)

    @property
    def topped_up_iqd(self) -> int:
        return sum(day.topped_up_iqd for day in self.balances)
