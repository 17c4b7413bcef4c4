"""The pages, as a browser without JavaScript meets them: what they show, refuse, keep and never put in an address."""

import dataclasses
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bs4 import BeautifulSoup, Tag
from flask import Flask

from webhook_app import receiving, sources
from webhook_app.database import Database
from webhook_app.ids import new_id
from webhook_app.models import Message
from webhook_app.status import Fact

from .browsing import PHONE, SPELLINGS, Browser, form_to, send, words
from .conftest import PUBLIC_URL, sign_in
from .rows import add_message, arrival

ANY_ID = "01980f2e-77b1-7c20-9d0e-5f3a1b2c6c41"


@pytest.fixture
def browser(app: Flask) -> Browser:
    """Its OTPIQ is out of reach."""
    return Browser(sign_in(app))


@pytest.fixture
def sending(simulated: Flask) -> Browser:
    return Browser(sign_in(simulated))


def test_every_page_opens_and_is_named_in_its_title(browser: Browser, database: Database) -> None:
    message_id = add_message(database, datetime.now(UTC), phone=PHONE)
    source = sources.add(database, "shop", datetime.now(UTC))
    titles = {
        "/": "Overview · Wasl",
        "/?range=7d": "Overview · Wasl",
        "/?range=30d": "Overview · Wasl",
        "/messages": "Messages · Wasl",
        f"/messages?status=failed&carrier=korek&channel=sms&type=verification&source={source.id}": "Messages · Wasl",
        "/messages?from=2026-11-01&to=2026-11-22T15:00": "Messages · Wasl",
        f"/messages/{message_id}": "Accepted by OTPIQ, waiting for its first report · Wasl",
        "/send": "Send · Wasl",
        "/send?type=custom": "Send · Wasl",
        f"/send?again={message_id}": "Send · Wasl",
        "/sources": "Sources · Wasl",
    }
    for path, title in titles.items():
        soup = browser.soup(path)
        assert (path, soup.title and soup.title.text) == (path, title)
        assert (path, len(soup.select("h1")), len(soup.select("main"))) == (path, 1, 1)


ODD = {
    "/?range=9": "range",
    "/messages?status=x": "status",
    "/messages?carrier=x": "carrier",
    "/messages?channel=pigeon": "channel",
    "/messages?type=otp": "type",
    "/messages?source=7": "source",
    "/messages?before=zzz": "before",
    "/messages?after=zzz": "after",
    "/messages?from=32": "from",
    "/messages?to=2026-13-01": "to",
    "/messages?from=2026-11-22T25:00": "from",
    "/send?again=zzz": "again",
    "/send?type=x": "type",
}


def test_an_odd_argument_is_a_400_page_that_names_it(browser: Browser) -> None:
    for path, name in ODD.items():
        answer = browser.get(path)
        assert (path, answer.status_code, answer.mimetype) == (path, 400, "text/html")
        assert f"{name}: must be" in words(answer)


EXTREME = (
    "/messages?from=0001-01-01",
    "/messages?to=9999-12-31",
    "/messages?from=0001-01-01T00:00%2B14:00",
    "/messages?before=00000000-0000-0000-0000-000000000000",
    "/messages?status=%00",
    "/?range=",
)


def test_an_extreme_argument_never_breaks_a_page(browser: Browser) -> None:
    for path in EXTREME:
        assert (path, browser.get(path).status_code in (200, 400)) == (path, True)


def test_an_unknown_address_is_a_404_page_with_a_way_back(browser: Browser) -> None:
    for path in (f"/messages/{ANY_ID}", f"/send?again={ANY_ID}", "/messages/7", "/nope"):
        answer = browser.get(path)
        assert (answer.status_code, answer.mimetype) == (404, "text/html")
        assert BeautifulSoup(answer.data, "html.parser").select_one("main a[href='/']")


def test_with_nothing_there_each_page_says_what_to_do_next(browser: Browser) -> None:
    assert "Three steps to your first delivery" in words(browser.soup("/"))
    assert "No messages yet" in words(browser.soup("/messages"))
    assert "No message fits these filters" in words(browser.soup("/messages?status=failed"))
    assert "No source yet" in words(browser.soup("/sources"))
    assert "Nothing matches" in words(browser.search("order-7"))


def test_a_message_is_found_by_its_number_which_is_shown_nowhere(browser: Browser, database: Database) -> None:
    message_id = add_message(database, datetime.now(UTC), phone=PHONE, phone_end="4321")
    add_message(database, datetime.now(UTC))
    for typed in (*SPELLINGS, "4321"):
        answer = browser.search(typed)
        found = BeautifulSoup(answer.data, "html.parser").select("a.row-link")
        assert [link["href"] for link in found] == [f"/messages/{message_id}"]
        assert not [spelling for spelling in SPELLINGS if spelling in answer.get_data(as_text=True)]
    assert not [path for path in browser.visited if "4321" in path]


