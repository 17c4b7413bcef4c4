"""What people do with the pages, done in Chromium."""

import re
import sqlite3

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from .conftest import Running

CODE = "735914"
PAGES = {
    "overview": "/",
    "month": "/?range=30d",
    "messages": "/messages",
    "nothing": "/messages?status=throttled",
    "send": "/send",
    "sources": "/sources",
    "callbacks": "/callbacks",
    "no callbacks": "/callbacks?verdict=repeated&before=00000000-0000-7000-8000-000000000000",
    "refused": "/callbacks/refused",
    "error": "/messages?status=odd",
}


def send_code(page: Page, phone: str, code: str = CODE) -> None:
    page.goto("/send")
    page.get_by_label("To", exact=True).fill(phone)
    page.get_by_label("Code", exact=True).last.fill(code)
    page.get_by_role("button", name=re.compile("Send 1 message")).click()


def open_newest(page: Page, path: str) -> None:
    page.goto(path)
    page.locator("a.row-link").first.click()
    page.get_by_role("heading", name="What happened").wait_for()


def test_a_code_is_sent_and_watched_until_it_is_delivered(page: Page) -> None:
    send_code(page, "0750 123 4567")
    expect(page.locator("#headline")).to_contain_text(re.compile("Accepted|Sent"))
    expect(page.locator("#headline")).to_contain_text("Delivered", timeout=15_000)
    expect(page.get_by_text("delivered, final")).to_be_visible()
    assert CODE not in page.content()


def test_a_message_that_falls_back_says_by_what_it_arrived(page: Page) -> None:
    send_code(page, "0770 123 4907")
    headline = page.locator("#headline")
    expect(headline).to_contain_text("Delivered by SMS after WhatsApp and Telegram failed", timeout=30_000)


def test_a_refusal_stands_in_plain_words_and_keeps_what_was_typed(page: Page) -> None:
    send_code(page, "0770 123 4915")
    expect(page.get_by_role("alert")).to_contain_text("balance does not cover")
    expect(page.get_by_label("To", exact=True)).to_have_value("0770 123 4915")


def test_a_double_click_sends_once(page: Page, running: Running) -> None:
    before = len(running.simulator.ledger.sends)
    page.goto("/send")
    page.get_by_label("To", exact=True).fill("0790 555 0101")
    page.get_by_label("Code", exact=True).last.fill(CODE)
    page.get_by_role("button", name=re.compile("Send 1 message")).dblclick()
    page.get_by_role("heading", name="What happened").wait_for()
    assert len(running.simulator.ledger.sends) == before + 1


def test_a_number_typed_in_arabic_digits_is_found_and_stays_out_of_the_address(page: Page) -> None:
    send_code(page, "0771 222 3344")
    page.get_by_role("heading", name="What happened").wait_for()
    page.goto("/messages")
    page.get_by_role("searchbox").fill("٠٧٧١ ٢٢٢ ٣٣٤٤")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("a.row-link").first).to_contain_text("+964 771 ••• 3344")
    assert "771" not in page.url


def test_the_number_is_read_back_while_it_is_typed(page: Page) -> None:
    page.goto("/send")
    page.get_by_label("To", exact=True).press_sequentially("٠٧٥٠١٢٣٤٥٦٧")
    expect(page.locator("#look")).to_contain_text("+964 750 123 4567")
    expect(page.locator("#look")).to_contain_text("Korek")


def test_send_again_keeps_the_number_to_itself_and_links_the_two(page: Page) -> None:
    send_code(page, "0790 555 0202")
    page.get_by_role("link", name="Send again").click()
    expect(page.get_by_text("+964 790 ••• 0202")).to_be_visible()
    assert "9647905550202" not in page.content()
    page.get_by_label("Code", exact=True).last.fill("246810")
    page.get_by_role("button", name=re.compile("Send 1 message")).click()
    page.get_by_role("heading", name="What happened").wait_for()
    expect(page.get_by_text("+964 790 ••• 0202").first).to_be_visible()
    expect(page.locator("main")).to_contain_text(re.compile("again", re.IGNORECASE))


