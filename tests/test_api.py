"""POST /api/sms against the simulator: OTPIQ's own shapes, kept as existing senders read them."""

import dataclasses
import json
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from webhook_app import accounts, budgets
from webhook_app.database import Database
from webhook_app.models import Message
from webhook_app.otpiq import Otpiq
from webhook_app.simulator.misbehaviours import TRICKS, Misbehaviour, suffix_of
from webhook_app.simulator.server import Simulator
from webhook_app.status import Fact

from .rows import add_message
from .scripted import Part, Scripted, accepted, answer

SIX = {"message", "smsId", "remainingCredit", "cost", "canCover", "paymentType"}
OTP = {"phoneNumber": "9647701234567", "smsType": "verification", "verificationCode": "493817"}
CLASS_WORDS = {
    "sender": "SenderID",
    "trial": "trial mode",
    "credit": "insufficient credit",
    "phone": "phone",
    "rate": "rate limit",
}


class Sender:
    """A program of a customer's: it knows the address and its key."""

    def __init__(self, app: Flask, key: str) -> None:
        self.app, self.key = app, key

    def post(self, body: Any, path: str = "/api/sms", **headers: str) -> TestResponse:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.app.test_client().post(path, data=raw, headers=given)

    def messages(self) -> list[Message]:
        with self.app.extensions["wasl"].database.reading() as session:
            return list(session.scalars(select(Message).order_by(Message.id)))


@pytest.fixture
def sender(simulated: Flask, simulator: Simulator) -> Sender:
    """Our own deadline is short, so that a test of silence is."""
    house = simulated.extensions["wasl"]
    quick = Otpiq(simulator.base_url, "sk_live_0123456789abcdef", deadline_s=1.0)
    simulated.extensions["wasl"] = dataclasses.replace(house, otpiq=quick)
    _id, key = accounts.add_key(house.database, "shop", datetime.now(UTC))
    return Sender(simulated, key)


@pytest.fixture
def idle(app: Flask) -> Sender:
    """For requests that never get as far as OTPIQ: nothing listens there."""
    _id, key = accounts.add_key(app.extensions["wasl"].database, "shop", datetime.now(UTC))
    return Sender(app, key)


def test_a_send_that_a_budget_stops_is_refused_like_otpiq_s_own_limit(idle: Sender, database: Database) -> None:
    now = datetime.now(UTC)
    budgets.put(database, "100", "", "sara", now, stops=["day"])
    add_message(database, now, facts=[Fact(at=now, word="delivered", is_final=True, cost_iqd=150)])
    answer = idle.post(OTP)
    body = assert_shape(answer)
    assert answer.status_code == 400
    assert body["error"] == body["message"] == "Not sent: the budget of the day is spent"
    assert (body["currentSpending"], body["spendingThreshold"]) == (150, 100)
    assert idle.messages()[-1].status == "unsent"


def asking_for(misbehaviour: Misbehaviour, **changes: Any) -> dict[str, Any]:
    return OTP | {"phoneNumber": f"9647701234{suffix_of(misbehaviour)}"} | changes


def assert_shape(answer: TestResponse) -> dict[str, Any]:
    """What holds of every answer here, whatever it says."""
    body: dict[str, Any] = answer.get_json()
    assert answer.mimetype == "application/json"
    assert isinstance(body, dict)
    assert answer.status_code not in (201, 402, 403)
    assert all(isinstance(value, int) for value in body.values() if isinstance(value, int | float))
    if answer.status_code == 200:
        assert body.keys() >= SIX
        assert re.fullmatch(r"[A-Za-z0-9_-]+", body["smsId"])
        assert not {"data", "error", "errors"} & body.keys()
    elif answer.status_code == 400:
        assert body["error"] == body["message"]
    else:
        assert isinstance(body["message"], str)
    return body


def test_an_accepted_message_is_answered_in_otpiq_s_six_keys_and_our_id(sender: Sender) -> None:
    answer = sender.post(OTP)
    body = assert_shape(answer)
    assert answer.status_code == 200
    assert (body["message"], body["canCover"], body["paymentType"]) == (
        "SMS task created successfully",
        True,
        "prepaid",
    )
    assert (type(body["cost"]), type(body["remainingCredit"])) == (int, int)
    (message,) = sender.messages()
    assert (UUID(body["messageId"]), body["smsId"]) == (message.id, message.sms_id)
    assert (message.phone, message.status, message.asked_by) == ("9647701234567", "accepted", "key:shop")


ACCEPTED = [
    trick.misbehaviour
    for trick in TRICKS
    if trick.suffix < "910" and trick.misbehaviour is not Misbehaviour.CALLBACK_FIRST  # nothing to call back to here
]


