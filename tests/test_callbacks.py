"""POST /callbacks/otpiq/<id>: the authentic is stored and answered 200, all else is 401 before the store is asked."""

import gc
import hashlib
import hmac
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event
from werkzeug.test import TestResponse

from webhook_app import create_app
from webhook_app.database import Database
from webhook_app.ids import new_id
from webhook_app.models import Callback
from webhook_app.stamp import Stamper
from webhook_app.web.callbacks import Answer

from .conftest import HTTPS, SECRET_KEY, make_config
from .rows import all_rows

SENT = (
    b'{"smsId":"sms-1234567890abcdef123456","deliveryReportType":"all","isFinal":false,"channel":"sms","status":"sent"}'
)
DOCUMENTED = {
    "sent": SENT,
    "delivered": b'{\n  "smsId": "sms-1234567890abcdef123456",\n  "deliveryReportType": "all",\n  "isFinal": true,\n'
    b'  "channel": "whatsapp",\n  "status": "delivered"\n}',
    "failed": b'{"smsId": "sms-1234567890abcdef123456", "deliveryReportType": "final", "isFinal": true, '
    b'"channel": "sms", "status": "failed", "reason": "Carrier rejected the message", "senderId": "MyShop"}',
    "short smsId": b'{"smsId":"sms_1234567890abcdef","deliveryReportType":"final","isFinal":true,"channel":"telegram",'
    b'"status":"delivered"}',
}


def post(client: FlaskClient, stamper: Stamper, target_id: UUID, raw: bytes = SENT, **headers: str) -> TestResponse:
    """One authentic callback, as OTPIQ posts it."""
    stamp = stamper.issue(target_id)
    given = {"X-OTPIQ-Webhook-Secret": stamp.secret, "Content-Type": "application/json"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(stamp.url, data=raw, headers=given)


def signed(secret: str, raw: bytes, timestamp: str) -> dict[str, str]:
    """The headers of the provider's second scheme."""
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + raw, hashlib.sha256).hexdigest()
    return {
        "X-OTPIQ-Webhook-Timestamp": timestamp,
        "X-OTPIQ-Webhook-Event-Id": "evt-1",
        "X-OTPIQ-Webhook-Attempt": "1",
        "X-OTPIQ-Webhook-Signature": f"sha256={digest}",
    }


@contextmanager
def no_statement(client: FlaskClient) -> Iterator[None]:
    """Fails when the app's database executes anything inside."""
    executed: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        executed.append(statement)

    engine = client.application.extensions["wasl"].database.engine
    event.listen(engine, "before_cursor_execute", note)
    yield
    event.remove(engine, "before_cursor_execute", note)
    assert executed == []


@pytest.mark.parametrize("name", ["X-OTPIQ-Webhook-Secret", "x-otpiq-webhook-secret", "X-Otpiq-Webhook-Secret"])
@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "text/plain", ""])
def test_the_secret_alone_makes_a_callback_authentic(
    app_client: FlaskClient, stamper: Stamper, name: str, content_type: str
) -> None:
    stamp = stamper.issue(new_id(datetime.now(UTC)))
    answer = app_client.post(stamp.url, data=SENT, headers={name: stamp.secret}, content_type=content_type or None)
    assert answer.status_code == 200


@pytest.fixture
def app_client(migrated_sqlite: Path, tmp_path: Path) -> Iterator[FlaskClient]:
    """On SQLite alone: for what does not come near the store's differences."""
    path = tmp_path / "one.db"
    path.write_bytes(migrated_sqlite.read_bytes())
    app = create_app(make_config(f"sqlite:///{path}", tmp_path))
    yield app.test_client()
    app.extensions["wasl"].database.engine.dispose()


def wrong_secrets(right: str, other: str) -> dict[str, list[tuple[str, str]]]:
    header = "X-OTPIQ-Webhook-Secret"
    return {
        "wrong": [(header, "x" * len(right))],
        "empty": [(header, "")],
        "missing": [],
        "doubled": [(header, right), (header, right)],
        "right and wrong": [(header, right), (header, "wrong")],
        "not ASCII": [(header, right[:-1] + "é")],
        "beyond Latin": [(header, "سر")],
        "of another message": [(header, other)],
        "cut short": [(header, right[:-1])],
        "with more after it": [(header, right + "A")],
        "in the wrong header": [("X-Webhook-Secret", right)],
        "in another case": [(header, right.swapcase())],
    }


