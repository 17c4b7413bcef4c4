"""What pages that keep themselves fresh have in common; what a browser makes of it: browser/test_keeping_up.py."""

import time
from datetime import UTC, datetime

import pytest
from bs4 import BeautifulSoup
from flask import Flask
from flask.testing import FlaskClient

from webhook_app import sample
from webhook_app.database import Database

from . import every_page
from .browsing import Browser
from .rows import add_message

LIVE = "[hx-trigger='wasl:poll']"


@pytest.fixture
def pages(app: Flask, visitor: FlaskClient, database: Database) -> dict[str, BeautifulSoup]:
    """Every page, in a store with a little history and a message that is still open."""
    house, now = app.extensions["wasl"], datetime.now(UTC)
    sample.fill(database, house.stamper, 100, house.settings.time_zone, now)
    opened = add_message(database, now)
    browser = Browser(visitor)
    return {path: browser.soup(path) for path in (*every_page.paths(app), f"/messages/{opened}")}


def test_a_page_asks_for_one_thing_at_most(pages: dict[str, BeautifulSoup]) -> None:
    polls = {path: len(soup.select(LIVE)) for path, soup in pages.items()}
    assert set(polls.values()) == {0, 1}
    assert polls["/"] == polls["/messages"] == polls["/callbacks"] == 1


def test_what_did_not_change_is_not_sent_again_on_any_page(
    pages: dict[str, BeautifulSoup], visitor: FlaskClient
) -> None:
    browser = Browser(visitor)
    polls = [str(part["hx-get"]) for soup in pages.values() for part in soup.select(LIVE)]
    # A picture by the minute moves on when one has passed: it may do so once in these two seconds, and not twice.
    assert sent_again(browser, sent_again(browser, polls)) == []


def sent_again(browser: Browser, polls: list[str]) -> list[str]:
    tags = {poll: browser.get(poll).headers["ETag"] for poll in polls}
    time.sleep(1.0)
    return [poll for poll in polls if browser.get(poll, **{"If-None-Match": tags[poll]}).status_code != 304]


def test_a_poll_brings_the_same_part_that_the_page_began_with(
    pages: dict[str, BeautifulSoup], visitor: FlaskClient
) -> None:
    for path, soup in pages.items():
        for part in soup.select(LIVE):
            fragment = Browser(visitor).soup(str(part["hx-get"])).select_one("#live")
            assert fragment is not None
            assert fragment.attrs == part.attrs, path


def test_a_page_that_refreshes_can_say_that_it_could_not(pages: dict[str, BeautifulSoup]) -> None:
    for path, soup in pages.items():
        if soup.select(LIVE):
            assert {note["data-when"] for note in soup.select("[data-live-note] [data-when][hidden]")} == {
                "failed",
                "signed-out",
                "new",
            }, path