def test_everything_works_without_javascript(open_context) -> None:  # type: ignore[no-untyped-def]
    page = open_context(java_script_enabled=False).new_page()
    send_code(page, "0750 555 0303")
    expect(page.locator("#headline")).to_contain_text("OTPIQ")
    page.goto("/messages")
    page.get_by_text("Filter").click()
    page.get_by_label("Carrier").select_option("korek")
    page.get_by_role("button", name="Show these").click()
    expect(page).to_have_url(re.compile("carrier=korek"))
    expect(page.locator("a.row-link").first).to_contain_text("+964 75")


def test_a_list_that_cannot_be_refreshed_keeps_its_rows_and_says_so(page: Page) -> None:
    page.goto("/messages")
    rows = page.locator("a.row-link").count()
    page.route("**/messages?fragment=live", lambda route: route.abort())
    expect(page.get_by_text("Try again")).to_be_visible(timeout=15_000)
    assert page.locator("a.row-link").count() == rows
    page.unroute("**/messages?fragment=live")
    page.get_by_text("Try again").click()
    expect(page.get_by_text("Try again")).to_be_hidden(timeout=10_000)


def test_an_unchanged_page_is_polled_with_304(open_context, running: Running) -> None:  # type: ignore[no-untyped-def]
    page = open_context().new_page()
    statuses: list[int] = []
    page.on("response", lambda answer: statuses.append(answer.status) if "fragment" in answer.url else None)
    page.goto("/messages?status=failed")
    page.wait_for_timeout(7_000)
    assert statuses[:1] == [200]
    assert 304 in statuses


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_axe_finds_nothing_and_nothing_scrolls_sideways(  # type: ignore[no-untyped-def]
    open_context, running: Running, theme: str, width: int
) -> None:
    page = open_context(width, color_scheme=theme, reduced_motion="reduce").new_page()
    for name, path in (PAGES | newest_messages(running) | newest_callbacks(running)).items():
        page.goto(path)
        assert violations(page) == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name


def test_the_keyboard_alone_leads_to_a_callback_and_replays_it(page: Page) -> None:
    page.goto("/")
    for key in ("g", "c"):
        page.keyboard.press(key)
    page.get_by_role("heading", name="Callbacks", level=1).wait_for()
    for key in ("j", "j", "k", "Enter"):
        page.keyboard.press(key)
    page.get_by_role("heading", name="Body").wait_for()
    page.get_by_role("button", name="Replay").press("Enter")
    expect(page.get_by_role("status")).to_have_text("Nothing changed.")


def test_mirrored_the_callbacks_page_keeps_to_its_width(open_context) -> None:  # type: ignore[no-untyped-def]
    for width in (375, 1280):
        page = open_context(width).new_page()
        for path in ("/callbacks", "/callbacks/refused"):
            page.goto(path)
            page.evaluate("document.documentElement.dir = 'rtl'")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path


@pytest.mark.parametrize("width", [375, 1280])
def test_axe_finds_nothing_where_one_signs_in(browser, running: Running, width: int) -> None:  # type: ignore[no-untyped-def]
    with browser.new_context(base_url=running.origin, viewport={"width": width, "height": 800}) as context:
        page = context.new_page()
        page.goto("/sign-in")
        assert violations(page) == []


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{rule['id']}: {rule['nodes'][0]['html'][:120]}" for rule in found]


def newest_messages(running: Running) -> dict[str, str]:
    """A page of a message of each status there is."""
    with sqlite3.connect(running.store_url.removeprefix("sqlite:///")) as store:
        rows = store.execute("SELECT status, max(id) FROM message GROUP BY status").fetchall()
    store.close()
    return {f"message {status}": f"/messages/{message_id}" for status, message_id in rows}


def newest_callbacks(running: Running) -> dict[str, str]:
    """A page of a callback of each verdict there is."""
    with sqlite3.connect(running.store_url.removeprefix("sqlite:///")) as store:
        rows = store.execute("SELECT verdict, changed, max(id) FROM callback GROUP BY verdict, changed").fetchall()
    store.close()
    return {f"callback {verdict} {changed}": f"/callbacks/{callback_id}" for verdict, changed, callback_id in rows}
