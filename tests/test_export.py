"""Exports: every message that matches and no other, as a spreadsheet reads it, in little memory and nobody's way."""

import csv
import gc
import io
import re
import tracemalloc
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from bs4 import BeautifulSoup, Tag
from flask import Flask
from sqlalchemy import insert
from werkzeug.test import TestResponse

from webhook_app import receiving
from webhook_app.database import Database
from webhook_app.figures import Filter, export_batches
from webhook_app.ids import new_id
from webhook_app.models import Message, Reveal
from webhook_app.status import NOTHING, Fact, to_json
from webhook_app.web import xlsx
from webhook_app.web.spreadsheets import csv_pieces
from webhook_app.web.xlsx import XLSX_TYPE, xlsx_pieces

from .browsing import PHONE, Browser, words
from .conftest import HTTPS, sign_in
from .rows import add_message, all_rows, arrival, callback

NOON = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)  # 12:00 in Baghdad
CELL = re.compile(r"[A-Z]+")
NAMESPACE = {"x": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}


@pytest.fixture
def browser(app: Flask) -> Browser:
    return Browser(sign_in(app))


def form_on(browser: Browser, path: str = "/messages") -> Tag:
    form = browser.soup(path).select_one("form.export-form")
    assert form is not None
    return form


def lines_of(answer: TestResponse) -> list[dict[str, str]]:
    assert (answer.status_code, answer.mimetype) == (200, "text/csv")
    text = answer.get_data().decode("utf-8-sig")
    answer.close()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def cells_of(answer: TestResponse) -> list[dict[str, tuple[str | None, str | None]]]:
    """Of the first sheet: each cell's kind and contents by its column."""
    with zipfile.ZipFile(io.BytesIO(answer.get_data())) as book:
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    answer.close()
    assert not sheet.findall(".//x:f", NAMESPACE)  # no formula anywhere
    return [
        {
            CELL.match(cell.get("r", ""))[0]: (
                cell.get("t"),
                cell.findtext(".//x:t", None, NAMESPACE) or cell.findtext("x:v", None, NAMESPACE),
            )  # type: ignore[index]
            for cell in row.findall("x:c", NAMESPACE)
        }
        for row in sheet.findall(".//x:row", NAMESPACE)
    ]


def bare(number: int) -> dict[str, Any]:
    at = NOON - timedelta(seconds=number)
    common = {"asked_by": "test", "is_sample": False, "carrier": "zain", "sms_type": "custom", "phone": PHONE}
    derived = {"send_state": "accepted", "status": "accepted", "closed": False, "delivery": to_json(NOTHING)}
    return {"id": new_id(at), "created_at": at} | common | derived


def add_many(database: Database, count: int) -> None:
    with database.transaction() as session:
        session.execute(insert(Message), [bare(number) for number in range(count)])


# What is in the file


def test_a_line_says_what_the_page_says_in_local_time_with_the_zone_in_its_head(
    browser: Browser, database: Database
) -> None:
    facts = [
        Fact(at=NOON + timedelta(seconds=3), word="failed", channel="whatsapp"),
        Fact(at=NOON + timedelta(seconds=7), word="delivered", channel="sms", sms_id="sms-7", cost_iqd=80),
    ]
    message_id = add_message(database, NOON, facts=facts, phone=PHONE, reference="طلب 7", estimate_iqd=60)
    (line,) = lines_of(browser.submit(form_on(browser), format="csv"))
    assert line == {
        "Asked for at, Baghdad (UTC+3)": "2026-11-20 12:00:00",
        "To": "964 770 ••• 4321",
        "Carrier": "Asiacell",
        "Type": "Code",
        "Sender": "",
        "Source": "",
        "Asked by": "key:checkout",
        "Reference": "طلب 7",
        "Status": "Delivered",
        "Channel": "SMS",
        "Channels tried": "WhatsApp: failed, SMS: delivered",
        "Reason": "",
        "Took, seconds": "7.0",
        "Charged, IQD": "80",
        "Estimate, IQD": "60",
        "At risk, IQD": "0",
        "OTPIQ's smsId": "sms-7",
        "Message id": str(message_id),
    }


def test_what_is_exported_is_what_the_filter_shows(browser: Browser, database: Database) -> None:
    wanted = [
        add_message(database, NOON + timedelta(seconds=n), carrier="korek", facts=[Fact(at=NOON, word="sent")])
        for n in range(3)
    ]
    add_message(database, NOON, carrier="korek")
    add_message(database, NOON, carrier="zain", facts=[Fact(at=NOON, word="sent")])
    form = form_on(browser, "/messages?status=sent&carrier=korek")
    assert [line["Message id"] for line in lines_of(browser.submit(form, format="csv"))] == [
        str(message_id) for message_id in wanted[::-1]
    ]


