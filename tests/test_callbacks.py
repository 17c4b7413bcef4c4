"""POST /callbacks/otpiq/<id>: what is authentic is stored and answered 200, what is not is 401 before the store is asked."""

import gzip
import hashlib
import hmac
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event, select
from werkzeug.test import TestResponse

from webhook_app import create_app, merging, sources, status
from webhook_app.database import Database
from webhook_app.ids import new_id
from webhook_app.models import Callback, Message
from webhook_app.stamp import Stamper
from webhook_app.status import Status

from .conftest import HTTPS, SECRET_KEY, make_config

SENT = (
    b'{"smsId":"sms-1234567890abcdef123456","deliveryReportType":"all","isFinal":false,"channel":"sms","status":"sent"}'
)
DOCUMENTED = {
    "sent": SENT,
    "delivered": b'{\n  "smsId": "sms-1234567890abcdef123456",\n  "deliveryReportType": "all",\n  "isFinal": true,\n'
    b'  "channel": "whatsapp",\n  "status": "delivered"\n}',
    "failed": b'{"smsId": "sms-1234567890abcdef123456", "deliveryReportType": "final", "isFinal": true, "channel": "sms", '
    b'"status": "failed", "reason": "Carrier rejected the message", "senderId": "MyShop"}',
    "short smsId": b'{"smsId":"sms_1234567890abcdef","deliveryReportType":"final","isFinal":true,"channel":"telegram",'
    b'"status":"delivered"}',
}


@pytest.fixture
def message_id(database: Database) -> UUID:
    """A message that was sent and heard nothing of yet."""
    at = datetime.now(UTC)
    message = Message(
        id=new_id(at),
        created_at=at,
        asked_by="test",
        is_sample=False,
        phone="9647701234567",
        phone_end="4567",
        carrier="asiacell",
        sms_type="verification",
        provider="auto",
        send_state=Status.ACCEPTED,
        delivery=status.to_json(status.NOTHING),
    )
    with database.transaction() as session:
        merging.add(session, message)
    return message.id


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


def stored(database: Database) -> list[Callback]:
    with database.reading() as session:
        return list(session.scalars(select(Callback).order_by(Callback.id)))


def message_now(database: Database, message_id: UUID) -> Message:
    with database.reading() as session:
        message = session.get(Message, message_id)
    assert message is not None
    return message


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


@pytest.mark.parametrize("raw", DOCUMENTED.values(), ids=DOCUMENTED.keys())
def test_each_documented_payload_is_accepted_and_kept_byte_for_byte(
    client: FlaskClient, stamper: Stamper, database: Database, message_id: UUID, raw: bytes
) -> None:
    answer = post(client, stamper, message_id, raw)

    assert (answer.status_code, answer.get_json()) == (200, {"status": "ok", "verdict": "accepted"})
    (callback,) = stored(database)
    assert (callback.body, callback.message_id, callback.verdict) == (raw, message_id, "accepted")


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


def test_a_callback_reaches_its_message(
    client: FlaskClient, stamper: Stamper, database: Database, message_id: UUID
) -> None:
    post(client, stamper, message_id, DOCUMENTED["failed"])
    message = message_now(database, message_id)
    assert (message.status, message.closed, message.channel) == ("failed", True, "sms")
    assert (message.reason, message.sms_id) == ("Carrier rejected the message", "sms-1234567890abcdef123456")


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
    "change", [str.upper, lambda id_: id_.replace("-", ""), lambda id_: f"{{{id_}}}", lambda _: "1"]
)
def test_an_id_written_otherwise_is_401_like_any_other(app_client: FlaskClient, stamper: Stamper, change) -> None:  # type: ignore[no-untyped-def]
    target_id = UUID("01980f2e-77b1-7c20-9d0e-5f3a1b2c6c41")
    url = stamper.issue(target_id).url.replace(str(target_id), change(str(target_id)))
    headers = {"X-OTPIQ-Webhook-Secret": stamper.issue(target_id).secret}

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
    "timestamp",
    ["", "abc", "-1", "1e9", "١٢٣٤٥٦٧٨٩٠", "0x10", " 1", "9" * 40]
    + [str(int(time.time()) - 72 * 3600 - 60), str(int(time.time()) + 6 * 60 + 600)],
)
def test_a_signature_of_an_odd_old_or_future_timestamp_is_401(
    app_client: FlaskClient, stamper: Stamper, timestamp: str
) -> None:
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


