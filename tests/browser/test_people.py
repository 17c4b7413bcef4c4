"""A day with Wasl as people live it: what happened to this person's code, for whom it fails, and what it costs."""

import re
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import func, select

from webhook_app import accounts
from webhook_app.database import Database
from webhook_app.models import Message

from ..conftest import PASSWORD
from .conftest import Running, report, sign_in

BAGHDAD = ZoneInfo("Asia/Baghdad")
# The simulator reports nothing about these by itself.
PHONE, IN_ARABIC_DIGITS, MASKED = "0770 818 2905", "٠٧٧٠ ٨١٨ ٢٩٠٥", "+964 770 ••• 2905"
OF_KOREK = "0750 818 3905"
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


@pytest.fixture
def visit(browser: Browser, running: Running) -> Iterator[Callable[[str], Page]]:
    """`visit("/")` is a browser in which nobody has signed in yet."""
    with browser.new_context(base_url=running.origin) as first, browser.new_context(base_url=running.origin) as second:
        contexts = iter((first, second))

        def open_one(path: str) -> Page:
            page = next(contexts).new_page()
            page.goto(path)
            return page

        yield open_one


@pytest.fixture
def database(running: Running) -> Iterator[Database]:
    database = Database(running.store_url)
    yield database
    database.engine.dispose()


def send(page: Page, phone: str) -> UUID:
    """By SMS, through the page; its id."""
    page.goto("/send")
    page.get_by_label("To", exact=True).fill(phone)
    page.locator("[name=provider][value=sms]").check()
    return press_send(page)


def press_send(page: Page) -> UUID:
    page.get_by_label("Code", exact=True).last.fill("735914")
    page.get_by_role("button", name=re.compile("Send 1 message")).click()
    page.get_by_role("heading", name="What happened").wait_for()
    return UUID(page.url.rpartition("/")[2])


def send_in_vain(page: Page, running: Running, phone: str) -> UUID:
    message_id = send(page, phone)
    report(running, message_id, "failed", "Absent subscriber")
    return message_id


def test_who_was_signed_out_while_writing_signs_in_beside_it_and_goes_on(visit: Callable[[str], Page]) -> None:
    page = visit("/send")
    sign_in(page)
    page.get_by_label("To", exact=True).fill("0770 818 4905")
    page.get_by_label("Your reference").fill("order-8")
    beside = page.context.new_page()
    beside.goto("/")
    beside.locator(".me:not(.tongue) summary").click()
    beside.get_by_role("button", name="Sign out").click()
    beside.locator("#name").wait_for()
    page.get_by_label("Code", exact=True).last.fill("735914")
    page.get_by_role("button", name=re.compile("Send 1 message")).click()
    expect(page.get_by_text("You are not signed in any more.")).to_be_visible()
    assert "735914" not in page.content()
    sign_in(beside)
    page.reload()
    expect(page.get_by_text("Look at it once more, then send it.")).to_be_visible()
    expect(page.get_by_label("Your reference")).to_have_value("order-8")
    page.get_by_role("button", name=re.compile("Send 1 message")).click()
    page.get_by_role("heading", name="What happened").wait_for()


def test_what_was_typed_while_the_store_is_away_is_sent_by_loading_the_page_again(
    page: Page, running: Running, database: Database
) -> None:
    page.goto("/send")
    page.get_by_label("To", exact=True).fill("0770 818 6905")
    page.get_by_label("Code", exact=True).last.fill("735914")
    with failing(running):
        page.get_by_role("button", name=re.compile("Send 1 message")).click()
        expect(page.get_by_text("so nothing was sent")).to_be_visible()
    page.reload()
    page.get_by_role("heading", name="What happened").wait_for()
    with database.reading() as session:
        of_number = select(func.count()).select_from(Message).where(Message.phone == "9647708186905")
        assert session.scalar(of_number) == 1


def test_who_has_to_sign_in_first_comes_to_the_page_that_was_asked_for(visit: Callable[[str], Page]) -> None:
    page = visit("/messages?carrier=korek")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    sign_in(page)
    expect(page).to_have_url(re.compile(r"/messages\?carrier=korek$"))
    expect(page.locator("a.row-link").first).to_contain_text("+964 75")


def test_a_number_in_arabic_digits_leads_to_why_its_code_never_came(page: Page, running: Running) -> None:
    failed = send_in_vain(page, running, PHONE)
    page.goto("/messages")
    page.get_by_role("searchbox").fill(IN_ARABIC_DIGITS)
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator("a.row-link").first).to_have_text(MASKED)
    page.locator("a.row-link").first.click()
    expect(page).to_have_url(re.compile(f"/messages/{failed}$"))
    why = page.locator(".notice.bad")
    expect(why).to_contain_text("The phone was off or out of reach. Try again later, or use another channel.")
    expect(why).to_contain_text("Absent subscriber")


