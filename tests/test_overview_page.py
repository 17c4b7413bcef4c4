"""The overview, as a browser without JavaScript meets it: its order, its ranges, its links, its first steps."""

import re
from datetime import UTC, datetime, time, timedelta
from time import sleep
from zoneinfo import ZoneInfo

import pytest
from bs4 import BeautifulSoup, Tag
from flask import Flask
from sqlalchemy import insert

from webhook_app import receiving
from webhook_app.database import Database
from webhook_app.ids import new_id
from webhook_app.models import BalanceReading, Intake
from webhook_app.status import Fact, Status

from .browsing import Browser, words
from .conftest import sign_in
from .rows import add_message, arrival, callback
from .test_overview_figures import add_hour, add_of_every_fate

BAGHDAD = ZoneInfo("Asia/Baghdad")
RANGES = ("/?range=1h", "/", "/?range=7d", "/?range=30d", "/?range=own&from={past}&to={today}")


@pytest.fixture
def browser(app: Flask) -> Browser:
    return Browser(sign_in(app))


@pytest.fixture
def traffic(database: Database) -> datetime:
    """Three messages of every fate, a second apart, all of them today's."""
    while (now := datetime.now(UTC)).astimezone(BAGHDAD).time() < time(0, 0, 4):
        sleep(1)
    for seconds in (1, 2, 3):
        add_of_every_fate(database, now - timedelta(seconds=seconds))
    return now


def tag(soup: BeautifulSoup | Tag, selector: str) -> Tag:
    found = soup.select_one(selector)
    assert found is not None, selector
    return found


def listed(browser: Browser, href: str) -> int:
    return len(browser.soup(href).select("a.row-link"))


def test_the_page_is_in_the_order_of_the_questions(browser: Browser, database: Database) -> None:
    receive_one(database)
    soup = browser.soup("/?range=7d")
    parts = soup.select("#live .well, #live .tiles, #live section[aria-labelledby]")
    order = [str(part.get("aria-labelledby") or part["class"][0]) for part in parts]
    assert order == [
        *("well", "tiles", "bars-heading", "cells-heading", "fallback-heading", "pace-heading", "week-heading"),
        *("reasons-heading", "failures-heading"),
    ]


@pytest.mark.parametrize("path", RANGES)
def test_every_picture_has_a_title_a_description_and_its_numbers(
    browser: Browser, traffic: datetime, path: str
) -> None:
    today = traffic.astimezone(BAGHDAD).date()
    soup = browser.soup(path.format(past=today - timedelta(days=20), today=today))
    for svg in soup.select("#live svg[role=group]"):
        for name in str(svg["aria-labelledby"]).split():
            assert tag(svg, f"#{name}").text
    for name in ("bars", "cells", "fallback", "pace"):
        assert soup.select(f"#{name}-numbers tbody tr"), name
    ids = [str(one["id"]) for one in soup.select("[id]")]
    assert len(ids) == len(set(ids))


def test_every_number_of_the_table_leads_to_as_many_messages(browser: Browser, traffic: datetime) -> None:
    for name in ("bars", "cells", "fallback", "pace"):
        links = browser.soup("/?range=7d").select(f"#{name}-numbers td a")
        assert links
        for link in links:
            assert listed(browser, str(link["href"])) == int(link.text), (name, link["href"])


def test_every_reason_leads_to_its_messages(browser: Browser, traffic: datetime) -> None:
    found = 0
    for reason in browser.soup("/?range=7d").select(".reasons li"):
        links = [str(link["href"]) for link in reason.select(".words a")]
        if links:
            shown = int(tag(reason, ".line bdi").text)
            assert sum(listed(browser, link) for link in links) == shown
            found += 1
    assert found >= 3


def test_a_tile_leads_to_the_messages_of_its_range(browser: Browser, traffic: datetime) -> None:
    first = tag(browser.soup("/?range=7d"), ".tile a")
    assert listed(browser, str(first["href"])) == 24


# Ranges of one's own


def test_days_in_the_wrong_order_are_put_right(browser: Browser, traffic: datetime) -> None:
    soup = browser.soup("/?range=own&from=2026-11-10&to=2026-11-01")
    assert [str(field["value"]) for field in soup.select(".own-form input[type=date]")] == ["2026-11-01", "2026-11-10"]
    assert "Sun 1 Nov to Tue 10 Nov" in words(soup)


def test_a_range_without_an_end_goes_on_until_today(browser: Browser, traffic: datetime) -> None:
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    last = tag(browser.soup(f"/?from={yesterday}"), "#own-to")
    ahead = tag(browser.soup(f"/?from={yesterday}&to=2099-01-01"), "#own-to")
    assert last["value"] == ahead["value"] >= str(yesterday)


