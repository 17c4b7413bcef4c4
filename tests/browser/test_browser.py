"""What people do with the pages, done in Chromium."""

import re
import time

import pytest
from playwright.sync_api import Page, expect

from .conftest import Running

CODE = "735914"


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
    expect(page.locator("#headline")).to_contain_text("Delivered", timeout=15_000)
    expect(page.get_by_role("heading", name="delivered, final")).to_be_visible()
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
    give_up_at = time.monotonic() + 20
    while "Delivered" not in page.locator("#headline").inner_text():  # whoever has no script loads the page again
        assert time.monotonic() < give_up_at, page.locator("#headline").inner_text()
        page.reload()
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


def test_every_page_has_its_place_in_the_navigation_and_the_balance_above_it(open_context) -> None:  # type: ignore[no-untyped-def]
    for width in (375, 1280):
        page = open_context(width).new_page()
        for path in ("/", "/messages", "/send", "/spend", "/callbacks", "/settings"):
            page.goto(path)
            here = page.get_by_role("navigation", name="Pages", exact=True).locator("[aria-current=page]")
            expect(here).to_have_attribute("href", path)
            expect(page.locator(".frame .balance")).to_be_visible()
            expect(page.locator(".frame .light")).to_be_visible()


def test_the_first_stop_of_the_keyboard_skips_the_navigation(page: Page) -> None:
    page.goto("/messages")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_what_has_the_focus_is_never_hidden_behind_the_bar_of_a_phone(open_context) -> None:  # type: ignore[no-untyped-def]
    page = open_context(375).new_page()
    page.goto("/messages")
    bar = page.get_by_role("navigation", name="Pages", exact=True).bounding_box()
    assert bar is not None
    for _ in range(45):
        page.keyboard.press("Tab")
        where = page.evaluate(
            "(() => { const at = document.activeElement; const box = at.getBoundingClientRect();"
            "return at.closest('nav[aria-label=Pages]') ? null : [box.top, box.bottom]; })()"
        )
        assert where is None or where[0] < bar["y"], page.evaluate("document.activeElement.outerHTML")


def test_question_mark_shows_the_keys_and_escape_hides_them(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()


@pytest.mark.parametrize(("key", "code"), [("؟", "Slash"), ("ظ", "Slash"), ("ئ", "KeyG")])
def test_on_an_arabic_keyboard_a_key_is_known_by_its_place(page: Page, key: str, code: str) -> None:
    page.goto("/")
    pressed = {"key": key, "code": code, "shiftKey": code == "Slash", "bubbles": True, "cancelable": True}
    page.locator("body").dispatch_event("keydown", pressed)
    if code == "KeyG":
        page.locator("body").dispatch_event("keydown", {"key": "ة", "code": "KeyM", "bubbles": True})
        expect(page).to_have_url(re.compile("/messages$"))
    else:
        expect(page.get_by_role("dialog", name="Keys")).to_be_visible()


def test_on_paper_there_is_no_navigation_and_nothing_to_press(page: Page) -> None:
    page.goto("/messages")
    page.emulate_media(media="print", color_scheme="dark")
    for hidden in (page.get_by_role("navigation", name="Pages", exact=True), page.get_by_role("button", name="Search")):
        expect(hidden).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"


def test_in_the_readers_own_colours_failed_is_hollow_where_delivered_is_full(open_context) -> None:  # type: ignore[no-untyped-def]
    page = open_context(forced_colors="active").new_page()
    page.goto("/")
    fill = "bar => getComputedStyle(bar).fill"
    assert page.locator(".bars.wide .ok").first.evaluate(fill) != page.locator(".bars.wide .bad").first.evaluate(fill)