@pytest.mark.parametrize("typed", ["0770 765 4321", "4321", "order-7"])
def test_a_search_is_exported_without_its_number_in_any_address(
    browser: Browser, database: Database, typed: str
) -> None:
    wanted = add_message(database, NOON, phone=PHONE, phone_end="4321", reference="order-7")
    add_message(database, NOON)
    found = browser.search(typed)
    form = BeautifulSoup(found.data, "html.parser").select_one("form.export-form")
    assert form is not None
    (line,) = lines_of(browser.submit(form, format="csv"))
    assert line["Message id"] == str(wanted)
    assert not [path for path in browser.visited if "4321" in path]


def test_every_message_is_in_it_once_and_none_that_came_later(browser: Browser, database: Database) -> None:
    add_many(database, 2_500)
    batches = export_batches(database, Filter().lanes(browser_zone(browser)))
    first = next(batches)
    add_message(database)
    ids = [row.id for batch in (first, *batches) for row in batch]
    assert ids == [row.id for row in all_rows(database, Message) if row.asked_by == "test"][::-1]


def test_with_nothing_to_export_the_head_still_comes(browser: Browser) -> None:
    form = form_on(browser, "/messages/export?status=failed")
    assert lines_of(browser.submit(form, format="csv")) == []
    assert len(cells_of(browser.submit(form, format="xlsx"))) == 1


def test_the_button_says_how_many(browser: Browser, database: Database) -> None:
    add_many(database, 1_204)
    assert "Export 1,204 messages" in words(browser.get("/messages"))
    assert "Export 1 message " in words(browser.get(f"/messages?like={add_message(database, phone='9647800000001')}"))


# A spreadsheet


NASTY = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "＝1")
ZEROS = ("000123", "1e5", "12345678901234567890", "2026-11-22", "1/2")


@pytest.mark.parametrize("text", NASTY + ZEROS)
def test_text_stays_text_in_csv(text: str) -> None:
    (line,) = csv.reader(io.StringIO(b"".join(csv_pieces([text], [])).decode("utf-8-sig"), newline=""))
    assert line == [f"'{text}"]


@pytest.mark.parametrize("text", ["order-7", "طلب 7", "sms-000123", "964 770 123 4567", "a=1", ""])
def test_what_no_spreadsheet_misreads_stays_as_it_is(text: str) -> None:
    assert list(csv.reader(io.StringIO(b"".join(csv_pieces(["x"], [[text, 1]])).decode()))) == [
        ["\ufeffx"],
        [text, "1"],
    ]


def test_excel_is_told_what_is_text_what_is_a_number_and_what_a_time(browser: Browser, database: Database) -> None:
    add_message(database, NOON, reference="=1+1", sender_id="000123", charged_iqd=80, phone=PHONE)
    answer = browser.submit(form_on(browser), format="xlsx")
    assert answer.mimetype == XLSX_TYPE
    head, line = cells_of(answer)
    column = {name: letter for letter, (_kind, name) in head.items()}
    assert line[column["Reference"]] == ("inlineStr", "=1+1")
    assert line[column["Sender"]] == ("inlineStr", "000123")
    assert line[column["To"]] == ("inlineStr", "964 770 ••• 4321")
    assert line[column["Estimate, IQD"]][1] is None if column["Estimate, IQD"] in line else True
    kind, days = line[column["Asked for at, Baghdad (UTC+3)"]]
    assert (kind, float(days or 0)) == (None, 46346.5)  # days since 1899-12-30: 2026-11-20 12:00


def test_more_rows_than_a_sheet_holds_go_on_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx, "_ROWS_A_SHEET", 2)
    file = b"".join(xlsx_pieces("Messages", ["n"], ([n] for n in range(5))))
    with zipfile.ZipFile(io.BytesIO(file)) as book:
        assert [name for name in book.namelist() if "worksheets/sheet" in name] == [
            f"xl/worksheets/sheet{n}.xml" for n in (1, 2, 3)
        ]


# Whole numbers


def test_whole_numbers_need_a_reason_which_is_kept(browser: Browser, database: Database) -> None:
    add_message(database, NOON, phone=PHONE)
    form = form_on(browser, "/messages?carrier=asiacell")
    (line,) = lines_of(browser.submit(form, format="csv", why="monthly report"))
    assert line["To"] == "964 770 765 4321"
    (kept,) = all_rows(database, Reveal)
    assert (kept.user_name, kept.why, kept.chosen, kept.message_id) == (
        "sara",
        "monthly report",
        "carrier=asiacell",
        None,
    )
    assert "sara monthly report" in words(browser.get("/messages/export"))


