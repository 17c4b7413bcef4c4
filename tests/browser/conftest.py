"""A real Chromium in front of a real Wasl with a little sample history and the simulator behind it."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from webhook_app import accounts, sample, searches, sources
from webhook_app.database import Database
from webhook_app.simulator.server import Simulator
from webhook_app.stamp import Stamper

from ..chromium import CHROMIUM, launch
from ..conftest import PASSWORD, SECRET_KEY, make_config
from ..running import serving

SILENT = "9647701230905"  # taken, and then no callback of the simulator's own


@dataclass(frozen=True, kw_only=True)
class Running:
    origin: str
    store_url: str
    simulator: Simulator


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: browser tests were NOT run (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def running(browser: Browser, migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("running")
    shutil.copy(migrated_sqlite, folder / "wasl.db")
    store_url = f"sqlite:///{folder / 'wasl.db'}"
    with (
        Simulator(speed=4, seed=3) as simulator,
        serving(folder, OTPIQ_BASE_URL=simulator.base_url, OTPIQ_API_KEY="sk_dev_test") as (_server, port),
    ):
        origin = f"http://127.0.0.1:{port}"
        config = make_config(store_url, folder, WASL_PUBLIC_URL=origin)
        database = Database(store_url)
        now = datetime.now(UTC)
        sara = accounts.add_user(database, "sara", PASSWORD, now)
        sample.fill(database, Stamper((SECRET_KEY,), origin), 400, config.time_zone, now)
        with_sources_and_a_search(database, sara.id, now)
        database.engine.dispose()
        yield Running(origin=origin, store_url=store_url, simulator=simulator)


def with_sources_and_a_search(database: Database, user_id: UUID, now: datetime) -> None:
    """What the sample history does not hold: sources in each state, and a search of this person."""
    shop, app = (sources.add(database, name, now).id for name in ("shop", "app"))
    sources.rotate(database, shop, now + timedelta(seconds=1))
    sources.retire(database, shop, shop, now)
    sources.rotate(database, shop, now + timedelta(seconds=2))
    sources.pause(database, app, now)
    searches.keep(database, user_id, "4567", now)


@pytest.fixture(scope="session")
def cookies(browser: Browser, running: Running) -> dict[str, object]:
    """What the browser keeps after signing in through the page."""
    with browser.new_context(base_url=running.origin) as context:
        page = context.new_page()
        page.goto("/")
        sign_in(page)
        page.get_by_role("heading", name="Overview").wait_for()
        return dict(context.storage_state())


@pytest.fixture
def open_context(browser: Browser, running: Running, cookies: dict[str, object]) -> Iterator[type]:
    """`open_context(width=375, color_scheme="dark")` is another window of the signed-in browser."""
    opened: list[BrowserContext] = []

    def open_one(width: int = 1280, **more: object) -> BrowserContext:
        context = browser.new_context(
            base_url=running.origin,
            storage_state=cookies,  # type: ignore[arg-type]
            viewport={"width": width, "height": 900},
            **more,  # type: ignore[arg-type]
        )
        opened.append(context)
        return context

    yield open_one  # type: ignore[misc]
    for context in opened:
        context.close()


@pytest.fixture
def page(open_context) -> Iterator[Page]:  # type: ignore[no-untyped-def]
    """A signed-in page that must stay free of script errors and of requests to other hosts."""
    context = open_context()
    page = context.new_page()
    errors: list[str] = []
    hosts: set[str] = set()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if "Security Policy" in message.text else None)
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    yield page
    assert errors == []
    assert len(hosts) <= 1


def sign_in(page: Page, name: str = "sara") -> None:
    """On the page that asks for it, in whatever language it asks."""
    page.locator("#name").fill(name)
    page.locator("#password").fill(PASSWORD)
    page.locator("main form .primary").click()
    page.locator(".frame").wait_for()


def report(running: Running, message_id: UUID, status: str, reason: str | None = None) -> None:
    """OTPIQ's last word on a message that was sent by SMS."""
    stamp = Stamper((SECRET_KEY,), running.origin).issue(message_id)
    body = {"smsId": "sms-1", "deliveryReportType": "all", "isFinal": True, "channel": "sms", "status": status}
    headers = {"X-OTPIQ-Webhook-Secret": stamp.secret}
    answer = httpx.post(stamp.url, json=body | {"reason": reason}, headers=headers, trust_env=False)
    assert answer.status_code == 200
