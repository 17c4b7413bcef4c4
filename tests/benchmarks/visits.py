"""A signed-in person's requests, put to the real app in this process: what they cost, without a server or a browser
around them."""

import gc
import secrets
import time
from dataclasses import dataclass
from typing import Any

from flask import Flask
from sqlalchemy import event
from werkzeug.test import EnvironBuilder

from ..conftest import PUBLIC_URL, sign_in


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    body: bytes
    queries: int


class Visitor:
    """Whoever signs in to `app`, under a name of his own."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        client = sign_in(app, f"bench-{secrets.token_hex(4)}")
        name = app.config["SESSION_COOKIE_NAME"]
        cookie = client.get_cookie(name, domain="wasl.example.iq")
        assert cookie is not None
        self._cookie = f"{name}={cookie.value}"

    def get(self, path: str) -> Answer:
        queries: list[str] = []

        def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
            queries.append(statement)

        engine = self._app.extensions["wasl"].database.engine
        event.listen(engine, "before_cursor_execute", note)
        status, body = self._ask(self._environ(path))
        event.remove(engine, "before_cursor_execute", note)
        return Answer(status=status, body=body, queries=len(queries))

    def ms(self, path: str) -> float:
        """How long this page takes, without the collecting of garbage, which would hit one page or another."""
        environ = self._environ(path)
        gc.disable()
        started_s = time.perf_counter()
        self._ask(environ)
        took_s = time.perf_counter() - started_s
        gc.enable()
        return took_s * 1000

    def _environ(self, path: str) -> dict[str, Any]:
        return EnvironBuilder(path, base_url=PUBLIC_URL, headers={"Cookie": self._cookie}).get_environ()

    def _ask(self, environ: dict[str, Any]) -> tuple[int, bytes]:
        said: list[str] = []
        parts = self._app.wsgi_app(environ, lambda status, _headers, _error=None: said.append(status))
        body = b"".join(parts)
        if hasattr(parts, "close"):
            parts.close()
        return int(said[0].split()[0]), body
