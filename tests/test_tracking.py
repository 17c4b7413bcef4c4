import contextlib
from typing import Any
from uuid import uuid4

import pytest

from webhook_app import receiving, sending, sources, tracking
from webhook_app.database import Database
from webhook_app.models import Exchange, Message
from webhook_app.otpiq import BadKey, NotSent, Otpiq, OutcomeUnknown, UnknownMessage, parse_send
from webhook_app.sending import Asked
from webhook_app.simulator.misbehaviours import Misbehaviour, suffix_of
from webhook_app.simulator.server import Simulator
from webhook_app.stamp import Stamper
from webhook_app.status import Fact, from_json

from .conftest import SECRET_KEY
from .rows import (
    NOW,
    PHONE,
    add_message,
    all_rows,
    arrival,
    callback,
    counted,
    everything_stored,
    get_message,
    recounted,
)
from .scripted import Scripted, answer

KEY = "sk_live_0123456789abcdef"
ANSWER: dict[str, Any] = {
    "smsId": "sms-1",
    "phoneNumber": PHONE,
    "status": "delivered",
    "cost": 60,
    "isFinalStatus": True,
    "lastChannel": "sms",
    "channelFlow": [
        {"channel": "whatsapp", "tried": True, "success": False},
        {"channel": "telegram", "tried": False},
        {"channel": "sms", "tried": True, "success": True},
    ],
}


def check(database: Database, base_url: str, message_id: Any) -> bool:
    return tracking.check(database, Otpiq(base_url, KEY, deadline_s=1.0), message_id, lambda: NOW)


def tracked(database: Database, **changes: Any) -> Message:
    message = add_message(database, sms_id="sms-1")
    with Scripted(answer(200, ANSWER | changes)) as server:
        check(database, server.base_url, message)
    return get_message(database, message)


def test_a_tracking_answer_is_merged_like_any_other_fact(database: Database) -> None:
    row = tracked(database)
    assert (row.status, row.channel, row.closed, row.charged_iqd) == ("delivered", "sms", True, 60)
    assert set(from_json(row.delivery).channels) == {"sms", "whatsapp"}
    assert counted(database) == recounted(database)


def test_it_corrects_the_cost_the_answer_told(database: Database) -> None:
    message = add_message(database, sms_id="sms-1", facts=[Fact(at=NOW, cost_iqd=80)])
    assert get_message(database, message).charged_iqd == 80
    with Scripted(answer(200, ANSWER)) as server:
        check(database, server.base_url, message)
    assert get_message(database, message).charged_iqd == 60


def test_it_never_takes_back_what_a_callback_told(database: Database) -> None:
    message = add_message(database, sms_id="sms-1")
    receiving.receive(database, [arrival(message, callback("delivered", final=True))])
    with Scripted(answer(200, ANSWER | {"status": "pending", "isFinalStatus": False, "channelFlow": []})) as server:
        check(database, server.base_url, message)
    assert get_message(database, message).status == "delivered"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"status": "pending", "isFinalStatus": False, "channelFlow": []}, "accepted"),
        ({"status": "sent", "isFinalStatus": False}, "sent"),
        ({"status": "failed", "isFinalStatus": True}, "failed"),
        ({"status": "expired", "isFinalStatus": True}, "failed"),
        ({"status": "read"}, "read"),
        ({"status": "teleported", "isFinalStatus": False, "channelFlow": []}, "accepted"),
        ({"status": None, "channelFlow": None, "isFinalStatus": False}, "accepted"),
    ],
)
def test_every_word_has_its_meaning(database: Database, changes: dict[str, Any], status: str) -> None:
    assert tracked(database, **changes).status == status


def test_it_tells_whether_anything_was_new(database: Database) -> None:
    message = add_message(database, sms_id="sms-1")
    with Scripted(answer(200, ANSWER)) as server:
        assert check(database, server.base_url, message)
        assert not check(database, server.base_url, message)
    assert sorted(exchange.changed for exchange in all_rows(database, Exchange)) == [False, True]