def test_a_body_of_64_kib_is_taken_and_one_byte_more_is_413_in_json(client: FlaskClient, stamper: Stamper) -> None:
    target_id = new_id(datetime.now(UTC))
    fits, over = (SENT[:-1] + b" " * (size - len(SENT)) + b"}" for size in (64 * 1024, 64 * 1024 + 1))
    assert post(client, stamper, target_id, fits).status_code == 200
    answer = post(client, stamper, target_id, over)
    assert (answer.status_code, set(answer.get_json())) == (413, {"message"})


def test_a_big_body_without_the_secret_is_401_and_not_read(app_client: FlaskClient, stamper: Stamper) -> None:
    stamp = stamper.issue(new_id(datetime.now(UTC)))
    answer = app_client.post(stamp.url, data=b"x" * 100_000, headers={"X-OTPIQ-Webhook-Secret": "wrong"})
    assert (answer.status_code, answer.data) == (401, b'{"message":"not authentic"}\n')


TRAPS = {
    "empty": b"",
    "blank": b" \n",
    "not JSON": b"status=sent",
    "a list": b"[" + SENT + b"]",
    "null": b"null",
    "60,000 brackets": b"[" * 60_000,
    "30,000 objects": b'{"a":' * 10_000,
    "NaN": b'{"smsId": "sms-1", "status": "sent", "isFinal": NaN}',
    "-Infinity": b'{"smsId": "sms-1", "status": "sent", "cost": -Infinity}',
    "a number of 5,000 digits": b'{"smsId": "sms-1", "status": "sent", "cost": ' + b"9" * 5_000 + b"}",
    "a lone surrogate": b'{"smsId": "sms-1", "status": "sent\\ud800"}',
    "NUL": b'{"smsId": "sms-1", "status": "sent\\u0000"}',
    "NUL bytes": b"\0" * 100,
    "UTF-16 cut in half": SENT.decode().encode("utf-16")[:-1],
    "a key twice": b'{"smsId": "sms-1", "status": "sent", "status": "delivered"}',
    "gzip": gzip.compress(SENT),
    "bytes that are no UTF-8": b'{"smsId": "sms-1", "status": "\xff\xfe"}',
    "no status": b'{"smsId": "sms-1"}',
    "a status that is no text": b'{"smsId": "sms-1", "status": ["sent"]}',
}


@pytest.mark.parametrize("raw", TRAPS.values(), ids=TRAPS.keys())
def test_an_authentic_body_that_cannot_be_read_is_kept_as_it_came_and_answered_200(
    client: FlaskClient, stamper: Stamper, database: Database, message_id: UUID, raw: bytes
) -> None:
    answer = post(client, stamper, message_id, raw)

    assert (answer.status_code, answer.get_json()["verdict"]) == (200, "quarantined")
    (callback,) = stored(database)
    assert (callback.verdict, callback.body, callback.message_id) == ("quarantined", raw, message_id)
    assert callback.note
    assert message_now(database, message_id).status == "accepted"


def test_200_000_brackets_are_too_big_rather_than_too_deep(app_client: FlaskClient, stamper: Stamper) -> None:
    assert post(app_client, stamper, new_id(datetime.now(UTC)), b"[" * 200_000).status_code == 413


ODD_BUT_READABLE = {
    "UTF-16": SENT.decode().encode("utf-16"),
    "with a byte-order mark": b"\xef\xbb\xbf" + SENT,
    "a surrogate and NUL in fields nobody reads": b'{"status":"sent","channel":"sms","x":"\\udc00","y":"\\u0000"}',
    "isFinal in quotes": b'{"status":"sent","channel":"sms","isFinal":"true"}',
    "a channel nobody knows": b'{"status":"sent","channel":"pigeon"}',
    "1e999": b'{"status":"sent","channel":"sms","cost":1e999}',
}