def test_a_message_is_found_by_reference_and_sms_id(browser: Browser, database: Database) -> None:
    now = datetime.now(UTC)
    message_id = add_message(database, now, reference="order-7", facts=[Fact(at=now, sms_id="sms-abc")])
    for typed in ("order-7", " sms-abc ", str(message_id)):
        assert f"/messages/{message_id}" in browser.search(typed).get_data(as_text=True)


def test_an_empty_search_is_the_whole_list(browser: Browser) -> None:
    answer = browser.submit(form_to(browser.soup("/messages"), "/messages/search"), q="  ")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/messages")


def test_an_odd_search_finds_nothing_and_breaks_nothing(browser: Browser) -> None:
    for query in ("a\0b", "%", "_", "' OR 1=1 --", "x" * 5000, "<script>alert(1)</script>", "٤٣٢"):
        answer = browser.search(query)
        assert (query, answer.status_code) == (query, 200)
        assert "Nothing matches" in words(answer)
        assert b"<script>alert" not in answer.data


def test_older_and_newer_lead_through_the_whole_list_once(browser: Browser, database: Database) -> None:
    start = datetime.now(UTC) - timedelta(hours=1)
    ids = [add_message(database, start + timedelta(seconds=n)) for n in range(120)]
    path: str | None = "/messages"
    seen: list[str] = []
    while path:
        soup = browser.soup(path)
        seen += [str(link["href"]) for link in soup.select("a.row-link")]
        older = soup.select_one("nav.pager a[rel=next]")
        path = str(older["href"]) if older else None
    assert seen == [f"/messages/{message_id}" for message_id in ids[::-1]]


def test_check_now_asks_otpiq_and_comes_back(sending: Browser, database: Database) -> None:
    path = send(sending).headers["Location"]
    answer = sending.submit(form_to(sending.soup(path), f"{path}/check"))
    assert (answer.status_code, answer.headers["Location"]) == (303, path)
    assert re.search("OTPIQ (told something|knows nothing) new", words(sending.soup(path)))


def test_check_now_without_an_answer_says_so(browser: Browser, database: Database) -> None:
    now = datetime.now(UTC)
    asked = add_message(database, now, facts=[Fact(at=now, sms_id="sms-1")])
    nameless = add_message(database, now)
    form = form_to(browser.soup(f"/messages/{asked}"), f"/messages/{asked}/check")
    for action, sentence in (
        (f"/messages/{asked}/check", "gave no answer that helps"),
        (f"/messages/{nameless}/check", "gave no smsId"),
    ):
        form["action"] = action
        assert browser.submit(form).status_code == 303
        assert sentence in words(browser.soup(action.removesuffix("/check")))
    form["action"] = f"/messages/{new_id(now)}/check"
    assert browser.submit(form).status_code == 404


def test_a_source_is_made_on_its_page_and_shown_with_url_and_secret(browser: Browser) -> None:
    form = form_to(browser.soup("/sources"), "/sources")
    there = browser.submit(form, name="shop").location
    page = browser.soup(there)
    assert page.find(id=there.partition("#")[2]).select_one("h2").text == "shop"
    assert "shop" in words(page)
    assert page.find("code", string=re.compile(f"^{PUBLIC_URL}/callbacks/otpiq/"))


def test_a_name_that_will_not_do_is_told_at_the_field_and_kept(browser: Browser, database: Database) -> None:
    sources.add(database, "shop", datetime.now(UTC))
    form = form_to(browser.soup("/sources"), "/sources")
    for name in ("", "x" * 61, "shop", "a\nb", "a\0b"):
        answer = browser.submit(form, name=name)
        soup = BeautifulSoup(answer.data, "html.parser")
        field = soup.find(id="name")
        assert isinstance(field, Tag)
        assert (answer.status_code, soup.find(id="name-error") is not None) == (400, True)
        assert str(field["value"]).replace("\ufffd", "\0") == name


@pytest.fixture
def with_traffic(browser: Browser, database: Database) -> dict[str, Any]:
    now = datetime.now(UTC)
    for n in range(3):
        add_message(database, now - timedelta(minutes=n), facts=[Fact(at=now, word="failed", is_final=True)])
    open_id = add_message(database, now)
    return {"paths": ["/", "/messages", f"/messages/{open_id}"], "id": open_id}


