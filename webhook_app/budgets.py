"""Budgets: what is meant to be spent in a day and in a month. The Spend page warns by them, and a budget may stop
sending once it is spent.
"""

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from .database import Database
from .figures import next_month, tallies
from .figures.ranges import midnight
from .marking import N_
from .models import Budget

MOST_IQD = 10**12
_WHOLE = re.compile(r"\d{1,18}|\d{1,3}(?:[,٬' \u00a0\u202f]\d{3}){1,5}")


class BadBudget(ValueError):
    """`errors` says by field, day or month, which rule the amount breaks."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("invalid budget")
        self.errors = errors


@dataclass(frozen=True, kw_only=True)
class Amount:
    iqd: int
    stops: bool  # sending, once it is spent
    set_at: datetime
    set_by: str  # a user's name


@dataclass(frozen=True, kw_only=True)
class Budgets:
    """None where there is none."""

    day: Amount | None
    month: Amount | None

    @property
    def can_stop(self) -> bool:
        return any(amount is not None and amount.stops for amount in (self.day, self.month))


@dataclass(frozen=True, kw_only=True)
class Spent:
    """A budget that stops sending at this moment: of what is charged and at risk, nothing is left of it."""

    period: str  # day or month
    spent_iqd: int
    budget_iqd: int


def current(database: Database) -> Budgets:
    with database.reading() as session:
        return read(session)


def put(database: Database, day: str, month: str, by: str, now: datetime, *, stops: Collection[str] = ()) -> None:
    """Set both, as typed; a blank one is taken away, and one that stays as it is keeps who set it. `stops` names those
    that stop sending, of day and month. Raises BadBudget."""
    wanted, errors = _read({"day": day, "month": month})
    for period in stops:
        if period in wanted and wanted[period] is None:
            errors[period] = N_("must be given, or there is nothing to stop at")
    if errors:
        raise BadBudget(errors)
    with database.transaction() as session:
        database.one_at_a_time(session, "budgets")
        for period, iqd in wanted.items():
            held = session.get(Budget, period)
            if iqd is None:
                session.execute(delete(Budget).where(Budget.period == period))
            elif held is None or (held.iqd, held.stops) != (iqd, period in stops):
                session.merge(Budget(period=period, iqd=iqd, stops=period in stops, set_at=now, set_by=by[:80]))


def stopping(database: Database, budgets: Budgets, zone: ZoneInfo, now: datetime) -> Spent | None:
    """The one of `budgets` that stops sending now, if one does; the month's rather than the day's."""
    if not budgets.can_stop:
        return None
    with database.reading() as session:
        return spent(session, budgets, zone, now)


def read(session: Session) -> Budgets:
    """As `current`, for who sends in this transaction."""
    rows = {
        row.period: Amount(iqd=row.iqd, stops=row.stops, set_at=row.set_at, set_by=row.set_by)
        for row in session.scalars(select(Budget))
    }
    return Budgets(day=rows.get("day"), month=rows.get("month"))


def spent(session: Session, budgets: Budgets, zone: ZoneInfo, now: datetime) -> Spent | None:
    """As `stopping`."""
    today = now.astimezone(zone).date()
    month = today.replace(day=1)
    for period, amount, first, over in (
        ("month", budgets.month, month, next_month(month)),
        ("day", budgets.day, today, today + timedelta(days=1)),
    ):
        if amount is not None and amount.stops:
            spent_iqd = tallies.committed_iqd(session, midnight(first, zone), midnight(over, zone))
            if spent_iqd >= amount.iqd:
                return Spent(period=period, spent_iqd=spent_iqd, budget_iqd=amount.iqd)
    return None


def _read(typed: Mapping[str, str]) -> tuple[dict[str, int | None], dict[str, str]]:
    """The amounts, and what is wrong with them."""
    wanted: dict[str, int | None] = {}
    errors: dict[str, str] = {}
    for period, text in typed.items():
        try:
            wanted[period] = _iqd(text)
        except ValueError as wrong:
            errors[period] = str(wrong)
    day, month = wanted.get("day"), wanted.get("month")
    if day and month and day > month:
        errors["month"] = N_("must not be less than the budget of one day")
    return wanted, errors


def _iqd(typed: str) -> int | None:
    """The amount in any digits, with or without separators between thousands; None for a blank."""
    western = "".join(str(unicodedata.decimal(character, character)) for character in typed.strip())
    if not western:
        return None
    if not _WHOLE.fullmatch(western):
        raise ValueError(N_("must be a whole number of dinars, such as 250000 or 250,000"))
    iqd = int(re.sub(r"\D", "", western))
    if not 0 < iqd <= MOST_IQD:
        raise ValueError(N_("must be between 1 and 1,000,000,000,000 dinars; leave it empty for none"))
    return iqd