@pytest.mark.parametrize("raw", ODD_BUT_READABLE.values(), ids=ODD_BUT_READABLE.keys())
def test_an_odd_body_whose_meaning_is_plain_moves_its_message(
    client: FlaskClient, stamper: Stamper, database: Database, message_id: UUID, raw: bytes
) -> None:
    assert post(client, stamper, message_id, raw).get_json()["verdict"] == "accepted"
    message = message_now(database, message_id)
    assert (message.status, message.closed) == ("sent", False)


def test_a_repeat_is_counted_and_not_stored_twice(
    client: FlaskClient, stamper: Stamper, database: Database, message_id: UUID
) -> None:
    verdicts = [post(client, stamper, message_id).get_json()["verdict"] for _ in range(3)]
    assert verdicts == ["accepted", "repeat", "repeat"]
    assert [callback.repeats for callback in stored(database)] == [2]


def test_a_callback_of_an_unknown_id_is_kept_as_an_orphan(
    client: FlaskClient, stamper: Stamper, database: Database
) -> None:
    answer = post(client, stamper, new_id(datetime.now(UTC)))
    assert (answer.status_code, answer.get_json()["verdict"]) == (200, "orphan")
    assert [callback.message_id for callback in stored(database)] == [None]


def test_a_source_s_callback_makes_its_message_and_touches_no_other(
    client: FlaskClient, stamper: Stamper, database: Database, message_id: UUID
) -> None:
    post(client, stamper, message_id, SENT)
    source = sources.add(database, "shop", datetime.now(UTC))
    delivered = SENT.replace(b"sent", b"delivered")

    assert post(client, stamper, source.id, delivered).get_json()["verdict"] == "accepted"

    with database.reading() as session:
        found = {message.id: message for message in session.scalars(select(Message))}
    made = next(message for id_, message in found.items() if id_ != message_id)
    assert (made.source_id, made.status) == (source.id, "delivered")
    assert found[message_id].status == "sent"


def test_the_secret_is_not_stored(client: FlaskClient, stamper: Stamper, database: Database, message_id: UUID) -> None:
    post(client, stamper, message_id)
    (callback,) = stored(database)
    assert stamper.issue(message_id).secret not in str(callback.headers)


@pytest.mark.parametrize("order", ["newest first", "the old key gone"])
def test_after_a_rotation_the_old_key_verifies_until_it_is_taken_out(
    store_url: str, tmp_path: Path, stamper: Stamper, order: str
) -> None:
    keys = "another key that is quite long enough, 2026" + (f",{SECRET_KEY}" if order == "newest first" else "")
    app = create_app(make_config(store_url, tmp_path, WASL_SECRET_KEYS=keys))
    old = post(app.test_client(), stamper, new_id(datetime.now(UTC)))
    app.extensions["wasl"].database.engine.dispose()
    assert old.status_code == (200 if order == "newest first" else 401)


@pytest.mark.parametrize(
    "database_url", ["postgresql+psycopg://wasl:hidden@127.0.0.1:9/wasl", "sqlite:////proc/x/w.db"]
)
def test_with_the_store_away_a_callback_is_503_and_asked_to_come_again(
    tmp_path: Path, stamper: Stamper, database_url: str
) -> None:
    config = make_config(f"sqlite:///{tmp_path / 'wasl.db'}", tmp_path)
    object.__setattr__(config, "database_url", database_url)
    if database_url.startswith("sqlite"):
        object.__setattr__(config, "database_url", f"sqlite:///{tmp_path}")  # a folder, not a file
    client = create_app(config).test_client()

    answer = post(client, stamper, new_id(datetime.now(UTC)))

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert set(answer.get_json()) == {"message"}
    assert client.get("/readyz", **HTTPS).status_code == 503
    assert client.get("/healthz", **HTTPS).status_code == 200
