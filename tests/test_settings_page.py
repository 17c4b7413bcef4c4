"""The Settings page: what is set, keys and budgets to be changed, how Wasl is; and no secret but a new key's."""

from datetime import UTC, datetime, timedelta

import pytest
from bs4 import BeautifulSoup, Tag
from flask import Flask

from webhook_app import accounts, budgets, counting, figures, pricing, receiving
from webhook_app.database import Database
from webhook_app.models import Message, Moment
from webhook_app.otpiq import Sender
from webhook_app.status import Fact, Status

from .browsing import Browser, form_to, send, words
from .conftest import SECRET_KEY, sign_in
from .rows import NOW, add_message, all_rows, arrival, callback


@pytest.fixture
def browser(app: Flask) -> Browser:
    """Its OTPIQ is out of reach."""
    return Browser(sign_in(app))


@pytest.fixture
def answered(simulated: Flask) -> Browser:
    return Browser(sign_in(simulated))


def field(soup: BeautifulSoup, name: str) -> Tag:
    found = soup.find(id=name)
    assert isinstance(found, Tag)
    return found


def test_it_tells_what_is_set_and_no_secret(browser: Browser) -> None:
    page = browser.get("/settings").get_data(as_text=True)
    for told in ("https://wasl.example.iq", "http://127.0.0.1:9/api", "Baghdad (UTC+3)", "sara", "wasl user add NAME"):
        assert told in page
    assert not [secret for secret in (SECRET_KEY, "sk_live_0123456789abcdef") if secret in page]


def test_check_now_says_that_the_key_works(answered: Browser) -> None:
    answer = answered.submit(form_to(answered.soup("/settings"), "/settings/check"))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/settings")
    page = words(answered.soup("/settings"))
    assert "The key works: OTPIQ told the balance and the senders." in page
    assert "1,000,000 IQD" in page


def test_check_now_says_that_otpiq_was_not_reached(browser: Browser) -> None:
    browser.submit(form_to(browser.soup("/settings"), "/settings/check"))
    assert "OTPIQ could not be reached." in words(browser.soup("/settings"))


def test_senders_are_listed_with_price_status_and_what_it_was_before(answered: Browser, database: Database) -> None:
    then = datetime.now(UTC) - timedelta(days=3)
    past = [Sender(sender_id=name, status="accepted", price_by_carrier={"zain": 70}) for name in ("MyShop", "OldShop")]
    pricing.note_prices(database, past, then)
    answered.submit(form_to(answered.soup("/settings"), "/settings/check"))
    rows = [" ".join(row.get_text(" ").split()) for row in answered.soup("/settings").select("#senders tbody tr")]
    assert [row.split(" 80")[0] for row in rows if "Shop" not in row] == [
        "BigBank Not approved by OTPIQ",
        "NewBrand Waits for OTPIQ's approval",
        "WaslDemo Approved",
    ]
    mine, gone = (row for row in rows if "Shop" in row)
    assert mine.startswith("MyShop Approved 80 was 70 80 80 100")
    assert gone.startswith("OldShop No longer listed – – – –")


def test_budgets_are_set_and_told_with_who_set_them(browser: Browser, database: Database) -> None:
    form = form_to(browser.soup("/settings"), "/settings/budgets#budgets")
    answer = browser.submit(form, day="٥٠,٠٠٠", month="1000000")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/settings#budgets")
    kept = budgets.current(database)
    assert (kept.day and kept.day.iqd, kept.month and kept.month.set_by) == (50_000, "sara")
    soup = browser.soup("/settings")
    assert (field(soup, "day")["value"], field(soup, "month")["value"]) == ("50,000", "1,000,000")
    assert words(soup).count("set by sara") == 2


def test_a_budget_that_will_not_do_is_told_at_its_field_and_kept_as_typed(browser: Browser, database: Database) -> None:
    form = form_to(browser.soup("/settings"), "/settings/budgets#budgets")
    answer = browser.submit(form, day="<b>much", month="1000000")
    soup = BeautifulSoup(answer.data, "html.parser")
    assert answer.status_code == 400
    assert (field(soup, "day")["value"], field(soup, "month")["value"]) == ("<b>much", "1000000")
    assert "must be a whole number" in field(soup, "day-error").text
    assert soup.find(id="month-error") is None
    assert budgets.current(database).month is None


def test_a_budget_may_be_told_to_stop_sending(browser: Browser, database: Database) -> None:
    form = form_to(browser.soup("/settings"), "/settings/budgets#budgets")
    assert [box["value"] for box in form.select("[name=stops]")] == ["day", "month"]
    browser.submit(form, day="1000", month="100000", stops="day")
    kept = budgets.current(database)
    assert (kept.day and kept.day.stops, kept.month and kept.month.stops) == (True, False)
    form = form_to(browser.soup("/settings"), "/settings/budgets#budgets")
    assert [box.has_attr("checked") for box in form.select("[name=stops]")] == [True, False]
    wrong = BeautifulSoup(browser.submit(form, month="odd", stops="month").data, "html.parser")
    assert [box.has_attr("checked") for box in wrong.select("[name=stops]")] == [False, True]


