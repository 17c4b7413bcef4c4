"""What people do with sources and with the self-test in a browser without JavaScript; on both stores."""

import re
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from bs4 import BeautifulSoup, Tag
from flask import Flask

from webhook_app import probing, receiving, sources
from webhook_app.database import Database
from webhook_app.models import Message
from webhook_app.probing import Broken, Probe
from webhook_app.settings import Settings
from webhook_app.stamp import Stamp

from .browsing import Browser, form_to, words
from .conftest import make_config, sign_in
from .rows import all_rows, arrival, callback
from .running import free_port


@pytest.fixture
def config(store_url: str, tmp_path: Path) -> Settings:
    """Nothing listens at its public address."""
    return make_config(store_url, tmp_path, WASL_PUBLIC_URL=f"https://127.0.0.1:{free_port()}")


@pytest.fixture
def browser(app: Flask) -> Browser:
    return Browser(sign_in(app))


@pytest.fixture
def shop(database: Database) -> UUID:
    return sources.add(database, "shop", datetime.now(UTC)).id


def card(browser: Browser, source_id: UUID) -> Tag:
    found = browser.soup("/sources").find(id=f"source-{source_id}")
    assert isinstance(found, Tag)
    return found


def press(browser: Browser, source_id: UUID, label: str) -> BeautifulSoup:
    """The page after that button of the source's card."""
    (form,) = [form for form in card(browser, source_id).select("form") if label in form.text]
    answer = browser.submit(form)
    assert answer.status_code == 303
    return browser.soup(str(answer.location))


def buttons(browser: Browser, source_id: UUID) -> list[str]:
    return [" ".join(button.text.split()) for button in card(browser, source_id).select("form button")]


def shown_secret(browser: Browser, source_id: UUID) -> str:
    return str(card(browser, source_id).select_one(f"#secret-{source_id}").text)  # type: ignore[union-attr]


def come(database: Database, address_id: UUID, *bodies: bytes) -> None:
    receiving.receive(database, [arrival(address_id, body, datetime.now(UTC)) for body in bodies])


def test_a_new_address_is_made_the_old_one_retired_and_used_again(browser: Browser, shop: UUID) -> None:
    old = shown_secret(browser, shop)
    assert buttons(browser, shop) == ["Test it with a probe", "New URL and secret", "Pause"]
    page = words(press(browser, shop, "New URL and secret"))
    assert "Put the new URL and secret into the program. Until you retire the old ones, both work." in page
    new = shown_secret(browser, shop)
    assert new != old
    assert "Nothing came by either yet." in card(browser, shop).text
    assert buttons(browser, shop) == ["Retire the old address", "Test it with a probe", "Pause"]
    assert "what still comes there is kept" in words(press(browser, shop, "Retire the old address"))
    assert buttons(browser, shop) == ["Use it again", "Test it with a probe", "New URL and secret", "Pause"]
    assert "The address is in use again." in words(press(browser, shop, "Use it again"))
    assert shown_secret(browser, shop) == new
    assert buttons(browser, shop)[0] == "Retire the old address"


def test_the_snippets_hold_the_new_address(browser: Browser, shop: UUID) -> None:
    press(browser, shop, "New URL and secret")
    secret = shown_secret(browser, shop)
    snippets = card(browser, shop).select(".snippets pre")
    assert len(snippets) == 4
    assert all(secret in snippet.text for snippet in snippets)


def test_it_is_said_which_address_the_program_uses(browser: Browser, database: Database, shop: UUID) -> None:
    press(browser, shop, "New URL and secret")
    come(database, shop, callback())
    assert "The newest message still came by the old one." in card(browser, shop).text
    url = card(browser, shop).select_one(f"#url-{shop}").text  # type: ignore[union-attr]
    come(database, UUID(url.rpartition("/")[2]), callback(smsId="sms-2"))
    assert "The newest message came by the new one." in card(browser, shop).text


