"""How an open page keeps up with what happens, and what it does when it cannot."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from webhook_app import accounts
from webhook_app.database import Database

from .conftest import SILENT, Running, report

HIDE = "Object.defineProperty(document, 'hidden', {get: () => window.isAway ?? false});"
POLLS = "**/*fragment=live*"


@pytest.fixture(scope="module")
def send(running: Running) -> Iterator[Callable[[], UUID]]:
    """Sends a message of which nothing is heard, and gives its id."""
    database = Database(running.store_url)
    _id, key = accounts.add_key(database, "keeping up", datetime.now(UTC))
    database.engine.dispose()
    body = {"phoneNumber": SILENT, "smsType": "verification", "verificationCode": "735914", "provider": "sms"}
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=running.origin, headers=headers, trust_env=False, timeout=20) as client:
        yield lambda: UUID(client.post("/api/sms", json=body).json()["messageId"])


@pytest.mark.parametrize("path", ["/messages/{id}", "/messages"])
def test_a_delivered_message_changes_on_screen_within_2_seconds(
    page: Page, running: Running, send: Callable[[], UUID], path: str
) -> None:
    message_id = send()
    page.goto(path.format(id=message_id))
    changed = page.locator(f"#m-{message_id}" if path == "/messages" else "#headline")
    expect(changed).not_to_contain_text("Delivered")
    report(running, message_id, "delivered")
    expect(changed).to_contain_text("Delivered", timeout=2_000)


def test_new_rows_wait_until_the_reader_asks_for_them(page: Page, send: Callable[[], UUID]) -> None:
    page.goto("/messages")
    first = page.locator("a.row-link").first.get_attribute("id")
    page.mouse.wheel(0, 600)
    arrived = send()
    page.get_by_text("1 new, show").wait_for()
    assert page.locator("a.row-link").first.get_attribute("id") == first
    page.get_by_text("1 new, show").click()
    expect(page.locator("a.row-link").first).to_have_attribute("id", f"lm-{arrived}")
    expect(page.get_by_text("1 new, show")).to_be_hidden()


def test_new_rows_come_in_by_themselves_when_the_reader_is_back_at_the_top(
    page: Page, send: Callable[[], UUID]
) -> None:
    page.goto("/messages")
    page.mouse.wheel(0, 600)
    arrived = send()
    page.get_by_text("1 new, show").wait_for()
    page.mouse.wheel(0, -600)
    expect(page.locator("a.row-link").first).to_have_attribute("id", f"lm-{arrived}")


def test_nobody_is_asked_while_the_page_is_out_of_sight(page: Page) -> None:
    polls = counted(page)
    page.add_init_script(HIDE)
    page.goto("/messages")
    page.wait_for_timeout(2_500)
    assert polls
    page.evaluate("window.isAway = true; document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(300)
    polls.clear()
    page.wait_for_timeout(3_500)
    assert polls == []
    page.evaluate("window.isAway = false; document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(300)
    assert len(polls) == 1


def test_a_server_in_trouble_is_asked_less_and_less_often(page: Page) -> None:
    page.route(POLLS, lambda route: route.fulfill(status=503))
    polls = counted(page)
    page.goto("/messages")
    page.wait_for_timeout(11_000)
    assert 2 <= len(polls) <= 3


def test_old_rows_stay_greyed_while_they_cannot_be_refreshed(page: Page) -> None:
    page.goto("/messages")
    rows = page.locator("a.row-link").count()
    page.route(POLLS, refuse)
    page.get_by_text("Could not refresh since").wait_for()
    assert page.locator("#live").evaluate("live => getComputedStyle(live).filter") == "grayscale(1)"
    assert page.locator("a.row-link").count() == rows
    page.unroute(POLLS)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("Could not refresh since")).to_be_hidden()
    assert page.locator("#live").evaluate("live => getComputedStyle(live).filter") == "none"


def test_who_was_signed_out_meanwhile_is_told_so(page: Page) -> None:
    page.goto("/messages")
    page.context.clear_cookies()
    expect(page.get_by_role("link", name="Sign in again")).to_be_visible()


def refuse(route: Route) -> None:
    route.fulfill(status=503, body="<p>The store is away</p>")


def counted(page: Page) -> list[Any]:
    polls: list[Any] = []
    page.on("request", lambda request: polls.append(request) if "fragment=live" in request.url else None)
    return polls
