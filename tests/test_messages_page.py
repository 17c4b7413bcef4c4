"""The list of messages, a search and one message, as a browser without JavaScript meets them."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from bs4 import BeautifulSoup, Tag
from flask import Flask

from webhook_app import receiving, searches, sending, sources
from webhook_app.database import Database
from webhook_app.figures import messages
from webhook_app.ids import new_id
from webhook_app.models import Exchange, Search
from webhook_app.otpiq import parse_send
from webhook_app.status import Fact

from .browsing import PHONE, SPELLINGS, Browser, form_to, words
from .conftest import sign_in
from .rows import add_message, all_rows, arrival, callback
from .test_pages import ANY_ID

BAGHDAD = ZoneInfo("Asia/Baghdad")
REASON = "Carrier rejected the message"


@pytest.fixture
def browser(app: Flask) -> Browser:
    return Browser(sign_in(app))


@pytest.fixture
def search(browser: Browser) -> Callable[[str], BeautifulSoup]:
    return lambda typed: BeautifulSoup(browser.search(typed).data, "html.parser")


def rows_of(soup: Tag) -> list[str]:
    return [str(link["href"]) for link in soup.select("a.row-link")]


def chips_of(soup: Tag) -> dict[str, str]:
    """Where each chip that is shown leads, by its words."""
    return {" ".join(chip.get_text(" ").split()): str(chip["href"]) for chip in soup.select("main a.chip[href]")}


# What the list is narrowed to


@pytest.mark.parametrize(
    ("asked", "chip"),
    [
        ("outcome=failed", "Failed, refused or not sent"),
        ("carrier=korek", "Korek"),
        ("channel=sms", "SMS"),
        ("channel=none", "No channel"),
        ("type=custom", "Own text"),
        ("sender=MyShop", "sender MyShop"),
        ("reason=Carrier+rejected+the+message", "The carrier refused the message"),
        ("reason=send:credit", "The balance was too small"),
        ("from=2026-11-20T15:00", "from 2026-11-20 15:00"),
        ("to=2026-11-20", "to 2026-11-20"),
    ],
)
def test_each_part_of_a_filter_is_a_chip_that_takes_it_away(browser: Browser, asked: str, chip: str) -> None:
    chips = chips_of(browser.soup(f"/messages?status=failed&{asked}"))
    assert chips[f"{chip} remove this filter"] == "/messages?status=failed"


def test_the_source_and_the_number_are_named_in_their_chips(browser: Browser, database: Database) -> None:
    shop = sources.add(database, "shop", datetime.now(UTC))
    like = add_message(database, datetime.now(UTC), phone=PHONE)
    chips = chips_of(browser.soup(f"/messages?source={shop.id}&like={like}"))
    assert {"shop remove this filter", "to +964 770 ••• 4321 remove this filter"} < set(chips)


def test_the_days_asked_for_most_are_one_click_away(browser: Browser, database: Database) -> None:
    now = datetime.now(UTC)
    today = now.astimezone(BAGHDAD).date()
    midnight = datetime.combine(today, datetime.min.time(), BAGHDAD)
    new, old = add_message(database, midnight), add_message(database, midnight - timedelta(seconds=1))
    chips = chips_of(browser.soup("/messages?carrier=asiacell"))
    assert rows_of(browser.soup(chips["Today"])) == [f"/messages/{new}"]
    assert rows_of(browser.soup(chips["Yesterday"])) == [f"/messages/{old}"]
    assert rows_of(browser.soup(chips["7 days"])) == [f"/messages/{new}", f"/messages/{old}"]
    assert chips_of(browser.soup(chips["Today"]))["Today remove this filter"] == "/messages?carrier=asiacell"


def test_the_filter_form_says_what_is_shown_and_keeps_what_it_has_no_field_for(browser: Browser) -> None:
    path = "/messages?outcome=failed&carrier=korek&reason=Absent&from=2026-11-20&to=2026-11-20"
    form = browser.soup(path).select_one("form.filter-form")
    assert form is not None
    fields = {str(field["name"]): field.get("value") for field in form.select("input[name]")}
    # The day given as the end belongs to the range: what the form sends back must end where the next one begins.
    assert fields == {
        "outcome": "failed",
        "reason": "Absent",
        "from": "2026-11-20T00:00",
        "to": "2026-11-21T00:00",
    }
    chosen = form.select_one("#f-carrier option[selected]")
    assert chosen is not None
    assert chosen["value"] == "korek"


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("from=2026-11-22&to=2026-11-21", ("2026-11-21T00:00", "2026-11-23T00:00")),
        ("from=2026-11-22T15:00&to=2026-11-22T14:00", ("2026-11-22T14:00", "2026-11-22T15:00")),
        ("from=2026-11-22T15:00&to=2026-11-22", ("2026-11-22T15:00", "2026-11-23T00:00")),
    ],
)
def test_the_ends_of_a_range_in_the_wrong_order_are_put_right(
    browser: Browser, asked: str, shown: tuple[str, str]
) -> None:
    form = browser.soup(f"/messages?carrier=korek&{asked}").select_one("form.filter-form")
    assert form is not None
    ends = tuple(field["value"] for field in form.select("#f-from, #f-to"))
    assert ends == shown
    assert form.select_one("#f-carrier option[value=korek][selected]")


ODD = {
    f"/messages?reason={'x' * 300}": "reason: must be",
    "/messages?reason=a%00b": "reason: must be",
    "/messages?sender=%00": "sender: must be",
    "/messages?like=7": "like: must be",
    "/messages/export?outcome=x": "outcome: must be",
}


def test_what_makes_no_sense_is_a_400_page_that_names_it(browser: Browser) -> None:
    for path, sentence in ODD.items():
        answer = browser.get(path)
        assert (path, answer.status_code, sentence in words(answer)) == (path, 400, True)


@pytest.mark.parametrize(
    "path", [f"/messages?like={ANY_ID}", f"/messages?source={ANY_ID}", "/messages?reason=send:", "/messages?sender=؟"]
)
def test_what_nothing_has_is_an_empty_list_with_a_way_on(browser: Browser, path: str) -> None:
    soup = browser.soup(path)
    assert "No message fits these filters" in words(soup)
    assert soup.select("main a[href='/messages']")


def test_the_tab_one_is_on_is_marked(browser: Browser, database: Database) -> None:
    add_message(database, datetime.now(UTC))
    for path, tab in {"/messages": "tab-all", "/messages?status=failed": "tab-failed"}.items():
        assert [link["id"] for link in browser.soup(path).select(".tabs a[aria-current=true]")] == [tab]


def test_tabs_that_an_outcome_leaves_empty_are_not_offered(browser: Browser, database: Database) -> None:
    add_message(database, datetime.now(UTC), facts=[Fact(at=datetime.now(UTC), word="delivered")])
    add_message(database, datetime.now(UTC), facts=[Fact(at=datetime.now(UTC), word="failed", is_final=True)])
    tabs = [link["id"] for link in browser.soup("/messages?outcome=failed").select(".tabs a")]
    assert tabs == ["tab-all", "tab-failed"]


def test_a_list_of_failures_says_why(browser: Browser, database: Database) -> None:
    now = datetime.now(UTC)
    add_message(database, now, facts=[Fact(at=now, word="failed", is_final=True, reason=REASON)])
    failures, all_of_them = browser.soup("/messages?outcome=failed"), browser.soup("/messages")
    assert "The carrier refused the message" in words(failures)
    assert ("Why" in words(failures), "Took" in words(all_of_them)) == (True, True)


def test_a_rare_combination_is_looked_for_further_back(
    browser: Browser, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "LOOKED_THROUGH", 12)
    start = datetime.now(UTC) - timedelta(hours=1)
    rare = add_message(database, start, sender_id="Rare")
    for number in range(1, 30):
        add_message(database, start + timedelta(seconds=number))
    path: str | None = "/messages?sender=Rare"
    found, pages = [], 0
    while path:
        soup = browser.soup(path)
        found, pages = found + rows_of(soup), pages + 1
        onward = soup.find("a", rel="next")
        if pages == 1:
            assert "None found yet" in words(soup)
            assert re.search(r"Only messages back to .+? were looked through\.", words(soup))
            assert "Look further back" in words(soup)
        path = str(onward["href"]) if isinstance(onward, Tag) else None
    assert (found, pages) == ([f"/messages/{rare}"], 3)


def test_a_count_that_is_not_known_is_not_promised_as_an_export(
    browser: Browser, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "LOOKED_THROUGH", 2)
    for _ in range(5):
        add_message(database, datetime.now(UTC), sender_id="Rare")
    assert "Export all that match" in words(browser.soup("/messages?sender=Rare"))
    assert "Export 5 messages" in words(browser.soup("/messages"))


def test_a_filter_s_empty_fields_do_not_stay_in_the_address(browser: Browser) -> None:
    answer = browser.get("/messages?carrier=korek&channel=&type=&source=&from=&to=2026-11-20T00:00&_external=")
    assert (answer.status_code, answer.location) == (303, "/messages?carrier=korek&to=2026-11-20T00:00")


# A search


def test_the_address_of_a_number_that_none_was_sent_to_leads_to_where_one_searches(browser: Browser) -> None:
    found = browser.submit(form_to(browser.soup("/messages"), "/messages/search"), q="07707654322")
    assert (found.status_code, "Nothing matches" in words(found)) == (200, True)
    again = browser.get("/messages/search")
    assert (again.status_code, again.location) == (303, "/messages")


@pytest.mark.parametrize(
    ("typed", "understood"),
    [
        ("٠٧٧٠ ٧٦٥ ٤٣٢١", "to +964 770 ••• 4321"),
        ("٠٧٧٠ ٧٦٥ ٤٣٢٢", "the number +964 770 ••• 4322, Asiacell Clear the search"),
        ("٤٣٢١", "numbers that end in 4321 Clear the search"),
        ("order-7", "the smsId or reference order-7 Clear the search"),
        (ANY_ID, f"the message id {ANY_ID} Clear the search"),
    ],
)
def test_results_say_what_was_understood(
    search: Callable[[str], BeautifulSoup], database: Database, typed: str, understood: str
) -> None:
    add_message(database, datetime.now(UTC), phone=PHONE, phone_end="4321", reference="order-7")
    assert [chip for chip in chips_of(search(typed)) if chip.startswith(understood)]


def test_results_say_how_many_there_are(search: Callable[[str], BeautifulSoup], database: Database) -> None:
    for second in range(60):
        at = datetime.now(UTC) - timedelta(seconds=second)
        add_message(database, at, phone=PHONE, phone_end="4321")
    assert "60 messages Export 60 messages" in words(search("4321"))


def test_a_search_leads_to_newer_and_older_ones(
    browser: Browser, search: Callable[[str], BeautifulSoup], database: Database
) -> None:
    start = datetime.now(UTC) - timedelta(hours=1)
    ids = [add_message(database, start + timedelta(seconds=n), phone=PHONE, phone_end="4321") for n in range(60)]
    first = search(PHONE)
    older = turn(browser, first, "next")
    newer = turn(browser, older, "prev")
    assert rows_of(first) + rows_of(older) == [f"/messages/{message_id}" for message_id in ids[::-1]]
    assert rows_of(newer) == rows_of(first)
    for page in (first, older, newer):
        assert not [spelling for spelling in SPELLINGS if spelling in str(page)]


def turn(browser: Browser, page: BeautifulSoup, way: str) -> BeautifulSoup:
    (link,) = page.select(f"nav.pager a[rel={way}]")
    return browser.soup(str(link["href"]))


def test_an_odd_place_in_a_search_is_a_400_page(browser: Browser) -> None:
    form = form_to(browser.soup("/messages"), "/messages/search")
    found = str(browser.submit(form, q="order-7").location)
    for field in ("before", "after"):
        answer = browser.get(f"{found}?{field}=zzz")
        assert (answer.status_code, f"{field}: must be" in words(answer)) == (400, True)


def test_a_search_has_an_address_of_its_own_for_who_searched_and_for_a_day(
    app: Flask, browser: Browser, database: Database
) -> None:
    message = add_message(database, datetime.now(UTC), reference="order-7")
    found = str(browser.submit(form_to(browser.soup("/messages"), "/messages/search"), q="order-7").location)
    assert re.fullmatch(r"/messages/search/[0-9a-f-]{36}", found)
    for _ in range(2):  # as after a look at another page, and back
        assert rows_of(browser.soup(found)) == [f"/messages/{message}"]
    assert Browser(sign_in(app, "dilan")).get(found).status_code == 404
    (kept,) = all_rows(database, Search)
    tomorrow = datetime.now(UTC) + timedelta(hours=25)
    assert searches.find(database, kept.user_id, kept.id, tomorrow) is None
    searches.forget(database, tomorrow)
    answer = browser.get(found)
    assert (answer.status_code, "search again" in words(answer)) == (404, True)


# One message


@pytest.mark.parametrize(
    ("trace", "title"),
    [
        ('{"smsId": "s", "status": "failed", "lastChannel": "sms", "isFinalStatus": true}', "SMS: failed, final"),
        ('{"smsId": "s", "status": "pending"}', "pending"),
        ('{"smsId": "s", "status": "fai', "failed, not final"),
    ],
)
def test_an_answer_to_our_question_is_told_as_otpiq_gave_it(
    browser: Browser, database: Database, trace: str, title: str
) -> None:
    now = datetime.now(UTC)
    message = add_message(database, now)
    word = "pending" if "pending" in trace else "failed"
    told = {"kind": "tracking", "outcome": "ok", "words": word, "http_status": 200, "trace": trace, "changed": True}
    with database.transaction() as session:
        session.add(Exchange(id=new_id(now), message_id=message, at=now + timedelta(seconds=1), **told))
    steps = browser.soup(f"/messages/{message}").select(".timeline h3")
    assert steps[-1].get_text() == title


def test_a_channel_without_an_outcome_is_not_said_to_have_lasted(browser: Browser, database: Database) -> None:
    now = datetime.now(UTC)
    message = add_message(database, now, facts=[Fact(at=now, word="sent", channel="sms")])
    words_of_strip = [text.get_text() for text in browser.soup(f"/messages/{message}").select(".strip.wide .words")]
    assert words_of_strip == ["no outcome known"]


def test_all_messages_to_the_same_number_are_one_click_away(browser: Browser, database: Database) -> None:
    now = datetime.now(UTC)
    first, second = add_message(database, now, phone=PHONE), add_message(database, now, phone=PHONE)
    add_message(database, now)
    (link,) = browser.soup(f"/messages/{first}").select("a[href^='/messages?like=']")
    assert set(rows_of(browser.soup(str(link["href"])))) == {f"/messages/{first}", f"/messages/{second}"}


def test_money_is_told_in_its_parts(browser: Browser, database: Database) -> None:
    now = datetime.now(UTC)
    in_doubt = add_message(database, now, send_state="unconfirmed", estimate_iqd=60)
    paid = add_message(database, now, facts=[Fact(at=now, cost_iqd=80)], estimate_iqd=60)
    assert "Estimate ~60 IQD Charged not known At risk 60 IQD" in words(browser.get(f"/messages/{in_doubt}"))
    page = words(browser.get(f"/messages/{paid}"))
    assert "Estimate ~60 IQD Charged 80 IQD" in page
    assert "At risk" not in page


def test_the_text_for_support_tells_how_long_a_channel_took_but_not_where_the_beginning_is_not_known(
    browser: Browser, database: Database
) -> None:
    at = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
    facts = [
        Fact(at=at, sms_id="sms-7", word="failed", channel="whatsapp"),
        Fact(at=at + timedelta(seconds=4.2), word="delivered", channel="sms", is_final=True),
    ]
    message_id = add_message(database, at, facts=facts)
    text = browser.soup(f"/messages/{message_id}").select_one("#support-text")
    assert text is not None
    assert text.text == ("sms-7, 22 Nov 2026 12:00:00 (UTC+3), Asiacell: WhatsApp failed, SMS delivered after 4.2 s.")


def test_a_callback_is_replayed_from_its_message_s_page(browser: Browser, database: Database) -> None:
    now = datetime.now(UTC)
    message_id = add_message(database, now)
    receiving.receive(database, [arrival(message_id, callback("sent"), now)])
    (form,) = browser.soup(f"/messages/{message_id}").select("form[action$='/replay']")
    answer = browser.submit(form)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/messages/{message_id}")
    assert "Nothing changed." in words(browser.get(f"/messages/{message_id}"))


def test_a_replay_never_leads_to_another_host(browser: Browser, database: Database) -> None:
    message_id = add_message(database, datetime.now(UTC))
    receiving.receive(database, [arrival(message_id, callback("sent"), datetime.now(UTC))])
    (form,) = browser.soup(f"/messages/{message_id}").select("form[action$='/replay']")
    assert browser.submit(form, next="//evil.example").headers["Location"] == "/"


def test_the_command_to_try_it_again_holds_neither_key_nor_number_nor_code(app: Flask, browser: Browser) -> None:
    house = app.extensions["wasl"]
    asked = parse_send({"smsType": "verification", "phoneNumber": PHONE, "verificationCode": "493817"})
    outcome = sending.send(
        house.database, house.otpiq, house.stamper, asked, sending.Asked(by="user:sara"), lambda: datetime.now(UTC)
    )
    command = browser.soup(f"/messages/{outcome.message_id}").select_one("#curl-text")
    assert command is not None
    assert command.text.startswith("curl -X POST https://wasl.example.iq/api/sms")
    assert ('"verificationCode": "CODE"' in command.text, '"phoneNumber": "PHONE_NUMBER"' in command.text) == (
        True,
        True,
    )
    assert not re.search(r"493817|\d{9}|sk_live|webhookUrl", command.text)


def test_quotes_in_a_text_do_not_end_the_command(browser: Browser, database: Database) -> None:
    request = {"smsType": "custom", "customMessage": "it's $(rm -rf) `x`"}
    message_id = add_message(database, datetime.now(UTC), sms_type="custom", request=request)
    command = browser.soup(f"/messages/{message_id}").select_one("#curl-text")
    assert command is not None
    assert """it'"'"'s $(rm -rf) `x`""" in command.text