@pytest.mark.parametrize("misbehaviour", ACCEPTED)
def test_what_goes_wrong_only_after_the_answer_is_200(sender: Sender, misbehaviour: Misbehaviour) -> None:
    answer = sender.post(asking_for(misbehaviour))
    assert (answer.status_code, assert_shape(answer)["status"]) == (200, "accepted")


REFUSED: dict[Misbehaviour, tuple[int, str, dict[str, Any]]] = {
    Misbehaviour.BAD_REQUEST: (400, "", {}),
    Misbehaviour.BAD_FIELDS: (400, "", {"errors": {"phoneNumber", "smsType"}}),
    Misbehaviour.BAD_SENDER: (400, "sender", {}),
    Misbehaviour.TRIAL_MODE: (400, "trial", {}),
    Misbehaviour.INSUFFICIENT_CREDIT: (400, "credit", {"yourCredit": int, "requiredCredit": int, "canCover": bool}),
    Misbehaviour.SPENDING_THRESHOLD: (400, "", {"currentSpending": int, "spendingThreshold": int, "cost": int}),
    Misbehaviour.BAD_KEY: (502, "", {}),
    Misbehaviour.RATE_LIMITED: (429, "rate", {"waitMinutes": int, "maxRequests": int, "timeWindowMinutes": int}),
}
SPECIAL_KEYS = {name for _status, _kind, keys in REFUSED.values() for name in keys}


@pytest.mark.parametrize("misbehaviour", REFUSED)
def test_each_refusal_keeps_its_own_status_keys_and_words(sender: Sender, misbehaviour: Misbehaviour) -> None:
    status, kind, keys = REFUSED[misbehaviour]
    answer = sender.post(asking_for(misbehaviour))
    body = assert_shape(answer)

    assert answer.status_code == status
    assert body.keys() & SPECIAL_KEYS == keys.keys()
    assert {name: type(body[name]) for name in keys if name != "errors"} == {
        name: type_ for name, type_ in keys.items() if name != "errors"
    }
    assert set(body.get("errors", ())) == keys.get("errors", set())
    words = {name for name, word in CLASS_WORDS.items() if word.lower() in body["message"].lower()}
    assert words == ({kind} if kind else set())
    assert [message.status for message in sender.messages()] == ["throttled" if status == 429 else "rejected"]


def test_a_rate_limit_says_when_to_come_back(sender: Sender) -> None:
    answer = sender.post(asking_for(Misbehaviour.RATE_LIMITED))
    assert (answer.get_json()["waitMinutes"], answer.headers["Retry-After"]) == (5, "300")


def test_a_credit_refusal_says_that_the_account_cannot_cover_it(sender: Sender) -> None:
    body = sender.post(asking_for(Misbehaviour.INSUFFICIENT_CREDIT)).get_json()
    assert body["canCover"] is False
    assert body["yourCredit"] < body["requiredCredit"]


IN_DOUBT = [
    Misbehaviour.PROVIDER_FAULT,
    Misbehaviour.REDIRECT,
    Misbehaviour.NEVER_ANSWERS,
    Misbehaviour.CUT_ANSWER,
    Misbehaviour.CUT_EARLY,
    Misbehaviour.INVALID_JSON,
    Misbehaviour.NO_SMS_ID,
    Misbehaviour.FAULT_YET_SENT,
]


@pytest.mark.parametrize("misbehaviour", IN_DOUBT)
def test_a_send_in_doubt_is_200_so_that_nobody_pays_twice(sender: Sender, misbehaviour: Misbehaviour) -> None:
    answer = sender.post(asking_for(misbehaviour))
    body = assert_shape(answer)
    assert (answer.status_code, body["status"], body["canCover"]) == (200, "unconfirmed", True)
    assert [message.status for message in sender.messages()] == ["unconfirmed"]


def test_every_trick_of_the_simulator_is_tried_here() -> None:
    tried = {*ACCEPTED, *REFUSED, *IN_DOUBT, Misbehaviour.CALLBACK_FIRST}
    assert tried == {trick.misbehaviour for trick in TRICKS}


def test_the_sms_id_of_a_cut_answer_is_handed_on(sender: Sender, simulator: Simulator) -> None:
    body = sender.post(asking_for(Misbehaviour.CUT_ANSWER)).get_json()
    assert simulator.ledger.find(body["smsId"]) is not None


def test_with_otpiq_out_of_reach_it_is_502_and_nothing_was_sent(idle: Sender) -> None:
    answer = idle.post(OTP)
    assert (answer.status_code, assert_shape(answer)["message"]) == (
        502,
        "Not sent: OTPIQ could not be reached",
    )
    assert [message.status for message in idle.messages()] == ["unsent"]


