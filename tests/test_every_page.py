"""What is true of every page: it asks the store as often for many messages as for few, and is filled in on a phone."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from flask.testing import FlaskClient

from webhook_app import sample

from . import every_page
from .browsing import Browser
from .test_figures import queries

BAGHDAD = ZoneInfo("Asia/Baghdad")
_MAY_BE_NONE = 2


@pytest.fixture
def browser(visitor: FlaskClient) -> Browser:
    return Browser(visitor)


def test_a_page_asks_as_often_for_a_thousand_messages_as_for_ten(app: Flask, browser: Browser) -> None:
    fill(app, 10)
    few = asked(app, browser)
    fill(app, 990)
    many = asked(app, browser)
    assert many.keys() == few.keys()
    # What there is none of is not asked about further: the rows of an empty list, whom a jump in failures hits.
    assert [(page, few[page], many[page]) for page in many if abs(many[page] - few[page]) > _MAY_BE_NONE] == []


def test_a_phone_s_keyboard_begins_no_name_code_or_search_with_a_capital(app: Flask, browser: Browser) -> None:
    fill(app, 10)
    for path in ("/sign-in", *every_page.paths(app)):
        page = Browser(app.test_client()) if path == "/sign-in" else browser
        for field in page.soup(path).select("input:is(:not([type]), [type=text], [type=search])"):
            assert field.get("autocapitalize") == "none", (path, field)


def fill(app: Flask, count: int) -> None:
    house = app.extensions["wasl"]
    sample.fill(house.database, house.stamper, count, BAGHDAD, datetime.now(UTC), seed=count)


def asked(app: Flask, browser: Browser) -> dict[str, int]:
    """How many statements each page takes; what is kept in the process is at hand from the first visit on."""
    counts = {}
    for path in every_page.paths(app):
        assert browser.get(path).status_code == 200, path
        with queries(app.extensions["wasl"].database) as seen:
            browser.get(path)
        counts[every_page.name_of(path)] = len(seen)
    return counts
