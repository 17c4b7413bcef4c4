"""What is true of every page: it asks the store as often for many messages as for few."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from webhook_app import sample
from webhook_app.database import Database

from . import every_page
from .browsing import Browser

BAGHDAD = ZoneInfo("Asia/Baghdad")
_MAY_BE_NONE = 2


@pytest.fixture
def browser(visitor: FlaskClient) -> Browser:
    return Browser(visitor)


@contextmanager
def queries(database: Database) -> Iterator[list[str]]:
    """The statements run inside the block."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield seen
    event.remove(database.engine, "before_cursor_execute", note)


def test_a_page_asks_as_often_for_a_thousand_messages_as_for_ten(app: Flask, browser: Browser) -> None:
    fill(app, 10)
    few = asked(app, browser)
    fill(app, 990)
    many = asked(app, browser)
    assert many.keys() == few.keys()
    # What there is none of is not asked about further: the rows of an empty list, whom a jump in failures hits.
    assert [(page, few[page], many[page]) for page in many if abs(many[page] - few[page]) > _MAY_BE_NONE] == []


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
