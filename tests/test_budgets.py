"""Budgets: read in any digits, kept with who set them and when, taken away when left empty; on both stores."""

from datetime import timedelta

import pytest

from webhook_app import budgets
from webhook_app.budgets import Amount, BadBudget, Budgets
from webhook_app.database import Database

from .rows import NOW

LATER = NOW + timedelta(hours=1)
WHOLE = "must be a whole number of dinars, such as 250000 or 250,000"
BETWEEN = "must be between 1 and 1,000,000,000,000 dinars; leave it empty for none"


def put(database: Database, day: str = "", month: str = "") -> None:
    budgets.put(database, day, month, "sara", NOW)


def errors_of(database: Database, day: str = "", month: str = "") -> dict[str, str]:
    with pytest.raises(BadBudget) as wrong:
        put(database, day, month)
    return dict(wrong.value.errors)


def test_at_first_there_is_no_budget(database: Database) -> None:
    assert budgets.current(database) == Budgets(day=None, month=None)


def test_a_budget_is_kept_with_who_set_it_and_when(database: Database) -> None:
    put(database, day="250000")
    assert budgets.current(database) == Budgets(day=Amount(iqd=250_000, set_at=NOW, set_by="sara"), month=None)


@pytest.mark.parametrize("typed", ["250000", " 250,000 ", "٢٥٠٠٠٠", "٢٥٠٬٠٠٠", "۲۵۰۰۰۰", "250 000", "250\u00a0000"])
def test_an_amount_is_read_in_any_digits_with_or_without_separators(database: Database, typed: str) -> None:
    put(database, day=typed)
    day = budgets.current(database).day
    assert day is not None
    assert day.iqd == 250_000


@pytest.mark.parametrize("typed", ["abc", "-5", "1.5", "1,5", "25,0000", "5e3", "+5", "5 IQD", "½", "\0", "1" * 40])
def test_what_is_no_whole_amount_is_refused(database: Database, typed: str) -> None:
    assert errors_of(database, day=typed) == {"day": WHOLE}
    assert budgets.current(database) == Budgets(day=None, month=None)


def test_an_amount_must_be_one_that_can_be_spent(database: Database) -> None:
    assert errors_of(database, day="0", month="1000000000001") == {"day": BETWEEN, "month": BETWEEN}


def test_a_month_must_not_have_less_than_one_of_its_days(database: Database) -> None:
    assert errors_of(database, day="1000", month="999") == {"month": "must not be less than the budget of one day"}


def test_nothing_is_set_while_one_of_the_two_will_not_do(database: Database) -> None:
    put(database, "10", "100")
    errors_of(database, "20", "x")
    kept = budgets.current(database)
    assert (kept.day and kept.day.iqd, kept.month and kept.month.iqd) == (10, 100)


def test_an_empty_field_takes_its_budget_away(database: Database) -> None:
    put(database, "10", "100")
    put(database, "", "100")
    kept = budgets.current(database)
    assert (kept.day, kept.month and kept.month.iqd) == (None, 100)


def test_a_budget_that_stays_as_it_is_keeps_who_set_it(database: Database) -> None:
    put(database, "10", "100")
    budgets.put(database, "10", "200", "ali", LATER)
    kept = budgets.current(database)
    assert kept.day == Amount(iqd=10, set_at=NOW, set_by="sara")
    assert kept.month == Amount(iqd=200, set_at=LATER, set_by="ali")
