"""In which language a reader is spoken to, how they change it, and what a native reader may do to a catalogue."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from bs4 import BeautifulSoup, Tag
from flask import Flask
from flask.testing import FlaskClient
from flask_babel import ngettext
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from webhook_app.web import catalogues
from webhook_app.web.formats import numbers

from .browsing import Browser, form_to
from .conftest import HTTPS, PASSWORD, PUBLIC_URL, csrf_token

ARABIC, SORANI = {"Accept-Language": "ar-IQ,ar;q=0.9,en;q=0.5"}, {"Accept-Language": "ckb"}


def spoken(answer: TestResponse) -> tuple[object, object]:
    root = BeautifulSoup(answer.data, "html.parser").html
    assert isinstance(root, Tag)
    return root["lang"], root["dir"]


def choose(client: FlaskClient, locale: str, path: str = "/sign-in") -> TestResponse:
    data = {"language": locale, "next": path, "csrf_token": csrf_token(client)}
    return client.post("/language", data=data, **HTTPS)


@pytest.mark.parametrize(
    ("asked", "heard"),
    [
        ("ar-IQ,ar;q=0.9,en;q=0.8", ("ar-IQ", "rtl")),
        ("AR", ("ar-IQ", "rtl")),
        ("ckb", ("ckb-IQ", "rtl")),
        ("ku-Arab-IQ", ("ckb-IQ", "rtl")),
        ("fr,ckb;q=0.4,en;q=0.3", ("ckb-IQ", "rtl")),
        ("en-GB,ar;q=0.5", ("en", "ltr")),
        ("ar;q=0,en;q=0.1", ("en", "ltr")),
        ("fr,de", ("en", "ltr")),
        ("", ("en", "ltr")),
        (";;;q=x,,", ("en", "ltr")),
    ],
)
def test_a_browser_gets_the_first_language_it_asks_for_that_is_known(
    client: FlaskClient, asked: str, heard: tuple[str, str]
) -> None:
    answer = client.get("/sign-in", base_url=PUBLIC_URL, headers={"Accept-Language": asked})
    assert spoken(answer) == heard


def test_what_was_chosen_in_this_browser_counts_for_more_than_what_it_asks_for(client: FlaskClient) -> None:
    assert choose(client, "ckb_IQ").status_code == 303
    assert spoken(client.get("/sign-in", base_url=PUBLIC_URL, headers=ARABIC)) == ("ckb-IQ", "rtl")


def test_a_user_s_choice_goes_with_them_to_another_browser(visitor: FlaskClient, app: Flask) -> None:
    choose_signed_in(visitor, "ar_IQ")
    other = app.test_client()
    choose(other, "ckb_IQ")
    data = {"name": "sara", "password": PASSWORD, "csrf_token": csrf_token(other)}
    other.post("/sign-in", data=data, **HTTPS)
    assert spoken(other.get("/", base_url=PUBLIC_URL)) == ("ar-IQ", "rtl")


def choose_signed_in(visitor: FlaskClient, locale: str) -> TestResponse:
    browser = Browser(visitor)
    return browser.submit(form_to(browser.soup("/messages?status=failed"), "/language"), language=locale)


def test_choosing_leads_back_to_where_the_reader_was(visitor: FlaskClient) -> None:
    assert choose_signed_in(visitor, "ar_IQ").location == "/messages?status=failed"


def test_choosing_never_leads_to_another_host(client: FlaskClient) -> None:
    assert choose(client, "ar_IQ", "//evil.example").location == "/"


def test_a_page_that_came_by_post_leads_back_to_the_one_above_it(visitor: FlaskClient) -> None:
    browser = Browser(visitor)
    refused = browser.submit(form_to(browser.soup("/settings"), "/settings/budgets#budgets"), month="much")
    assert refused.status_code == 400
    form = form_to(BeautifulSoup(refused.data, "html.parser"), "/language")
    assert browser.submit(form, language="ar_IQ").location == "/settings"


def test_an_unknown_language_is_refused_by_name(client: FlaskClient) -> None:
    answer = choose(client, "tlh")
    assert answer.status_code == 400
    assert "language: must be one of en, ar_IQ, ckb_IQ" in answer.text
    assert "Set-Cookie" not in answer.headers or "wasl_language" not in answer.headers["Set-Cookie"]


def test_a_cookie_with_another_word_is_overlooked(client: FlaskClient) -> None:
    client.set_cookie("wasl_language", "../../etc", domain="wasl.example.iq")
    assert spoken(client.get("/sign-in", base_url=PUBLIC_URL)) == ("en", "ltr")


def test_every_page_offers_each_language_in_its_own_name(visitor: FlaskClient, app: Flask) -> None:
    pages = [visitor.get("/", base_url=PUBLIC_URL), visitor.get("/nope", base_url=PUBLIC_URL)]
    pages += [app.test_client().get("/sign-in", base_url=PUBLIC_URL), app.test_client().get("/nope")]
    for page in pages[:3]:
        form = form_to(BeautifulSoup(page.data, "html.parser"), "/language")
        assert [(button["lang"], button["dir"], button.text) for button in form.select("button")] == [
            ("en", "ltr", "English"),
            ("ar-IQ", "rtl", "العربية"),
            ("ckb-IQ", "rtl", "کوردی"),
        ]


def test_programs_read_english_whatever_they_ask_for(client: FlaskClient) -> None:
    answer = client.get("/api/nope", base_url=PUBLIC_URL, headers=ARABIC)
    assert answer.json == {"message": "No page has this address."}


def test_error_pages_speak_the_reader_s_language_too(visitor: FlaskClient) -> None:
    answer = visitor.get("/messages?status=x", base_url=PUBLIC_URL, headers=SORANI)
    assert answer.status_code == 400
    assert spoken(answer) == ("ckb-IQ", "rtl")
    assert "دەبێت یەکێک بێت لە" in answer.text


@pytest.mark.parametrize(
    ("num", "text"),
    [
        (1, "قبل يوم واحد"),
        (2, "قبل يومين"),
        (3, "قبل 3 أيام"),
        (10, "قبل 10 أيام"),
        (11, "قبل 11 يومًا"),
        (99, "قبل 99 يومًا"),
        (100, "قبل 100 يوم"),
        (103, "قبل 103 أيام"),
    ],
)
def test_arabic_counts_in_its_six_forms(app: Flask, num: int, text: str) -> None:
    with app.test_request_context(headers=ARABIC):
        assert ngettext("%(num)s day ago", "%(num)s days ago", num) == text


def test_nothing_at_all_has_a_form_of_its_own_in_arabic(app: Flask) -> None:
    with app.test_request_context(headers=ARABIC):
        assert ngettext("%(count)s message", "%(count)s messages", 0, count="0") == "لا رسائل"


def test_the_sign_of_a_gap_stays_before_its_number_in_every_language(app: Flask) -> None:
    for headers in ({}, ARABIC, SORANI):
        with app.test_request_context(headers=headers):
            assert "\u2066+2.1\u2069" in numbers.gap(2.14)
            assert numbers.gap(185).count("+") == 1


def test_days_carry_the_month_s_name_of_iraq_and_western_digits(app: Flask) -> None:
    at = datetime(2026, 11, 22, 21, 30, tzinfo=UTC)
    zone = app.extensions["wasl"].settings.time_zone
    with app.test_request_context(headers=ARABIC):
        assert numbers.day(at, zone) == "23 تشرين الثاني 2026"
    with app.test_request_context(headers=SORANI):
        assert numbers.day(at, zone) == "23 تشرینی دووەم 2026"


def test_the_names_of_a_catalogue_are_read_from_its_text_file_at_start(tmp_path: Path) -> None:
    path = tmp_path / "messages.po"
    path.write_text('msgid ""\nmsgstr ""\n\nmsgid "Send"\nmsgstr "إرسال"\n')
    assert catalogues.read(path, "ar_IQ").gettext("Send") == "إرسال"


@pytest.mark.parametrize("broken", [b'msgid "Send"\nmsgstr[x] "a"\n', b"nonsense\n", b"\xff\xfe"])
def test_a_broken_file_leaves_its_language_in_english_and_says_so(tmp_path: Path, broken: bytes) -> None:
    path = tmp_path / "messages.po"
    path.write_bytes(broken)
    with capture_logs() as said:
        assert catalogues.read(path, "ar_IQ").gettext("Send") == "Send"
    assert [line["event"] for line in said] == ["translation.unreadable"]


@pytest.mark.parametrize("wrong", ["إلى %(nmae)s", "إلى %(name)s، 50%", "إلى %(name)", "إلى {name}"])
def test_a_text_that_would_break_its_page_is_left_in_english(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "messages.po"
    path.write_text(f'msgid "To %(name)s"\nmsgstr "{wrong}"\n\nmsgid "Send"\nmsgstr "إرسال"\n')
    texts = catalogues.read(path, "ar_IQ")
    assert (texts.gettext("To %(name)s"), texts.gettext("Send")) == ("To %(name)s", "إرسال")