def test_a_retired_address_that_is_still_called_says_so_and_is_used_again_with_what_came(
    browser: Browser, database: Database, shop: UUID
) -> None:
    press(browser, shop, "New URL and secret")
    come(database, shop, callback())
    press(browser, shop, "Retire the old address")
    assert "still called" not in card(browser, shop).text
    come(database, shop, callback("delivered"), callback(smsId="sms-2"))
    assert "still called" in card(browser, shop).text
    assert "2 callbacks came since" in card(browser, shop).text
    assert "2 callbacks were taken in." in words(press(browser, shop, "Use it again"))
    assert sorted(row.status for row in all_rows(database, Message)) == ["delivered", "sent"]


def test_of_a_third_address_by_which_the_newest_message_came_it_is_not_said_that_nothing_came(
    browser: Browser, database: Database, shop: UUID
) -> None:
    press(browser, shop, "New URL and secret")
    middle = UUID(card(browser, shop).select_one(f"#url-{shop}").text.rpartition("/")[2])  # type: ignore[union-attr]
    come(database, middle, callback())
    press(browser, shop, "Retire the old address")
    press(browser, shop, "New URL and secret")
    press(browser, shop, "Retire the old address")
    sources.restore(database, shop, shop)
    assert "The newest message came by an address that is retired." in card(browser, shop).text


def test_the_self_test_of_a_paused_source_says_that_it_is(browser: Browser, shop: UUID) -> None:
    press(browser, shop, "Pause")
    (form,) = [form for form in card(browser, shop).select("form") if "probe" in form.text]
    assert "Paused since" in words(browser.submit(form))


def test_a_source_is_paused_and_goes_on_with_what_was_held(browser: Browser, database: Database, shop: UUID) -> None:
    press(browser, shop, "Pause")
    assert "Paused" in card(browser, shop).select_one("h2").text  # type: ignore[union-attr]
    come(database, shop, callback("sent"), callback("delivered", smsId="sms-2"))
    assert "2 callbacks are held." in card(browser, shop).text
    assert all_rows(database, Message) == []
    assert "2 callbacks were taken in." in words(press(browser, shop, "Go on, and take in what is held"))
    assert sorted(row.status for row in all_rows(database, Message)) == ["delivered", "sent"]
    assert card(browser, shop).select(".notice") == []


def test_what_is_still_held_after_a_pause_is_taken_in_by_a_button(
    browser: Browser, database: Database, shop: UUID
) -> None:
    sources.pause(database, shop, datetime.now(UTC))
    come(database, shop, callback())
    sources.resume(database, shop)
    assert "1 callback is held." in card(browser, shop).text
    assert "1 callback was taken in." in words(press(browser, shop, "Take in what is held"))


@pytest.mark.parametrize("act", ["pause", "retire"])
def test_a_held_callback_says_why_it_did_nothing_and_what_to_do(
    browser: Browser, database: Database, shop: UUID, act: str
) -> None:
    now = datetime.now(UTC)
    if act == "pause":
        sources.pause(database, shop, now)
    else:
        sources.rotate(database, shop, now)
        sources.retire(database, shop, shop, now)
    come(database, shop, callback())
    told = {
        "pause": ("its source is paused", "Let the source go on"),
        "retire": ("a retired address", "retired before"),
    }
    (row,) = browser.soup("/callbacks").select("tbody[data-rows] tr")
    assert f"Kept: {told[act][0]}" in words(BeautifulSoup(str(row), "html.parser"))
    page = words(browser.soup(str(row.select_one("a")["href"])))  # type: ignore[index]
    assert "It is held back." in page
    assert told[act][1] in page


def test_a_button_pressed_once_more_in_an_old_window_says_what_stands_against_it(browser: Browser, shop: UUID) -> None:
    (form,) = [form for form in card(browser, shop).select("form") if "New URL" in form.text]
    browser.submit(form)
    answer = browser.submit(form)
    assert answer.status_code == 303
    assert "Two addresses are in use. Retire the old one first." in words(browser.soup(str(answer.location)))