def test_a_poll_is_304_while_nothing_changed_and_200_when_something_did(
    browser: Browser, database: Database, with_traffic: dict[str, Any]
) -> None:
    paths = [f"{path}?fragment=live" for path in with_traffic["paths"]]
    tags = {path: browser.get(path).headers["ETag"] for path in paths}
    time.sleep(1.0)
    again = {path: browser.get(path, **{"If-None-Match": tag}) for path, tag in tags.items()}
    seen = {path: (answer.status_code, answer.data) for path, answer in again.items()}
    assert seen == dict.fromkeys(paths, (304, b""))

    add_message(database, datetime.now(UTC))
    with database.transaction() as session:
        session.get_one(Message, with_traffic["id"]).custom_text = "another text"

    changed = {path: browser.get(path, **{"If-None-Match": tag}).status_code for path, tag in tags.items()}
    assert changed == dict.fromkeys(paths, 200)


def test_a_fragment_is_the_moving_part_alone(browser: Browser, with_traffic: dict[str, Any]) -> None:
    for path in with_traffic["paths"]:
        fragment = browser.get(f"{path}?fragment=live").get_data(as_text=True)
        assert 'id="live"' in fragment
        assert "<html" not in fragment


def test_the_page_of_a_closed_message_polls_no_more(browser: Browser, database: Database) -> None:
    now = datetime.now(UTC)
    closed = add_message(database, now, facts=[Fact(at=now, word="delivered", is_final=True)])
    assert not browser.soup(f"/messages/{closed}").select("[hx-trigger]")
    assert browser.soup(f"/messages/{add_message(database, now)}").select("[hx-trigger]")


def test_every_form_and_link_works_without_javascript(browser: Browser, with_traffic: dict[str, Any]) -> None:
    for path in (*with_traffic["paths"], "/send", "/sources"):
        soup = browser.soup(path)
        for form in soup.select("form:not([method=dialog])"):
            assert form.get("action"), form
            assert form["method"] == "get" or form.select_one("input[name=csrf_token]"), form
            assert form.select_one("button:not([type=button])"), form
        assert not soup.select("[onclick], [onsubmit], [style], a[href^='javascript:'], script:not([src]), style")
        for link in soup.select("a[href^='/']:not([href^='/sign-in'])"):
            assert browser.get(str(link["href"])).status_code == 200, link


def test_the_theme_is_kept_in_a_cookie_and_comes_back_to_the_page(browser: Browser) -> None:
    form = form_to(browser.soup("/messages"), "/theme")
    answer = browser.submit(form, theme="dark")
    assert answer.headers["Location"] == "/messages"
    html = browser.soup("/messages").html
    assert html is not None
    assert html["data-theme"] == "dark"
    browser.submit(form, theme="auto")
    html = browser.soup("/messages").html
    assert html is not None
    assert not html.has_attr("data-theme")


def test_callbacks_that_led_to_nothing_are_told_of(browser: Browser, database: Database) -> None:
    now = datetime.now(UTC)
    assert "in quarantine" not in words(browser.get("/sources"))
    for raw in (b"no JSON", b'{"status": "sent"}'):
        receiving.receive(database, [arrival(new_id(now), raw)])
    page = words(browser.get("/sources"))
    assert "1 authentic callback is in quarantine." in page
    assert "1 belongs to no message known here" in page


def test_a_store_that_is_away_is_a_503_page_that_says_so(browser: Browser, app: Flask) -> None:
    house = app.extensions["wasl"]
    away = Database("postgresql+psycopg://wasl@127.0.0.1:9/wasl")
    app.extensions["wasl"] = dataclasses.replace(house, database=away)
    answers = [browser.get(path) for path in ("/", "/messages", "/send", "/sources", "/messages?fragment=live")]
    app.extensions["wasl"] = house
    assert {(answer.status_code, answer.headers["Retry-After"]) for answer in answers} == {(503, "5")}
    assert "The store is away" in words(answers[0])
    assert "Traceback" not in words(answers[0])
    assert "Try again" in words(answers[0])
    assert "nothing was sent" not in words(answers[0])


def test_who_sends_while_the_store_is_away_is_told_that_nothing_was_sent_and_how_to_go_on(
    browser: Browser, app: Flask
) -> None:
    (form,) = browser.soup("/send").select("form[action='/send']")
    house = app.extensions["wasl"]
    away = Database("postgresql+psycopg://wasl@127.0.0.1:9/wasl")
    app.extensions["wasl"] = dataclasses.replace(house, database=away)
    answer = browser.submit(form, phoneNumber="07701234567", verificationCode="4711")
    app.extensions["wasl"] = house
    away.engine.dispose()
    assert answer.status_code == 503
    assert "so nothing was sent" in words(answer)
    assert "load this page again" in words(answer)
    assert "4711" not in answer.get_data(as_text=True)
