"""Authentic callbacks by what they say: the documented bodies, repeats, orphans, and what cannot be read."""

import gzip
from datetime import UTC, datetime
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from webhook_app import sources
from webhook_app.database import Database
from webhook_app.ids import new_id
from webhook_app.models import Callback, Message
from webhook_app.stamp import Stamper

from .rows import add_message, all_rows, get_message
from .test_callbacks import DOCUMENTED, SENT, post


@pytest.fixture
def message_id(database: Database) -> UUID:
    """A message that was sent and heard nothing of yet."""
    return add_message(database, datetime.now(UTC))


@pytest.mark.parametrize("raw", DOCUMENTED.values(), ids=DOCUMENTED.keys())
def test_each_documented_payload_is_accepted_and_kept_byte_for_byte(
    client: FlaskClient, stamper: Stamper, database: Database, message_id: UUID, raw: bytes
) -> None:
    answer = post(client, stamper, message_id, raw)

    assert (answer.status_code, answer.get_json()) == (200, {"status": "ok", "verdict": "accepted"})
    (callback,) = all_rows(database, Callback)
    assert (callback.body, callback.message_id, callback.verdict) == (raw, message_id, "accepted")


def test_a_callback_reaches_its_message(
    client: FlaskClient, stamper: Stamper, database: Database, message_id: UUID
) -> None:
    post(client, stamper, message_id, DOCUMENTED["failed"])
    message = get_message(database, message_id)
    assert (message.status, message.closed, message.channel) == ("failed", True, "sms")
    assert (message.reason, message.sms_id) == ("Carrier rejected the message", "sms-1234567890abcdef123456")


def test_a_body_of_64_kib_is_taken_and_one_byte_more_is_413_in_json(client: FlaskClient, stamper: Stamper) -> None:
    target_id = new_id(datetime.now(UTC))
    fits, over = (SENT[:-1] + b" " * (size - len(SENT)) + b"}" for size in (64 * 1024, 64 * 1024 + 1))
    assert post(client, stamper, target_id, fits).status_code == 200
    answer = post(client, stamper, target_id, over)
    assert (answer.status_code, set(answer.get_json())) == (413, {"message"})


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
    (callback,) = all_rows(database, Callback)
    assert (callback.verdict, callback.body, callback.message_id) == ("quarantined", raw, message_id)
    assert callback.note
    assert get_message(database, message_id).status == "accepted"


def test_200_000_brackets_are_too_big_rather_than_too_deep(client: FlaskClient, stamper: Stamper) -> None:
    assert post(client, stamper, new_id(datetime.now(UTC)), b"[" * 200_000).status_code == 413


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
    message = get_message(database, message_id)
    assert (message.status, message.closed) == ("sent", False)


def test_a_repeat_is_counted_and_not_stored_twice(
    client: FlaskClient, stamper: Stamper, database: Database, message_id: UUID
) -> None:
    verdicts = [post(client, stamper, message_id).get_json()["verdict"] for _ in range(3)]
    assert verdicts == ["accepted", "repeat", "repeat"]
    assert [callback.repeats for callback in all_rows(database, Callback)] == [2]


def test_a_callback_of_an_unknown_id_is_kept_as_an_orphan(
    client: FlaskClient, stamper: Stamper, database: Database
) -> None:
    answer = post(client, stamper, new_id(datetime.now(UTC)))
    assert (answer.status_code, answer.get_json()["verdict"]) == (200, "orphan")
    assert [callback.message_id for callback in all_rows(database, Callback)] == [None]


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
