"""Whole numbers: shown to who says why, for one view, and never without a trace."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from bs4 import BeautifulSoup
from flask import Flask

from webhook_app import figures, reveals
from webhook_app.database import Database
from webhook_app.ids import new_id
from webhook_app.models import Reveal
from webhook_app.reveals import NoReason

from .browsing import PHONE, Browser, form_to, words
from .conftest import sign_in
from .rows import NOW, add_message, all_rows

WHOLE = "+964 770 765 4321"
MASKED = "+964 770 ••• 4321"


@pytest.fixture
def browser(app: Flask) -> Browser:
    return Browser(sign_in(app))


@pytest.fixture
def message_id(database: Database) -> UUID:
    return add_message(database, datetime.now(UTC), phone=PHONE)


def test_a_number_is_told_and_who_asked_is_kept(database: Database, message_id: UUID) -> None:
    assert reveals.reveal(database, message_id, "sara", " a customer called ", NOW) == PHONE
    (kept,) = all_rows(database, Reveal)
    assert (kept.message_id, kept.user_name, kept.why, kept.at) == (message_id, "sara", "a customer called", NOW)


@pytest.mark.parametrize("why", ["", "   ", "ab", "x" * 201, "a\nb\0c"])
def test_without_a_reason_nothing_is_told(database: Database, message_id: UUID, why: str) -> None:
    with pytest.raises(NoReason):
        reveals.reveal(database, message_id, "sara", why, NOW)
    assert all_rows(database, Reveal) == []


def test_of_no_message_or_without_a_number_there_is_nothing_to_tell(database: Database) -> None:
    for unknown in (new_id(NOW), add_message(database, phone=None, phone_end=None)):
        with pytest.raises(LookupError):
            reveals.reveal(database, unknown, "sara", "a customer called", NOW)
    assert all_rows(database, Reveal) == []


def test_the_number_stands_in_the_one_answer_to_the_reason_and_in_no_other(browser: Browser, message_id: UUID) -> None:
    path = f"/messages/{message_id}"
    form = form_to(browser.soup(path), path)

    answer = browser.submit(form, why="a customer called")

    assert (answer.status_code, WHOLE in words(answer)) == (200, True)
    page = browser.get(path)
    assert WHOLE not in words(page)
    assert MASKED in words(page)
    assert answer.headers["Cache-Control"] == "no-store"
    assert not [visited for visited in browser.visited if "4321" in visited]


def test_the_live_part_of_that_answer_holds_the_masked_number_only(browser: Browser, message_id: UUID) -> None:
    path = f"/messages/{message_id}"
    answer = browser.submit(form_to(browser.soup(path), path), why="a customer called")
    live = BeautifulSoup(answer.data, "html.parser").select_one("#live")
    assert live is not None
    assert (live["hx-get"], WHOLE in words(BeautifulSoup(str(live), "html.parser"))) == (f"{path}?fragment=live", False)


def test_the_message_s_page_says_who_looked_and_why(browser: Browser, message_id: UUID) -> None:
    path = f"/messages/{message_id}"
    browser.submit(form_to(browser.soup(path), path), why="a <b>customer</b> called")
    assert "Who looked" in words(browser.get(path))
    assert "sara a <b>customer</b> called" in words(browser.get(path))


def test_a_reason_that_will_not_do_is_told_at_the_field_and_kept(browser: Browser, message_id: UUID) -> None:
    path = f"/messages/{message_id}"
    answer = browser.submit(form_to(browser.soup(path), path), why="x")
    soup = BeautifulSoup(answer.data, "html.parser")
    field, error = soup.select_one("#why"), soup.select_one("#why-error")
    assert field is not None
    assert error is not None
    assert (answer.status_code, field["value"], WHOLE in words(answer)) == (400, "x", False)


def test_a_message_without_a_number_offers_none(browser: Browser, database: Database) -> None:
    path = f"/messages/{add_message(database, datetime.now(UTC), phone=None, phone_end=None)}"
    assert not browser.soup(path).select("#reveal, a[href^='/send?again']")
    other = form_to(browser.soup(f"/messages/{add_message(database, datetime.now(UTC), phone=PHONE)}"), "/theme")
    other["action"] = path
    assert browser.submit(other, why="a customer called").status_code == 404


def test_an_export_with_whole_numbers_is_listed_apart(database: Database, message_id: UUID) -> None:
    reveals.note_export(database, "status=failed", "sara", "monthly report", NOW)
    reveals.reveal(database, message_id, "sara", "a customer called", NOW)
    assert [each.why for each in figures.whole_exports(database)] == ["monthly report"]
    detail = figures.find_detail(database, message_id, NOW)
    assert detail is not None
    assert [each.why for each in detail.reveals] == ["a customer called"]