@pytest.mark.parametrize(
    "typed", ["٠٧٧٠ ١٢٣ ٤٥٦٧", "۰۷۷۰۱۲۳۴۵۶۷", "07701234567", "+964 770 123-4567", "00964 (770) 1234567"]
)
def test_a_number_in_any_shape_goes_out_in_the_one_otpiq_takes(sender: Sender, typed: str) -> None:
    assert sender.post(OTP | {"phoneNumber": typed}).status_code == 200
    assert [message.phone for message in sender.messages()] == ["9647701234567"]


def test_the_same_call_a_moment_later_is_a_second_message(sender: Sender, simulator: Simulator) -> None:
    ids = [sender.post(OTP).get_json()["smsId"] for _ in range(2)]
    assert len(set(ids)) == 2
    assert len(simulator.ledger.sends) == 2


def test_a_caller_s_own_delivery_report_is_replaced_and_the_answer_says_so(
    sender: Sender, simulator: Simulator
) -> None:
    report = {"webhookUrl": "https://shop.example.iq/hook", "deliveryReportType": "final", "webhookSecret": "s"}
    body = assert_shape(sender.post(OTP | {"deliveryReport": report, "antiFraud": {"requesterIp": "192.0.2.7"}}))
    assert "replaced" in body["warnings"][0]
    entry = simulator.ledger.find(body["smsId"])
    assert entry is not None
    assert entry.send.report is not None
    assert entry.send.report.webhook_url == f"https://wasl.example.iq/callbacks/otpiq/{body['messageId']}"


def test_a_repeat_under_the_same_idempotency_key_gets_the_first_answer_again(
    sender: Sender, simulator: Simulator
) -> None:
    first, again = (sender.post(OTP, Idempotency_Key="order-7") for _ in range(2))
    assert (first.status_code, first.get_json()) == (again.status_code, again.get_json())
    assert len(simulator.ledger.sends) == 1
    assert len(sender.messages()) == 1


def test_a_repeated_refusal_is_the_same_refusal(sender: Sender) -> None:
    body = asking_for(Misbehaviour.INSUFFICIENT_CREDIT)
    first, again = (sender.post(body, Idempotency_Key="order-8") for _ in range(2))
    assert (first.status_code, first.get_json()) == (again.status_code, again.get_json())


def test_the_same_idempotency_key_with_another_body_is_422(sender: Sender) -> None:
    first = sender.post(OTP, Idempotency_Key="order-7").get_json()
    answer = sender.post(OTP | {"verificationCode": "111111"}, Idempotency_Key="order-7")
    assert (answer.status_code, assert_shape(answer)["messageId"]) == (422, first["messageId"])


def test_two_keys_may_use_the_same_idempotency_key(sender: Sender) -> None:
    _id, key = accounts.add_key(sender.app.extensions["wasl"].database, "app", datetime.now(UTC))
    ids = [each.post(OTP, Idempotency_Key="1").get_json()["messageId"] for each in (sender, Sender(sender.app, key))]
    assert len(set(ids)) == 2


@pytest.fixture
def slow_answer(sender: Sender) -> Iterator[list[TestResponse]]:
    """A send that is on its way for the fifth of a second; its answer appears in the list."""
    answers: list[TestResponse] = []
    body = asking_for(Misbehaviour.SLOW_ANSWER)
    thread = threading.Thread(target=lambda: answers.append(sender.post(body, Idempotency_Key="order-9")))
    thread.start()
    while not any(message.status == "sending" for message in sender.messages()):
        time.sleep(0.01)
    yield answers
    thread.join()


def test_a_repeat_while_the_first_is_still_being_sent_is_409(
    sender: Sender, slow_answer: list[TestResponse], simulator: Simulator
) -> None:
    answer = sender.post(asking_for(Misbehaviour.SLOW_ANSWER), Idempotency_Key="order-9")
    assert (answer.status_code, slow_answer) == (409, [])
    assert UUID(assert_shape(answer)["messageId"]) == sender.messages()[0].id


@pytest.mark.parametrize("told", [accepted(remainingCredit=None), answer(500, {"message": "Internal error"})])
def test_a_store_that_goes_away_during_the_call_does_not_say_that_nothing_was_sent(
    sender: Sender, simulated: Flask, told: list[Part]
) -> None:
    """A 503 now would make the caller send, and pay, a second time."""
    house = simulated.extensions["wasl"]

    def take_the_store_away(_request: bytes) -> list[Part]:
        away = Database("postgresql+psycopg://wasl@127.0.0.1:9/wasl")
        simulated.extensions["wasl"] = dataclasses.replace(simulated.extensions["wasl"], database=away)
        return told

    with Scripted(take_the_store_away) as server:
        otpiq = Otpiq(server.base_url, "sk_live_0123456789abcdef")
        simulated.extensions["wasl"] = dataclasses.replace(house, otpiq=otpiq)
        reply = sender.post(OTP)
    simulated.extensions["wasl"] = house
    assert reply.status_code == 200
    assert reply.get_json()["status"] in ("accepted", "unconfirmed")