def test_what_failed_is_sent_again_for_a_known_price_and_followed_until_it_is_there(
    page: Page, running: Running
) -> None:
    failed = send_in_vain(page, running, PHONE)
    page.goto(f"/messages/{failed}")
    page.get_by_role("link", name="Send again").click()
    expect(page.get_by_text(f"Leave it empty to send to {MASKED} again.")).to_be_visible()
    expect(page.get_by_text("nothing reaches a phone, nothing is charged")).to_be_visible()
    expect(page.get_by_role("button", name="Send 1 message, about 80 IQD")).to_be_visible()
    again = press_send(page)
    expect(page.locator("#headline")).to_have_text(re.compile("Accepted by OTPIQ"))
    report(running, again, "delivered")
    expect(page.locator("#headline")).to_have_text(re.compile("Delivered by SMS"), timeout=2_000)
    page.get_by_role("link", name="See the first").click()
    expect(page.get_by_text("It was sent again.")).to_be_visible()


def test_arabic_once_chosen_is_there_wherever_the_reader_signs_in(
    visit: Callable[[str], Page], database: Database
) -> None:
    accounts.add_user(database, "dilan", PASSWORD, datetime.now(UTC))
    page = visit("/")
    sign_in(page, "dilan")
    page.locator(".tongue summary").click()
    page.get_by_role("button", name="العربية").click()
    expect(page.locator("html[lang=ar-IQ][dir=rtl]")).to_be_visible()
    expect(page.get_by_role("heading", name="نظرة عامة")).to_be_visible()
    elsewhere = visit("/messages")
    expect(elsewhere.locator("html[lang=en]")).to_be_visible()
    sign_in(elsewhere, "dilan")
    expect(elsewhere.locator("html[lang=ar-IQ][dir=rtl]")).to_be_visible()
    expect(elsewhere.get_by_role("heading", name="الرسائل")).to_be_visible()


@pytest.mark.parametrize("kind", ["CSV", "Excel"])
def test_the_failures_at_korek_since_yesterday_are_exported_as_they_are_shown(
    page: Page, running: Running, kind: str
) -> None:
    failed = send_in_vain(page, running, OF_KOREK)
    page.goto("/messages")
    page.get_by_text("Filter").click()
    page.get_by_label("Carrier").select_option("Korek")
    page.get_by_label("From").fill(f"{datetime.now(BAGHDAD).date() - timedelta(days=1)}T00:00")
    page.get_by_role("button", name="Show these").click()
    page.get_by_role("navigation", name="Status").get_by_role("link", name="Failed").click()
    expect(page.locator("#tab-failed")).to_have_attribute("aria-current", "true")
    shown = [ID.findall(str(row.get_attribute("href")))[0] for row in page.locator("a.row-link").all()]
    page.locator("#export summary").click()
    with page.expect_download() as download:
        page.get_by_role("button", name=kind).click()
    text = text_of(Path(download.value.path()))
    assert str(failed) == shown[0]
    assert ID.findall(text) == shown
    assert text.count("964 75") == len(shown)
    assert re.search("9647[0-9]{9}", text.replace(" ", "")) is None


def text_of(file: Path) -> str:
    if not zipfile.is_zipfile(file):
        return file.read_text("utf-8-sig")
    with zipfile.ZipFile(file) as book:
        return book.read("xl/worksheets/sheet1.xml").decode()


def test_this_months_spend_is_what_its_messages_were_charged(page: Page, database: Database) -> None:
    page.goto("/")
    page.get_by_role("navigation", name="Pages", exact=True).get_by_role("link", name="Spend").click()
    tile = page.locator(".tile").filter(has_text="Charged so far")
    expect(tile.locator(".figure")).to_have_text(re.compile(f"^{charged_this_month_iqd(database):,} ?IQD$"))


def charged_this_month_iqd(database: Database) -> int:
    began = datetime.combine(datetime.now(BAGHDAD).date().replace(day=1), time(), BAGHDAD)
    with database.reading() as session:
        return session.scalar(select(func.sum(Message.charged_iqd)).where(Message.created_at >= began)) or 0


def test_while_the_store_fails_the_old_rows_stay_greyed_and_go_on_when_it_is_back(page: Page, running: Running) -> None:
    message_id = send(page, PHONE)
    page.goto("/messages")
    rows = page.locator("a.row-link").count()
    with failing(running):
        page.get_by_text("Could not refresh since").wait_for()
        page.get_by_role("button", name="Try again").click()
        expect(page.get_by_text("Could not refresh since")).to_be_visible()
        assert page.locator("#live").evaluate("live => getComputedStyle(live).filter") == "grayscale(1)"
        assert page.locator("a.row-link").count() == rows
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("Could not refresh since")).to_be_hidden()
    report(running, message_id, "delivered")
    with page.expect_request(re.compile("/messages")):  # a server that was slow to answer is asked less often
        pass
    expect(page.locator(f"#m-{message_id}")).to_contain_text("Delivered")
    assert page.locator("#live").evaluate("live => getComputedStyle(live).filter") == "none"


@contextmanager
def failing(running: Running) -> Iterator[None]:
    """The store answers, but has no messages to show."""
    with closing(sqlite3.connect(running.store_url.removeprefix("sqlite:///"), timeout=10)) as store:
        store.execute("ALTER TABLE message RENAME TO missing")
        try:
            yield
        finally:
            store.execute("ALTER TABLE missing RENAME TO message")