def test_the_record_of_an_exported_search_holds_no_number(browser: Browser, database: Database) -> None:
    message_id = add_message(database, NOON, phone=PHONE, phone_end="4321")
    for typed in (PHONE, "4321"):
        found = browser.search(typed)
        form = BeautifulSoup(found.data, "html.parser").select_one("form.export-form")
        assert form is not None
        browser.submit(form, format="csv", why="monthly report")
    assert [kept.chosen for kept in all_rows(database, Reveal)] == [f"like={message_id}", "search=words"]


def test_a_reason_that_will_not_do_gives_the_form_again_and_no_file(browser: Browser, database: Database) -> None:
    add_message(database, NOON, phone=PHONE)
    answer = browser.submit(form_on(browser, "/messages?carrier=asiacell"), format="csv", why="x")
    soup = BeautifulSoup(answer.data, "html.parser")
    field = soup.select_one("#why")
    assert field is not None
    assert (answer.status_code, field["value"], bool(soup.select("#why-error"))) == (400, "x", True)
    form = soup.select_one("form.export-form")
    assert form is not None
    assert form["action"] == "/messages/export?carrier=asiacell"
    assert all_rows(database, Reveal) == []


def test_an_odd_filter_or_format_is_no_file(browser: Browser, database: Database) -> None:
    add_message(database, NOON)
    form = form_on(browser)
    answer = browser.submit(form, format="pdf")
    assert (answer.status_code, "format: must be one of csv, xlsx" in words(answer)) == (400, True)
    form["action"] = "/messages/export?carrier=x"
    answer = browser.submit(form, format="csv")
    assert (answer.status_code, "carrier: must be" in words(answer)) == (400, True)


# In nobody's way


def half_read(browser: Browser) -> tuple[TestResponse, Iterator[bytes]]:
    form = form_on(browser)
    token = form.select("input[name=csrf_token]")[0]["value"]
    answer = browser.client.post(
        "/messages/export", data={"csrf_token": token, "format": "csv"}, buffered=False, **HTTPS
    )
    pieces = iter(answer.response)
    next(pieces)
    return answer, pieces  # type: ignore[return-value]


def test_a_slow_reader_holds_nothing_open_and_callbacks_come_in(browser: Browser, app: Flask) -> None:
    database: Database = app.extensions["wasl"].database
    add_many(database, 3_000)
    answer, pieces = half_read(browser)
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    message_id = add_message(database, datetime.now(UTC))
    receiving.receive(database, [arrival(message_id, callback("delivered"), datetime.now(UTC))])
    assert b"".join(pieces).count(b"\r\n") > 2_000
    answer.close()


def test_a_third_export_at_once_is_asked_to_wait(browser: Browser, database: Database) -> None:
    add_many(database, 500)
    running = [half_read(browser) for _ in range(2)]
    refused = browser.submit(form_on(browser), format="csv")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "30")
    assert "Two exports are being made already" in words(refused)
    for answer, _pieces in running:
        answer.close()
    assert len(lines_of(browser.submit(form_on(browser), format="csv"))) == 500


@pytest.fixture
def prompt_collector() -> Iterator[None]:
    """Garbage goes at once, not when it suits the collector: what is measured is what is held."""
    usual = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(200, 2, 2)
    yield
    gc.set_threshold(*usual)
    gc.unfreeze()


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
@pytest.mark.usefixtures("prompt_collector")
def test_memory_stays_flat_whatever_is_exported(browser: Browser, database: Database, kind: str) -> None:
    def peak_bytes(path: str) -> int:
        form = form_on(browser, path)
        data = {"csrf_token": form.select("input[name=csrf_token]")[0]["value"], "format": kind}
        tracemalloc.reset_peak()
        before, _peak = tracemalloc.get_traced_memory()
        answer = browser.client.post(str(form["action"]), data=data, buffered=False, **HTTPS)
        assert sum(map(len, answer.response)) > 10_000  # read piece by piece, and thrown away
        answer.close()
        return tracemalloc.get_traced_memory()[1] - before

    add_many(database, 3_500)
    few = (NOON - timedelta(seconds=1_000)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00").replace("+", "%2B")
    tracemalloc.start()
    try:
        peak_bytes(f"/messages?from={few}")
        small, large = peak_bytes(f"/messages?from={few}"), peak_bytes("/messages")
    finally:
        tracemalloc.stop()
    assert large < small * 1.5 + 1_000_000


def browser_zone(browser: Browser) -> Any:
    return browser.client.application.extensions["wasl"].settings.time_zone
