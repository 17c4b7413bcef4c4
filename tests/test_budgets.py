"""Budgets: read in any digits, kept with who set them and when, taken away when left empty; on both stores."""

import threading
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from webhook_app import budgets, counting, sending
from webhook_app.budgets import Amount, BadBudget, Budgets, Spent
from webhook_app.database import Database
from webhook_app.models import Exchange, Message
from webhook_app.otpiq import Otpiq, parse_send
from webhook_app.sending import Asked, Outcome
from webhook_app.stamp import Stamper
from webhook_app.status import Fact, Status

from .conftest import SECRET_KEY
from .rows import NOW, add_message, all_rows, counted, get_message, recounted
from .scripted import Scripted, accepted

LATER = NOW + timedelta(hours=1)
BAGHDAD = ZoneInfo("Asia/Baghdad")
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
    assert budgets.current(database) == Budgets(
        day=Amount(iqd=250_000, stops=False, set_at=NOW, set_by="sara"), month=None
    )


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
    assert kept.day == Amount(iqd=10, stops=False, set_at=NOW, set_by="sara")
    assert kept.month == Amount(iqd=200, stops=False, set_at=LATER, set_by="ali")


def charged(database: Database, at: datetime, iqd: int) -> None:
    add_message(database, at, facts=[Fact(at=at, word="delivered", channel="sms", is_final=True, cost_iqd=iqd)])


def stopping(database: Database, now: datetime = NOW) -> Spent | None:
    return budgets.stopping(database, budgets.current(database), BAGHDAD, now)


def send(database: Database, base_url: str, phone: str = "9647701234567", now: datetime = NOW) -> Outcome:
    request = parse_send({"phoneNumber": phone, "smsType": "verification", "verificationCode": "493817"})
    asked = Asked(by="key:checkout", once_key="1", body=b"{}", estimate_iqd=200, zone=BAGHDAD)
    otpiq = Otpiq(base_url, "sk_live_0123456789", deadline_s=2.0)
    return sending.send(database, otpiq, Stamper((SECRET_KEY,), "http://127.0.0.1:9"), request, asked, lambda: now)


def test_a_budget_only_warns_unless_it_is_told_to_stop(database: Database) -> None:
    charged(database, NOW, 1000)
    put(database, "1000", "1000")
    assert stopping(database) is None
    budgets.put(database, "1000", "1000", "ali", LATER, stops=["day"])
    kept = budgets.current(database)
    assert kept.day == Amount(iqd=1000, stops=True, set_at=LATER, set_by="ali")
    assert kept.month == Amount(iqd=1000, stops=False, set_at=NOW, set_by="sara")
    assert stopping(database) == Spent(period="day", spent_iqd=1000, budget_iqd=1000)


def test_to_stop_needs_an_amount_to_stop_at(database: Database) -> None:
    with pytest.raises(BadBudget) as wrong:
        budgets.put(database, "", "1000", "sara", NOW, stops=["day", "month"])
    assert wrong.value.errors == {"day": "must be given, or there is nothing to stop at"}
    budgets.put(database, "", "1000", "sara", NOW, stops=["month", "odd"])
    assert budgets.current(database).day is None


def test_it_stops_when_nothing_is_left_of_it_and_not_before(database: Database) -> None:
    budgets.put(database, "1000", "", "sara", NOW, stops=["day"])
    charged(database, NOW, 999)
    assert stopping(database) is None
    charged(database, NOW, 1)
    counting.fold(database)
    assert stopping(database) == Spent(period="day", spent_iqd=1000, budget_iqd=1000)


@pytest.mark.parametrize("state", [Status.SENDING, Status.UNCONFIRMED])
def test_what_a_send_in_doubt_may_cost_counts(database: Database, state: str) -> None:
    budgets.put(database, "1000", "", "sara", NOW, stops=["day"])
    add_message(database, send_state=state, estimate_iqd=1000)
    assert stopping(database) is not None


def test_days_and_months_are_the_reader_s(database: Database) -> None:
    midnight = datetime(2026, 11, 30, 21, tzinfo=UTC)  # where November ends in Baghdad
    budgets.put(database, "100", "150", "sara", NOW, stops=["day", "month"])
    charged(database, midnight - timedelta(seconds=1), 100)
    assert stopping(database, midnight - timedelta(seconds=1)) == Spent(period="day", spent_iqd=100, budget_iqd=100)
    assert stopping(database, midnight) is None
    charged(database, midnight - timedelta(days=20), 50)
    assert stopping(database, midnight - timedelta(seconds=1)) == Spent(period="month", spent_iqd=150, budget_iqd=150)
    assert stopping(database, midnight) is None


def test_a_send_that_a_budget_stops_does_not_leave_and_says_why(database: Database) -> None:
    budgets.put(database, "1000", "", "sara", NOW, stops=["day"])
    charged(database, NOW, 1000)
    with Scripted(accepted()) as server:
        outcome = send(database, server.base_url)
        assert server.requests == []
    assert (outcome.state, outcome.kind, outcome.words) == ("unsent", "budget_day", "the budget of the day is spent")
    assert outcome.numbers == {"spent_iqd": 1000, "budget_iqd": 1000}
    row = get_message(database, outcome.message_id)
    assert (row.status, row.send_state, row.charged_iqd, row.at_risk_iqd) == ("unsent", "unsent", None, 0)
    assert all_rows(database, Exchange) == []
    assert counted(database) == recounted(database)


def test_the_same_request_goes_out_once_there_is_a_budget_again(database: Database) -> None:
    budgets.put(database, "1000", "", "sara", NOW, stops=["day"])
    charged(database, NOW, 1000)
    with Scripted(accepted()) as server:
        assert send(database, server.base_url).state == "unsent"
        budgets.put(database, "2000", "", "sara", NOW, stops=["day"])
        assert send(database, server.base_url).state == "accepted"
        assert send(database, server.base_url).state == "accepted"  # the first one's answer again
        assert len(server.requests) == 1
    tomorrow = NOW + timedelta(days=1)
    assert stopping(database, tomorrow) is None


@pytest.mark.parametrize("estimate_iqd", [300, None])
def test_many_at_once_do_not_pass_it_by_more_than_the_last_one(database: Database, estimate_iqd: int | None) -> None:
    charged(database, NOW - timedelta(days=2), 300)  # what one costs, where no price is known
    budgets.put(database, "1000", "", "sara", NOW, stops=["day"])
    outcomes: list[str] = []

    def one(number: int) -> None:
        request = parse_send(
            {"phoneNumber": f"96477012345{number:02}", "smsType": "verification", "verificationCode": "1"}
        )
        asked = Asked(by="key:checkout", estimate_iqd=estimate_iqd, zone=BAGHDAD)
        otpiq = Otpiq(server.base_url, "sk_live_0123456789", deadline_s=5.0)
        stamper = Stamper((SECRET_KEY,), "http://127.0.0.1:9")
        outcomes.append(sending.send(database, otpiq, stamper, request, asked, lambda: NOW).state)

    with Scripted([0.5, *accepted(cost=300)]) as server:
        threads = [threading.Thread(target=one, args=(number,)) for number in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(outcomes) == ["accepted"] * 4 + ["unsent"] * 6
    assert sum(row.charged_iqd or 0 for row in all_rows(database, Message)) == 300 + 1200