@pytest.mark.parametrize("act", ["rotate", "pause", "resume", "addresses/{0}/retire", "addresses/{0}/restore"])
def test_what_is_not_there_is_404(browser: Browser, shop: UUID, act: str) -> None:
    form = form_to(browser.soup("/sources"), f"/sources/{shop}/pause")
    form["action"] = f"/sources/{uuid4()}/{act.format(uuid4())}"
    answer = browser.submit(form)
    assert answer.status_code == 404
    assert "There is no such source or address." in words(answer)


def test_the_self_test_shows_each_link_and_where_the_way_is_broken(
    browser: Browser, shop: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Stamp] = []

    def redirected(stamp: Stamp) -> Probe:
        asked.append(stamp)
        there = Broken(link="path", kind="redirect", told="https://www.wasl.example.iq/in")
        until = datetime(2027, 3, 1, tzinfo=UTC)
        return Probe(url=stamp.url, broken=there, took_s=0.2, links=probing.LINKS, valid_until=until)

    monkeypatch.setattr(probing, "probe", redirected)
    page = browser.soup("/callbacks/self-test")
    options = {option.text: option["value"] for option in page.select("option")}
    assert list(options) == ["Of messages sent from here", "Source: shop"]
    form = form_to(page, "/callbacks/self-test")
    answer = browser.submit(form, address=str(options["Source: shop"]))
    assert answer.status_code == 200
    assert asked[0].url.endswith(str(shop))
    soup = BeautifulSoup(answer.data, "html.parser")
    assert soup.select_one("option[selected]").text == "Source: shop"  # type: ignore[union-attr]
    links = [re.sub(r"[\u2066-\u2069]", "", " ".join(link.get_text(" ").split())) for link in soup.select(".steps li")]
    assert links[:4] == [
        "Name (DNS) The name leads to an address.",
        "Connection Something listens there.",
        "Certificate (TLS) It is trusted, and good until 1 Mar 2027.",
        "Path It was sent on to https://www.wasl.example.iq/in. OTPIQ does not follow. Set WASL_PUBLIC_URL to the "
        "address that answers by itself.",
    ]
    assert [link.rpartition(" Not reached.")[0] for link in links[4:]] == ["Secret", "Body", "Time"]
    assert [link["class"] for link in soup.select(".steps li")] == [["ok"]] * 3 + [["bad"]] + [["few"]] * 3
    browser.submit(form)
    assert not asked[1].url.endswith(str(shop))


def test_where_no_answer_came_nothing_is_said_of_what_only_an_answer_tells(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(stamp: Stamp) -> Probe:
        late = Broken(link="time", kind="late", told="10")
        return Probe(url=stamp.url, broken=late, took_s=10.0, links=probing.LINKS, valid_until=None)

    monkeypatch.setattr(probing, "probe", silent)
    answer = browser.submit(form_to(browser.soup("/callbacks/self-test"), "/callbacks/self-test"))
    soup = BeautifulSoup(answer.data, "html.parser")
    links = [re.sub(r"[\u2066-\u2069]", "", " ".join(link.get_text(" ").split())) for link in soup.select(".steps li")]
    assert links[2:6] == ["Certificate (TLS) It is trusted.", "Path Not known.", "Secret Not known.", "Body Not known."]
    assert links[6].startswith("Time No answer came within 10 s.")


def test_a_source_is_tested_from_its_card_and_nobody_listening_is_said_so(browser: Browser, shop: UUID) -> None:
    (form,) = [form for form in card(browser, shop).select("form") if "probe" in form.text]
    page = words(browser.submit(form))
    assert "The way in is broken" in page
    assert "Nothing listens there." in page
    assert "Callbacks get here whole" not in page


@pytest.mark.parametrize("address", ["odd", "01934f3c-0000-7000-8000-000000000001"])
def test_an_address_that_is_no_source_s_is_refused(browser: Browser, address: str) -> None:
    answer = browser.submit(form_to(browser.soup("/callbacks/self-test"), "/callbacks/self-test"), address=address)
    assert answer.status_code == 400
    assert "address: " in words(answer)
