"""axe on every page there is, in each language and theme; and none of them scrolls sideways, on a desk or a phone."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from webhook_app import accounts, create_app
from webhook_app.database import Database

from .. import every_page
from ..conftest import PASSWORD, close, make_config
from ..pictures import LANGUAGES
from ..running import serving
from .conftest import Running, sign_in

# What the app's own map of addresses does not lead to: other shapes of its pages, and what is not found.
SHAPES = (
    *("/?range=7d", "/?range=30d", "/messages?outcome=failed&carrier=korek", "/messages?status=throttled"),
    *("/callbacks?verdict=repeated&before=00000000-0000-7000-8000-000000000000", "/send?type=custom"),
    *("/messages?status=odd", "/nope"),
)
FILES = ("/spend/export",)
EMPTY = ("/", "/messages", "/spend", "/callbacks")
# Of WCAG 2.2 AA axe leaves out by itself what is new in it.
OPTIONS = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
# Each language in each theme, on a phone in one of them.
ROUNDS = [
    *(("en", "light", 1280), ("en", "dark", 375)),
    *(("ar", "light", 375), ("ar", "dark", 1280)),
    *(("ckb", "light", 1280), ("ckb", "dark", 375)),
]


@pytest.fixture(scope="session")
def paths(running: Running, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Every page there is."""
    app = create_app(make_config(running.store_url, tmp_path_factory.mktemp("map")))
    found = [path for path in every_page.paths(app) if "?" not in path and path not in FILES]
    close(app)
    return [*found, *SHAPES]


@pytest.fixture(scope="session")
def fates(running: Running) -> list[str]:
    """The page of a message of each status, and of a callback of each verdict."""
    return [*newest(running)]


def newest(running: Running) -> Iterator[str]:
    with closing(sqlite3.connect(running.store_url.removeprefix("sqlite:///"))) as store:
        for (message_id,) in store.execute("SELECT max(id) FROM message GROUP BY status"):
            yield f"/messages/{UUID(message_id)}"
        for (callback_id,) in store.execute("SELECT max(id) FROM callback GROUP BY verdict, changed"):
            yield f"/callbacks/{UUID(callback_id)}"


@pytest.fixture(scope="session")
def empty(migrated_sqlite: Path, running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Wasl in which nothing has happened yet."""
    folder = tmp_path_factory.mktemp("empty")
    shutil.copy(migrated_sqlite, folder / "wasl.db")
    database = Database(f"sqlite:///{folder / 'wasl.db'}")
    accounts.add_user(database, "sara", PASSWORD, datetime.now(UTC))
    database.engine.dispose()
    with serving(folder, OTPIQ_BASE_URL=running.simulator.base_url, OTPIQ_API_KEY="sk_dev_test") as (_server, port):
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(("language", "theme", "width"), ROUNDS)
def test_axe_finds_nothing_and_nothing_scrolls_sideways(  # type: ignore[no-untyped-def]
    open_context, paths: list[str], fates: list[str], language: str, theme: str, width: int
) -> None:
    if language != "ckb":  # what a fate changes of its page, it changes alike from both sides
        paths = [*paths, *fates]
    page = open_context(width, locale=LANGUAGES[language], color_scheme=theme, reduced_motion="reduce").new_page()
    assert {path: found for path in paths if (found := faults(page, path))} == {}
    assert page.locator(f"html[lang^={language}]").count() == 1
    page.goto("/sources")
    page.evaluate("document.querySelectorAll('.source details').forEach(one => one.open = true)")
    assert faults_here(page) == []
    page.goto("/callbacks/self-test")
    page.locator("main form .primary").click()
    page.locator(".steps").wait_for()
    assert faults_here(page) == []


@pytest.mark.parametrize(("language", "theme", "width"), ROUNDS)
def test_axe_finds_nothing_where_one_signs_in_and_nothing_has_happened_yet(
    browser: Browser, empty: str, language: str, theme: str, width: int
) -> None:
    with browser.new_context(
        base_url=empty,
        locale=LANGUAGES[language],
        color_scheme=theme,  # type: ignore[arg-type]
        viewport={"width": width, "height": 900},
        reduced_motion="reduce",
    ) as context:
        page = context.new_page()
        assert faults(page, "/sign-in") == []
        sign_in(page)
        assert {path: found for path in EMPTY if (found := faults(page, path))} == {}


def faults(page: Page, path: str) -> list[str]:
    page.goto(path)
    return faults_here(page)


def faults_here(page: Page) -> list[str]:
    found = Axe().run(page, options=OPTIONS).response["violations"]
    width, room = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    too_wide = [f"{width} px wide"] if width > room else []
    return [f"{rule['id']}: {node['html'][:120]}" for rule in found for node in rule["nodes"]] + too_wide
