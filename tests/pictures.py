"""`make pictures`: every page as people see it, in three languages, both themes, on a phone and on a desk.

Into `pictures/`, which no commit holds; the few that the README shows go into `.pictures/`. The clock stands where a
day has something to tell, and the history is drawn from a seed, so that two runs differ by what was changed in between.
"""

import argparse
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import httpx
from playwright.sync_api import Browser, Page, sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server

from webhook_app import accounts, budgets, create_app, sample, schema, searches, sources
from webhook_app.database import Database
from webhook_app.models import Moment
from webhook_app.simulator.server import Simulator
from webhook_app.stamp import Stamper
from webhook_app.web import callbacks, context

from .chromium import launch
from .conftest import PASSWORD, SECRET_KEY, close, make_config
from .running import free_port

ROOT = Path(__file__).parent.parent
ALL, README = ROOT / "pictures", ROOT / ".pictures"
BEGAN = datetime(2026, 11, 22, 13, 20, tzinfo=UTC)  # a Sunday, 16:20 in Baghdad
LANGUAGES = {"en": "en-US", "ar": "ar-IQ", "ckb": "ckb-IQ"}
THEMES = ("light", "dark")
WIDTHS = {375: 812, 1280: 820}
# Each leads to a story of its own (see the simulator's start page): delivered, delivered by the last channel, failed.
NUMBERS = ("9647701234567", "9647501234907", "9647901234906")
PATHS = {
    "overview": "/",
    "overview-7d": "/?range=7d",
    "messages": "/messages",
    "messages-filtered": "/messages?outcome=failed&carrier=korek",
    "messages-none": "/messages?status=throttled",
    "send": "/send",
    "spend": "/spend",
    "callbacks": "/callbacks",
    "callbacks-refused": "/callbacks/refused",
    "sources": "/sources",
    "self-test": "/callbacks/self-test",
    "settings": "/settings",
    "error": "/messages?status=odd",
    "missing": "/nope",
}
FIRST = {"first-run": "/", "messages-first": "/messages"}  # where nothing has happened yet
SHOWN = {  # in the README
    "overview": "overview-en-light-1280",
    "overview-arabic": "overview-ar-dark-1280",
    "overview-phone": "overview-ckb-light-375",
    "message": "message-fallback-en-light-1280",
    "spend": "spend-en-light-1280",
}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A Wasl with something to show, and one where nothing has happened yet."""

    origin: str
    empty: str
    paths: dict[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="only pages whose name begins so; all of them without")
    chosen = parser.parse_args()
    ALL.mkdir(exist_ok=True)
    with _stage() as stage, sync_playwright() as playwright:
        browser = launch(playwright)
        for language in LANGUAGES:
            for theme in THEMES:
                for width in WIDTHS:
                    _take(browser, stage, language, theme, width, tuple(chosen.names))
        browser.close()
    for name, source in SHOWN.items() if not chosen.names else ():
        shutil.copy(ALL / f"{source}-top.png", README / f"{name}.png")


def _take(browser: Browser, stage: Stage, language: str, theme: str, width: int, names: tuple[str, ...]) -> None:
    """One reader's round through all pages."""
    suffix = f"{language}-{theme}-{width}"
    with browser.new_context(
        locale=LANGUAGES[language],
        color_scheme=theme,  # type: ignore[arg-type]
        viewport={"width": width, "height": WIDTHS[width]},
        device_scale_factor=1,
        reduced_motion="reduce",
    ) as reader:
        page = reader.new_page()
        page.clock.set_fixed_time(context.now())
        page.goto(f"{stage.empty}/sign-in")
        _picture(page, "sign-in", suffix, names)
        for origin, paths in (
            (stage.empty, {"first-run": "/", "messages-first": "/messages"}),
            (stage.origin, stage.paths),
        ):
            _sign_in(page, origin)
            for name, path in paths.items():
                if name.startswith(names or ""):
                    page.goto(f"{origin}{path}")
                    if name == "self-test":
                        page.locator("main form .primary").click()
                        page.locator(".steps").wait_for()
                    _picture(page, name, suffix, names)


def _sign_in(page: Page, origin: str) -> None:
    page.goto(f"{origin}/sign-in")
    page.locator("#name").fill("sara")
    page.locator("#password").fill(PASSWORD)
    page.locator("main form .primary").click()
    page.locator(".frame").wait_for()