@pytest.mark.parametrize(
    ("days", "rule"),
    [
        ("from=2025-01-01&to=2026-01-01", "A range must be no longer than 92 days."),
        ("from=2098-01-01&to=2098-01-02", "A range must begin today or earlier."),
    ],
)
def test_a_range_that_will_not_do_keeps_what_was_typed(
    browser: Browser, traffic: datetime, days: str, rule: str
) -> None:
    answer = browser.get(f"/?range=own&{days}")
    soup = BeautifulSoup(answer.data, "html.parser")
    assert (answer.status_code, tag(soup, "#own-error").text) == (400, rule)
    typed = [f"{field['name']}={field['value']}" for field in soup.select(".own-form input[type=date]")]
    assert "&".join(typed) == days
    assert not soup.select("[hx-trigger='wasl:poll']")  # there is nothing to keep fresh


@pytest.mark.parametrize("days", ["from=32", "to=2026-13-01", "range=year"])
def test_what_is_no_day_and_no_range_is_a_400_page(browser: Browser, days: str) -> None:
    answer = browser.get(f"/?{days}")
    assert (answer.status_code, "must be" in words(answer)) == (400, True)


def test_an_empty_form_is_today(browser: Browser, traffic: datetime) -> None:
    assert tag(browser.soup("/?range=own&from=&to="), ".segments a[aria-current]").text == "Today"


# The first line


def test_a_jump_stands_on_top_and_leads_to_its_failures(browser: Browser, database: Database) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    add_hour(database, hour - timedelta(hours=2), delivered=30, failed=0)
    add_hour(database, hour - timedelta(hours=1), delivered=5, failed=15)
    receive_one(database)
    line = tag(browser.soup("/"), ".health-line.bad")
    assert re.search("Korek by SMS: 25.0% delivered since [0-9]{2}:00", words(BeautifulSoup(str(line), "html.parser")))
    assert listed(browser, str(tag(line, "a")["href"])) == 15


def test_refused_callbacks_stand_on_top(browser: Browser, database: Database, traffic: datetime) -> None:
    refused = {
        "minute": traffic.replace(second=0, microsecond=0),
        "what": "wrong_secret",
        "writer": "1",
        "callbacks": 3,
    }
    with database.transaction() as session:
        session.execute(insert(Intake), [refused])
    assert "Callbacks are being refused." in words(browser.soup("/"))
    assert not browser.soup("/").select(".well .icon.ok")


def test_nothing_wrong_is_said_too(browser: Browser, database: Database) -> None:
    add_message(database, datetime.now(UTC), facts=[Fact(at=datetime.now(UTC), word="delivered")])
    assert "All well for the last 24 hours" in words(browser.soup("/"))


def test_all_is_not_well_where_nothing_arrives(browser: Browser, database: Database) -> None:
    for _ in range(3):
        add_message(database, datetime.now(UTC), send_state=Status.UNSENT)
    line = tag(browser.soup("/"), ".health-line.bad")
    assert "No delivery was reported in the last 24 hours: 3 messages failed" in line.text
    assert listed(browser, str(tag(line, "a")["href"])) == 3


# The first steps


def ticked(browser: Browser) -> list[bool]:
    return ["done" in (step.get("class") or []) for step in browser.soup("/").select(".steps li")]


def test_each_first_step_ticks_itself(browser: Browser, database: Database) -> None:
    now = datetime.now(UTC)
    assert ticked(browser) == [False, False, False]
    with database.transaction() as session:
        session.add(BalanceReading(id=new_id(now), at=now, iqd=1_000))
    assert ticked(browser) == [True, False, False]
    for state in (Status.REJECTED, Status.UNSENT):
        add_message(database, now, send_state=state)
    assert ticked(browser) == [True, False, False]
    assert browser.soup("/").select(".first-run a[href='/send']")
    message = add_message(database, now)
    assert ticked(browser) == [True, False, True]
    receiving.receive(database, [arrival(message, callback("sent"), now)])
    assert ticked(browser) == []
    assert browser.soup("/").select(".tiles")


def receive_one(database: Database) -> None:
    now = datetime.now(UTC)
    receiving.receive(database, [arrival(add_message(database, now), callback("sent"), now)])


def test_a_range_that_is_bad_all_through_is_not_called_one_without_a_jump(browser: Browser, database: Database) -> None:
    now = datetime.now(UTC)
    for minutes in range(0, 50, 5):
        for word in ("delivered", "failed"):
            at = now - timedelta(minutes=minutes)
            for _ in range(4):
                add_message(database, at, facts=[Fact(at=at, word=word, channel="sms", is_final=True)])
    page = words(browser.soup("/?range=1h"))
    assert "Only 50.0% delivered, in all of the range" in page
    assert "No jump in failures" not in page