def test_every_page_that_is_about_sending_says_that_it_is_stopped(browser: Browser, database: Database) -> None:
    now = datetime.now(UTC)
    budgets.put(database, "", "1000", "sara", now, stops=["month"])
    add_message(database, now, facts=[Fact(at=now, word="delivered", is_final=True, cost_iqd=1000)])
    told = "Sending is stopped until next month: this month's budget of 1,000 IQD is spent."
    assert "This month's budget." not in words(browser.soup("/spend"))  # said once
    for path in ("/", "/send", "/spend"):
        assert told in words(browser.soup(path))
    assert "All well" not in words(browser.soup("/"))
    assert "stops sending" in words(browser.soup("/spend"))
    refused = send(browser)
    assert refused.status_code == 400
    assert "Not sent: this month's budget is spent. Raise it on Settings, or wait a while." in words(refused)
    newest = all_rows(database, Message)[-1]
    page = words(browser.soup(f"/messages/{newest.id}"))
    again = words(browser.soup(f"/send?again={newest.id}"))
    assert "The first one did not go out and cost nothing: only this one is charged." in again
    assert "Not sent: nothing left this machine" in page
    assert "Your budget of that month was spent. Raise it on Settings, or let it only warn." in page
    assert "Your budget of that month was spent" in words(browser.soup("/"))  # among the reasons
    budgets.put(database, "", "5000", "sara", now, stops=["month"])
    for path in ("/", "/send", "/spend"):
        assert told not in words(browser.soup(path))


def test_a_new_key_is_shown_once_and_works(browser: Browser, database: Database) -> None:
    answer = browser.submit(form_to(browser.soup("/settings"), "/settings/keys#keys"), name=" shop ")
    key = field(BeautifulSoup(answer.data, "html.parser"), "new-key").text
    assert answer.status_code == 200
    assert accounts.key_name(database, key) == "shop"
    assert key not in answer.headers.get("Set-Cookie", "")
    again = browser.get("/settings").get_data(as_text=True)
    assert (key in again, key[:12] in again) == (False, True)


def test_a_name_that_will_not_do_for_a_key_is_kept(browser: Browser, database: Database) -> None:
    accounts.add_key(database, "shop", NOW)
    form = form_to(browser.soup("/settings"), "/settings/keys#keys")
    for name in ("", "x" * 61, "shop", "a\nb"):
        answer = browser.submit(form, name=name)
        soup = BeautifulSoup(answer.data, "html.parser")
        assert (answer.status_code, soup.find(id="name-error") is not None) == (400, True)
        assert field(soup, "name")["value"] == name


def test_a_revoked_key_opens_nothing_any_more(browser: Browser, database: Database) -> None:
    _id, key = accounts.add_key(database, "shop", NOW)
    form = form_to(browser.soup("/settings"), "/settings/keys/revoke")
    assert browser.submit(form).headers["Location"] == "/settings#keys"
    assert accounts.key_name(database, key) is None
    soup = browser.soup("/settings")
    assert "Revoked" in words(soup)
    assert soup.find("form", action="/settings/keys/revoke") is None


def test_revoking_a_key_that_is_not_there_says_so(browser: Browser, database: Database) -> None:
    accounts.add_key(database, "shop", NOW)
    form = form_to(browser.soup("/settings"), "/settings/keys/revoke")
    for name in ("other", "a\0b", ""):
        assert browser.submit(form, name=name).status_code == 303
        assert "No key in force has this name." in words(browser.soup("/settings"))


def test_the_language_can_be_chosen_there(browser: Browser) -> None:
    form = browser.soup("/settings").select_one("#reader form")
    assert form is not None
    assert browser.submit(form, language="ar_IQ").headers["Location"] == "/settings"
    assert field(browser.soup("/settings"), "otpiq").find_parent("html", lang="ar-IQ")


def test_vitals_tell_what_waits_and_what_lives(database: Database) -> None:
    empty = figures.vitals(database, NOW)
    assert (empty.worker_at, empty.is_working, empty.unfolded) == (None, False, 0)
    assert (empty.oldest_open_at, empty.last_callback_at) == (None, None)
    assert empty.store_bytes > 10_000
    assert empty.store.split()[0] == ("SQLite" if database.is_sqlite else "PostgreSQL")

    for hours in (100, 50, 2):  # nothing more is expected for the first
        add_message(database, NOW - timedelta(hours=hours))
    closed = [Fact(at=NOW, word="sent", channel="sms", is_final=True)]
    add_message(database, NOW - timedelta(hours=60), facts=closed)
    add_message(database, NOW - timedelta(hours=70), send_state=Status.REJECTED)
    target = add_message(database, NOW - timedelta(hours=1))
    receiving.receive(database, [arrival(target, callback("sent"), NOW - timedelta(minutes=3))])
    with database.transaction() as session:
        session.merge(Moment(name="worker:a:1", at=NOW - timedelta(seconds=30)))

    found = figures.vitals(database, NOW)
    assert (found.worker_at, found.is_working) == (NOW - timedelta(seconds=30), True)
    assert found.oldest_open_at == NOW - timedelta(hours=50)
    assert found.last_callback_at == NOW - timedelta(minutes=3)
    assert found.unfolded > 0
    assert figures.vitals(database, NOW + timedelta(minutes=1)).is_working is False
    while counting.fold(database):
        pass
    assert figures.vitals(database, NOW).unfolded == 0