def _picture(page: Page, name: str, suffix: str, names: tuple[str, ...]) -> None:
    if not name.startswith(names or ""):
        return
    page.evaluate("document.fonts.ready")
    if f"{name}-{suffix}" in SHOWN.values():
        page.screenshot(path=ALL / f"{name}-{suffix}-top.png")
    width, height = (int(size) for size in page.evaluate("[innerWidth, document.documentElement.scrollHeight]"))
    page.set_viewport_size({"width": width, "height": height})  # a window as high as the page: the bar stands below
    page.screenshot(path=ALL / f"{name}-{suffix}.png")
    page.set_viewport_size({"width": width, "height": WIDTHS[width]})


@contextmanager
def _stage() -> Iterator[Stage]:
    _set_the_clock()
    with tempfile.TemporaryDirectory(prefix="wasl-pictures-") as name, Simulator(speed=20, seed=3) as simulator:
        full, empty = Path(name, "full"), Path(name, "empty")
        with _serving(full, simulator, messages=8000) as origin, _serving(empty, simulator) as empty_origin:
            sent = [_send(full, origin, number) for number in NUMBERS]
            time.sleep(3)  # until the simulator has called back
            yield Stage(origin=origin, empty=empty_origin, paths=PATHS | _paths_of(full / "wasl.db", sent))


class _Clock(datetime):
    """Goes on from BEGAN."""

    _started_s = time.monotonic()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        passed_s = time.monotonic() - cls._started_s
        return cls.fromtimestamp(BEGAN.timestamp() + passed_s, tz)


def _set_the_clock() -> None:
    for module in (context, callbacks):
        module.datetime = _Clock  # type: ignore[attr-defined]


@contextmanager
def _serving(folder: Path, simulator: Simulator, messages: int = 0) -> Iterator[str]:
    folder.mkdir()
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    store_url = f"sqlite:///{folder / 'wasl.db'}"
    config = make_config(
        store_url, folder, WASL_PUBLIC_URL=origin, OTPIQ_BASE_URL=simulator.base_url, OTPIQ_API_KEY="sk_dev_test"
    )
    database = Database(store_url)
    schema.upgrade(database)
    sara = accounts.add_user(database, "sara", PASSWORD, BEGAN)
    if messages:
        sample.fill(database, Stamper((SECRET_KEY,), origin), messages, config.time_zone, BEGAN)
        budgets.put(database, "45000", "1000000", "sara", BEGAN)
        shop, app_source = (sources.add(database, name, BEGAN).id for name in ("shop", "app"))
        sources.rotate(database, shop, BEGAN)
        sources.pause(database, app_source, BEGAN)
        searches.keep(database, sara.id, "4567", BEGAN)
        with database.transaction() as session:
            session.add(Moment(name="worker:pictures", at=BEGAN + timedelta(minutes=10)))  # no worker is there to beat
    database.engine.dispose()
    app = create_app(config)
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield origin
    server.shutdown()
    thread.join()
    close(app)


class _Quiet(WSGIRequestHandler):
    def log(self, *_: Any) -> None:
        pass


def _send(folder: Path, origin: str, number: str) -> str:
    database = Database(f"sqlite:///{folder / 'wasl.db'}")
    _id, key = accounts.add_key(database, f"shop {number[-3:]}", BEGAN)
    database.engine.dispose()
    body = {"phoneNumber": number, "smsType": "verification", "verificationCode": "482913", "provider": "auto"}
    answer = httpx.post(f"{origin}/api/sms", json=body, headers={"Authorization": f"Bearer {key}"}, trust_env=False)
    message_id: str = answer.json()["messageId"]
    return message_id


def _paths_of(store: Path, sent: list[str]) -> dict[str, str]:
    connection = sqlite3.connect(store)
    (callback_id,) = connection.execute("SELECT max(id) FROM callback WHERE verdict = 'accepted'").fetchone()
    (search_id,) = connection.execute("SELECT id FROM search").fetchone()
    connection.close()
    named = dict(zip(("message-delivered", "message-fallback", "message-failed"), sent, strict=True))
    return {name: f"/messages/{message_id}" for name, message_id in named.items()} | {
        "callback": f"/callbacks/{UUID(callback_id)}",
        "search": f"/messages/search/{UUID(search_id)}",
    }


if __name__ == "__main__":
    main()