@pytest.mark.parametrize("case", wrong_secrets("", "").keys())
def test_a_secret_that_is_not_the_messages_own_is_401_with_one_body_and_no_work_for_the_store(
    app_client: FlaskClient, stamper: Stamper, case: str
) -> None:
    stamp, other = (stamper.issue(new_id(datetime.now(UTC))) for _ in range(2))
    headers = wrong_secrets(stamp.secret, other.secret)[case]
    environ = {}
    if case == "beyond Latin":  # what a server makes of such bytes
        headers, environ = [], {"HTTP_X_OTPIQ_WEBHOOK_SECRET": "سر".encode().decode("latin-1")}

    with no_statement(app_client):
        answer = app_client.post(stamp.url, data=SENT, headers=headers, environ_overrides=environ)

    assert (answer.status_code, answer.data) == (401, b'{"message":"not authentic"}\n')


@pytest.mark.parametrize(
    "written",
    [
        "01980F2E-77B1-7C20-9D0E-5F3A1B2C6C41",
        "01980f2e77b17c209d0e5f3a1b2c6c41",
        "{01980f2e-77b1-7c20-9d0e-5f3a1b2c6c41}",
        "1",
    ],
)
def test_an_id_written_otherwise_is_401_like_any_other(app_client: FlaskClient, stamper: Stamper, written: str) -> None:
    secret = stamper.issue(UUID("01980f2e-77b1-7c20-9d0e-5f3a1b2c6c41")).secret
    url, headers = f"/callbacks/otpiq/{written}", {"X-OTPIQ-Webhook-Secret": secret}

    with no_statement(app_client):
        answer = app_client.post(url, data=SENT, headers=headers)

    assert (answer.status_code, answer.data) == (401, b'{"message":"not authentic"}\n')


@pytest.mark.parametrize("in_milliseconds", [False, True])
def test_a_right_signature_beside_the_secret_is_accepted(
    app_client: FlaskClient, stamper: Stamper, in_milliseconds: bool
) -> None:
    target_id = new_id(datetime.now(UTC))
    timestamp = str(int(time.time() * (1000 if in_milliseconds else 1)))
    headers = signed(stamper.issue(target_id).secret, SENT, timestamp)
    assert post(app_client, stamper, target_id, **headers).status_code == 200


@pytest.mark.parametrize(
    "timestamp", ["", "abc", "-1", "1e9", "١٢٣٤٥٦٧٨٩٠", "0x10", " 1", "9" * 40, "72 hours old", "5 minutes ahead"]
)
def test_a_signature_of_an_odd_old_or_future_timestamp_is_401(
    app_client: FlaskClient, stamper: Stamper, timestamp: str
) -> None:
    ahead_s = {"72 hours old": -72 * 3600 - 1, "5 minutes ahead": 5 * 60 + 30}.get(timestamp)
    timestamp = timestamp if ahead_s is None else str(int(time.time()) + ahead_s)
    stamp = stamper.issue(new_id(datetime.now(UTC)))
    headers = signed(stamp.secret, SENT, timestamp)
    carried = headers.pop("X-OTPIQ-Webhook-Timestamp").encode().decode("latin-1")
    headers["X-OTPIQ-Webhook-Secret"] = stamp.secret

    with no_statement(app_client):
        answer = app_client.post(
            stamp.url, data=SENT, headers=headers, environ_overrides={"HTTP_X_OTPIQ_WEBHOOK_TIMESTAMP": carried}
        )

    assert (answer.status_code, answer.data) == (401, b'{"message":"not authentic"}\n')


@pytest.mark.parametrize("age_s", [-4 * 60, 71 * 3600])
def test_a_signature_within_its_window_is_accepted(app_client: FlaskClient, stamper: Stamper, age_s: int) -> None:
    target_id = new_id(datetime.now(UTC))
    headers = signed(stamper.issue(target_id).secret, SENT, str(int(time.time()) - age_s))
    assert post(app_client, stamper, target_id, **headers).status_code == 200


@pytest.mark.parametrize("signature", ["", "sha256=", "sha256=" + "0" * 64, "0" * 64, "é"])
def test_a_wrong_signature_is_401_although_the_secret_is_right(
    app_client: FlaskClient, stamper: Stamper, signature: str
) -> None:
    target_id = new_id(datetime.now(UTC))
    headers = {
        "X-OTPIQ-Webhook-Timestamp": str(int(time.time())),
        "X-OTPIQ-Webhook-Signature": signature,
    }
    with no_statement(app_client):
        assert post(app_client, stamper, target_id, **headers).status_code == 401