def test_an_unconfirmed_send_is_settled_without_a_second_call(database: Database, simulator: Simulator) -> None:
    otpiq = Otpiq(simulator.base_url, KEY)
    phone = "9647701230" + suffix_of(Misbehaviour.CUT_ANSWER)
    request = parse_send({"phoneNumber": phone, "smsType": "verification", "verificationCode": "493817"})
    stamper = Stamper((SECRET_KEY,), "http://127.0.0.1:9")
    outcome = sending.send(database, otpiq, stamper, request, Asked(by="key:checkout"), lambda: NOW)
    assert outcome.state == "unconfirmed"
    assert tracking.check(database, otpiq, outcome.message_id, lambda: NOW)
    assert get_message(database, outcome.message_id).charged_iqd == simulator.ledger.sends[0].cost_iqd
    assert len(simulator.ledger.sends) == 1


def test_a_message_of_a_source_learns_its_number_and_carrier(database: Database) -> None:
    source = sources.add(database, "shop", NOW)
    receiving.receive(database, [arrival(source.id, callback("sent"))])
    (message,) = all_rows(database, Message)
    with Scripted(answer(200, ANSWER)) as server:
        check(database, server.base_url, message.id)
    row = get_message(database, message.id)
    assert (row.phone, row.phone_end, row.carrier) == (PHONE, PHONE[-4:], "asiacell")
    assert counted(database) == recounted(database)


@pytest.mark.parametrize("phone", [None, 7, "x", "9647801111111", "+9647801111111", "1" * 99])
def test_a_number_we_know_is_not_replaced(database: Database, phone: object) -> None:
    assert tracked(database, phoneNumber=phone).phone == PHONE


@pytest.mark.parametrize("body", [ANSWER | {"smsId": "sms-2"}, {"message": "OK"}, {"cost": 60, "isFinalStatus": True}])
def test_an_answer_about_no_message_or_another_is_not_merged(database: Database, body: dict[str, Any]) -> None:
    message = add_message(database, sms_id="sms-1", send_state="unconfirmed")
    with Scripted(answer(200, body)) as server, pytest.raises(OutcomeUnknown):
        check(database, server.base_url, message)
    assert get_message(database, message).status == "unconfirmed"


def test_a_message_without_an_sms_id_cannot_be_asked_about(database: Database) -> None:
    with Scripted(answer(200, ANSWER)) as server, pytest.raises(tracking.NothingToAskBy):
        check(database, server.base_url, add_message(database))
    assert server.requests == []


def test_an_unknown_message_is_a_lookup_error(database: Database) -> None:
    with pytest.raises(LookupError):
        check(database, "http://127.0.0.1:9/api", uuid4())


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (answer(404, {"message": f"no message to {PHONE}\0"}), UnknownMessage),
        (answer(401, {"message": "\ud800"}), BadKey),
        (answer(500, {"message": "Internal error"}), OutcomeUnknown),
        (answer(302, {}, "Location: /api/info"), OutcomeUnknown),
        ([b""], OutcomeUnknown),
    ],
)
def test_a_failure_is_stored_and_changes_no_status(
    database: Database, script: list[bytes], error: type[Exception]
) -> None:
    message = add_message(database, sms_id="sms-1")
    with Scripted(script) as server, pytest.raises(error):
        check(database, server.base_url, message)
    (stored,) = all_rows(database, Exchange)
    assert (stored.kind, stored.changed) == ("tracking", False)
    assert get_message(database, message).status == "accepted"


@pytest.mark.parametrize("body", [b"", b"[]", b"OK", b'{"status":"delivered","status":"failed"}', b'{"cost":NaN}'])
def test_an_answer_that_makes_no_sense_tells_nothing(database: Database, body: bytes) -> None:
    message = add_message(database, sms_id="sms-1")
    with Scripted(answer(200, body)) as server, pytest.raises(OutcomeUnknown):
        check(database, server.base_url, message)
    assert get_message(database, message).status == "accepted"
    assert get_message(database, message).last_fact_at is None


def test_a_refused_connection_is_told_as_not_sent(database: Database) -> None:
    with pytest.raises(NotSent):
        check(database, "http://127.0.0.1:9/api", add_message(database, sms_id="sms-1"))


@pytest.mark.parametrize("status", [200, 404, 500])
def test_the_number_stands_in_no_trace(database: Database, status: int) -> None:
    message = add_message(database, sms_id="sms-1")
    echo = answer(status, ANSWER | {"message": f"to {PHONE}"})
    with Scripted(echo) as server, contextlib.suppress(UnknownMessage, OutcomeUnknown):
        check(database, server.base_url, message)
    assert everything_stored(database).count(PHONE) == 1
