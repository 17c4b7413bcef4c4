"""A Wasl with something to show, behind a real server, and a browser's first step into it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
from bs4 import BeautifulSoup

from webhook_app import accounts, sample, schema
from webhook_app.database import Database
from webhook_app.stamp import Stamper

from .conftest import PASSWORD, PUBLIC_URL, SECRET_KEY
from .running import serving


@contextmanager
def showing(folder: Path, messages: int = 3000) -> Iterator[str]:
    """The address of `wasl serve` with a fortnight of history and a user named sara."""
    database = Database(f"sqlite:///{folder / 'wasl.db'}")
    schema.upgrade(database)
    now = datetime.now(UTC)
    accounts.add_user(database, "sara", PASSWORD, now)
    sample.fill(database, Stamper((SECRET_KEY,), PUBLIC_URL), messages, ZoneInfo("Asia/Baghdad"), now)
    database.engine.dispose()
    with serving(folder) as (_server, port):
        yield f"http://127.0.0.1:{port}"


def sign_in(browser: httpx.Client) -> None:
    """As sara; the sign-in stays in the client's cookies."""
    token = BeautifulSoup(browser.get("/sign-in").content, "html.parser").select_one("main [name=csrf_token]")
    assert token is not None
    form = {"name": "sara", "password": PASSWORD, "csrf_token": str(token["value"])}
    assert browser.post("/sign-in", data=form).status_code == 303
