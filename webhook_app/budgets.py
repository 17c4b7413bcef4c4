"""Budgets: what is meant to be spent in a day and in a month. The Spend page warns by them; nothing is stopped."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select

from .database import Database
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
    set_at: datetime
    set_by: str  # a user's name


@dataclass(frozen=True, kw_only=True)
class Budgets:
    """None where there is none."""

    day: Amount | None
    month: Amount | None


def current(database: Database) -> Budgets:
    with database.reading() as session:
        rows = {
            row.period: Amount(iqd=row.iqd, set_at=row.set_at, set_by=row.set_by)
            for row in session.scalars(select(Budget))
        }
    return Budgets(day=rows.get("day"), month=rows.get("month"))


def put(database: Database, day: str, month: str, by: str, now: datetime) -> None:
    """Set both, as typed; a blank one is taken away, and one that stays as it is keeps who set it. Raises BadBudget."""
    wanted, errors = _read({"day": day, "month": month})
    if errors:
        raise BadBudget(errors)
    with database.transaction() as session:
        database.one_at_a_time(session, "budgets")
        for period, iqd in wanted.items():
            held = session.get(Budget, period)
            if iqd is None:
                session.execute(delete(Budget).where(Budget.period == period))
            elif held is None or held.iqd != iqd:
                session.merge(Budget(period=period, iqd=iqd, set_at=now, set_by=by[:80]))


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