def test_a_signature_over_other_bytes_is_401(app_client: FlaskClient, stamper: Stamper) -> None:
    target_id = new_id(datetime.now(UTC))
    headers = signed(stamper.issue(target_id).secret, DOCUMENTED["failed"], str(int(time.time())))
    assert post(app_client, stamper, target_id, SENT, **headers).status_code == 401


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_another_method_is_405_in_json(app_client: FlaskClient, stamper: Stamper, method: str) -> None:
    url = stamper.issue(new_id(datetime.now(UTC))).url
    answer = app_client.open(url, method=method)
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]
    assert isinstance(answer.get_json()["message"], str)


def test_a_big_body_without_the_secret_is_401_and_not_read(app_client: FlaskClient, stamper: Stamper) -> None:
    stamp = stamper.issue(new_id(datetime.now(UTC)))
    answer = app_client.post(stamp.url, data=b"x" * 100_000, headers={"X-OTPIQ-Webhook-Secret": "wrong"})
    assert (answer.status_code, answer.data) == (401, b'{"message":"not authentic"}\n')


def test_the_secret_is_not_stored(client: FlaskClient, stamper: Stamper, database: Database) -> None:
    target_id = new_id(datetime.now(UTC))
    post(client, stamper, target_id)
    (callback,) = all_rows(database, Callback)
    assert stamper.issue(target_id).secret not in str(callback.headers)


@pytest.mark.parametrize("order", ["newest first", "the old key gone"])
def test_after_a_rotation_the_old_key_verifies_until_it_is_taken_out(
    store_url: str, tmp_path: Path, stamper: Stamper, order: str
) -> None:
    keys = "another key that is quite long enough for 2026" + (f",{SECRET_KEY}" if order == "newest first" else "")
    app = create_app(make_config(store_url, tmp_path, WASL_SECRET_KEYS=keys))
    old = post(app.test_client(), stamper, new_id(datetime.now(UTC)))
    app.extensions["wasl"].database.engine.dispose()
    assert old.status_code == (200 if order == "newest first" else 401)


STORES_AWAY = ["a port where nothing listens", "a folder, not a file"]


def client_without_a_store(folder: Path, store: str) -> FlaskClient:
    nothing_listens = "postgresql://wasl:hidden@127.0.0.1:9/wasl"
    url = nothing_listens if store.startswith("a port") else f"sqlite:///{folder}"
    return create_app(make_config(url, folder)).test_client()


@pytest.mark.parametrize("store", STORES_AWAY)
def test_with_the_store_away_a_callback_is_spooled(tmp_path: Path, stamper: Stamper, store: str) -> None:
    client = client_without_a_store(tmp_path, store)
    answer = post(client, stamper, new_id(datetime.now(UTC)))
    assert (answer.status_code, answer.get_json()) == (200, {"status": "ok", "verdict": "spooled"})
    ready = client.get("/readyz", **HTTPS)
    assert (ready.status_code, ready.get_json()) == (200, {"status": "spooling", "spooled": 1})


@pytest.mark.parametrize("store", STORES_AWAY)
def test_with_neither_store_nor_spool_a_callback_is_503_and_asked_to_come_again(
    tmp_path: Path, stamper: Stamper, store: str
) -> None:
    client = client_without_a_store(tmp_path, store)
    (tmp_path / "spool").write_text("a file where the folder should be")

    answer = post(client, stamper, new_id(datetime.now(UTC)))

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert set(answer.get_json()) == {"message"}
    ready = client.get("/readyz", **HTTPS)
    assert (ready.status_code, ready.get_json()["status"]) == (503, "away")
    assert client.get("/healthz", **HTTPS).status_code == 200


def test_a_store_that_can_be_read_but_takes_nothing_is_not_ready(tmp_path: Path, stamper: Stamper) -> None:
    client = create_app(make_config(f"sqlite:///{tmp_path / 'wasl.db'}", tmp_path)).test_client()
    assert client.get("/readyz", **HTTPS).get_json()["status"] == "ready"
    (tmp_path / "wasl.db-turn").mkdir()  # whoever wants to write fails, as on a full disk
    (tmp_path / "spool").write_text("a file where the folder should be")
    assert post(client, stamper, new_id(datetime.now(UTC))).status_code == 503
    ready = client.get("/readyz", **HTTPS)
    assert (ready.status_code, ready.get_json()["status"]) == (503, "away")


def test_an_answer_that_was_given_leaves_nothing_to_the_garbage_collector() -> None:
    """The one who is told when it is known holds it; a circle a callback would be a worker's memory."""
    outcome: Future[str] = Future()
    answer = Answer(outcome, lambda known: known.result().encode())
    given: list[bytes] = []
    answer.when_known(partial(given.extend, answer))
    freed = weakref.ref(answer)
    gc.disable()
    try:
        outcome.set_result("accepted")
        del answer, outcome
        assert (given, freed()) == ([b"accepted"], None)
    finally:
        gc.enable()
