"""The simulator over real HTTP: it answers as the contract says, calls back, and misbehaves when asked."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from webhook_app.phone import Carrier, carrier_of, is_usual
from webhook_app.simulator.misbehaviours import TRICKS, Misbehaviour, find_misbehaviour, suffix_of
from webhook_app.simulator.plots import (
    CARRIER_SHARES,
    Channel,
    EventStatus,
    Rates,
    callbacks_of,
    headline,
    plot,
    random_phone,
)
from webhook_app.simulator.server import Simulator

ORDINARY = "9647801234567"
SPEED = 50.0


@dataclass(frozen=True)
class Received:
    at: float
    headers: dict[str, str]
    body: dict[str, Any]


class Receiver:
    """A customer's callback address that remembers what it was told; answers `statuses` first, then 204."""

    def __init__(self, *statuses: int) -> None:
        self.received: list[Received] = []
        self._statuses = list(statuses)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.received.append(Received(time.monotonic(), dict(self.headers.items()), body))
                self.send_response(receiver._statuses.pop(0) if receiver._statuses else 204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/callbacks/1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def statuses(self) -> list[str]:
        return [received.body["status"] for received in self.received]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(speed=SPEED, seed=7) as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.stop()


@pytest.fixture
def client(simulator: Simulator) -> Iterator[httpx.Client]:
    headers = {"Authorization": "Bearer sk_live_example"}
    with httpx.Client(base_url=simulator.base_url, headers=headers, trust_env=False, timeout=15) as client:
        yield client


def otp(phone: str = ORDINARY, receiver: Receiver | None = None, **changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"phoneNumber": phone, "smsType": "verification", "verificationCode": "493817", **changes}
    if receiver is not None:
        body.setdefault("deliveryReport", {})["webhookUrl"] = receiver.url
    return body


def ending_in(misbehaviour: Misbehaviour) -> str:
    return random_phone(random.Random(1), misbehaviour)


def wait_for(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    give_up = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up, "did not happen in time"
        time.sleep(0.005)


# The four calls


def test_an_accepted_send_answers_with_the_six_keys_and_integers(client: httpx.Client) -> None:
    answer = client.post("/sms", json=otp())
    assert answer.status_code == 200
    sms_id = answer.json()["smsId"]
    assert sms_id.startswith("sms-")
    assert int(sms_id.removeprefix("sms-"), 16) >= 0
    assert len(sms_id) == 28
    assert answer.json() == {
        "message": "SMS task created successfully",
        "smsId": sms_id,
        "remainingCredit": 999_940,
        "cost": 60,
        "canCover": True,
        "paymentType": "prepaid",
    }
    assert '"cost": 60,' in answer.text


@pytest.mark.parametrize(
    ("phone", "changes", "cost"),
    [
        (ORDINARY, {"provider": "auto"}, 60),
        (ORDINARY, {"provider": "telegram-sms"}, 40),
        (ORDINARY, {"provider": "sms"}, 80),
        ("12025550123", {"provider": "sms"}, 100),
        (ORDINARY, {"smsType": "custom", "customMessage": "Hi", "senderId": "MyShop", "provider": "whatsapp"}, 80),
    ],
)
def test_the_first_channel_of_the_route_sets_the_price(
    client: httpx.Client, phone: str, changes: dict[str, Any], cost: int
) -> None:
    assert client.post("/sms", json=otp(phone, **changes)).json()["cost"] == cost


def test_the_balance_falls_by_what_was_charged(client: httpx.Client, simulator: Simulator) -> None:
    charged = sum(client.post("/sms", json=otp()).json()["cost"] for _ in range(3))
    assert client.get("/info").json() == {"projectName": "Wasl simulator", "credit": 1_000_000 - charged}
    assert simulator.ledger.balance_iqd == 1_000_000 - charged


def test_a_send_the_credit_does_not_cover_is_refused_and_not_charged() -> None:
    with Simulator(speed=SPEED, credit_iqd=100) as poor:
        for expected in (200, 400):
            answer = httpx.post(
                f"{poor.base_url}/sms", json=otp(), headers={"Authorization": "Bearer sk_dev_1"}, trust_env=False
            )
            assert answer.status_code == expected
        assert answer.json()["yourCredit"] == 40
        assert answer.json()["requiredCredit"] == 60
        assert answer.json()["canCover"] is False
        assert poor.ledger.balance_iqd == 40


def test_sender_ids_lists_accepted_pending_and_rejected_names(client: httpx.Client) -> None:
    answer = client.get("/sender-ids").json()
    assert answer["success"] is True
    assert {row["status"] for row in answer["data"]} == {"accepted", "pending", "rejected"}
    assert answer["data"][0]["pricePerSms"] == {"korekTelecom": 80, "asiaCell": 80, "zainIraq": 80, "others": 100}


def test_tracking_follows_the_message_to_its_end(client: httpx.Client) -> None:
    sms_id = client.post("/sms", json=otp(ending_in(Misbehaviour.FALLBACK))).json()["smsId"]
    wait_for(lambda: client.get(f"/sms/track/{sms_id}").json()["isFinalStatus"])
    answer = client.get(f"/sms/track/{sms_id}").json()
    assert answer["phoneNumber"] == ending_in(Misbehaviour.FALLBACK)
    assert (answer["status"], answer["lastChannel"], answer["cost"]) == ("delivered", "sms", 60)
    assert answer["channelFlow"] == [
        {"channel": "whatsapp", "tried": True, "success": False},
        {"channel": "telegram", "tried": True, "success": False},
        {"channel": "sms", "tried": True, "success": True},
    ]


def test_tracking_says_pending_before_anything_has_happened() -> None:
    with Simulator(speed=0.01) as slow:
        headers = {"Authorization": "Bearer sk_dev_1"}
        sms_id = httpx.post(f"{slow.base_url}/sms", json=otp(), headers=headers, trust_env=False).json()["smsId"]
        answer = httpx.get(f"{slow.base_url}/sms/track/{sms_id}", headers=headers, trust_env=False).json()
        assert (answer["status"], answer["isFinalStatus"], answer["lastChannel"]) == ("pending", False, "whatsapp")


# What is refused


@pytest.mark.parametrize(
    "changes",
    [
        {"phoneNumber": "+9647801234567"},
        {"phoneNumber": "964780"},
        {"phoneNumber": 9647801234567},
        {"smsType": "otp"},
        {"provider": "pigeon"},
        {"provider": ["sms"]},
        {"verificationCode": ""},
        {"verificationCode": 493817},
        {"verificationCode": "1" * 21},
        {"senderId": "TwelveLetter"},
        {"smsType": "custom", "customMessage": "Hi"},
        {"smsType": "custom", "senderId": "MyShop"},
        {"smsType": "whatsapp-template", "templateParameters": {}},
        {"deliveryReport": {"webhookUrl": "http://shop.example/callbacks"}},
        {"deliveryReport": {"webhookUrl": "https://["}},
        {"deliveryReport": {"deliveryReportType": "all"}},
        {"deliveryReport": {"webhookUrl": "https://shop.example/", "deliveryReportType": "some"}},
        {"deliveryReport": {"webhookUrl": "https://shop.example/", "webhookSecret": "two\nlines"}},
    ],
)
def test_what_breaks_the_contract_is_refused_without_charge(
    client: httpx.Client, simulator: Simulator, changes: dict[str, Any]
) -> None:
    answer = client.post("/sms", json={**otp(), **changes})
    assert answer.status_code == 400
    assert isinstance(answer.json()["error"], str)
    assert simulator.ledger.sends == []
    assert simulator.ledger.refused[0].http_status == 400


@pytest.mark.parametrize("sender_id", ["Unknown", "NewBrand", "BigBank"])
def test_a_sender_that_is_not_approved_is_refused_by_name(client: httpx.Client, sender_id: str) -> None:
    answer = client.post("/sms", json=otp(senderId=sender_id))
    assert answer.status_code == 400
    assert answer.json() == {"error": f'SenderID "{sender_id}" is not approved for this account'}


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer sk_test_1", "sk_live_1", "Bearer sk_live_"])
def test_a_key_of_another_shape_is_refused_everywhere(client: httpx.Client, authorization: str) -> None:
    headers = {"Authorization": authorization}
    for answer in (client.post("/sms", json=otp(), headers=headers), client.get("/info", headers=headers)):
        assert answer.status_code == 401
        assert list(answer.json()) == ["message"]


def test_a_whatsapp_template_with_all_its_fields_is_accepted(client: httpx.Client) -> None:
    names = {"whatsappAccountId": "1", "whatsappPhoneId": "2", "templateName": "code"}
    body = otp(smsType="whatsapp-template", templateParameters={"body": {"1": "123456"}}, **names)
    assert client.post("/sms", json=body).status_code == 200


@pytest.mark.parametrize("content", [b"{", b"[]", b'"text"'])
def test_a_body_that_is_not_a_json_object_is_refused(client: httpx.Client, content: bytes) -> None:
    answer = client.post("/sms", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert "error" in answer.json()


def test_a_form_instead_of_json_is_refused(client: httpx.Client) -> None:
    assert client.post("/sms", data=otp()).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/sms", 405), ("POST", "/sms/send", 404), ("GET", "/sms/track/sms-0", 404), ("GET", "/nothing", 404)],
)
def test_wrong_addresses_and_methods_are_answered_in_json(
    client: httpx.Client, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert list(answer.json()) == ["message"]


def test_a_body_too_large_is_refused_in_json(client: httpx.Client) -> None:
    answer = client.post("/sms", json=otp(customMessage="x" * 70_000))
    assert answer.status_code == 413
    assert list(answer.json()) == ["message"]


# Callbacks


def test_callbacks_carry_exactly_the_contracts_fields_and_the_secret(
    client: httpx.Client, simulator: Simulator, receiver: Receiver
) -> None:
    body = otp(ending_in(Misbehaviour.FAILED), receiver, deliveryReport={"webhookSecret": "s3cret"}, provider="sms")
    sms_id = client.post("/sms", json={**body, "senderId": "MyShop"}).json()["smsId"]
    assert simulator.wait_until_quiet(20)
    reason = receiver.received[1].body["reason"]
    common = {"smsId": sms_id, "deliveryReportType": "all", "channel": "sms", "senderId": "MyShop"}
    assert [received.body for received in receiver.received] == [
        {**common, "status": "sent", "isFinal": False},
        {**common, "status": "failed", "isFinal": True, "reason": reason},
    ]
    assert {received.headers["X-OTPIQ-Webhook-Secret"] for received in receiver.received} == {"s3cret"}


def test_a_final_report_is_one_callback(client: httpx.Client, simulator: Simulator, receiver: Receiver) -> None:
    client.post(
        "/sms", json=otp(ending_in(Misbehaviour.FALLBACK), receiver, deliveryReport={"deliveryReportType": "final"})
    )
    assert simulator.wait_until_quiet(20)
    assert [(r.body["status"], r.body["isFinal"], r.body["deliveryReportType"]) for r in receiver.received] == [
        ("delivered", True, "final")
    ]


def test_a_refusing_receiver_is_asked_again(client: httpx.Client, simulator: Simulator) -> None:
    receiver = Receiver(500, 429)
    try:
        client.post("/sms", json=otp(receiver=receiver, deliveryReport={"deliveryReportType": "final"}))
        assert simulator.wait_until_quiet(20)
    finally:
        receiver.stop()
    (attempts,) = simulator.ledger.sends[0].attempts.values()
    assert [attempt.http_status for attempt in attempts] == [500, 429, 204]


def test_a_receiver_that_is_down_is_given_up_after_four_tries(
    client: httpx.Client, simulator: Simulator, receiver: Receiver
) -> None:
    receiver.stop()
    client.post("/sms", json=otp(receiver=receiver, deliveryReport={"deliveryReportType": "final"}))
    assert simulator.wait_until_quiet(20)
    (attempts,) = simulator.ledger.sends[0].attempts.values()
    assert [attempt.error for attempt in attempts] == ["ConnectError"] * 4
    assert simulator.ledger.sends[0].acknowledged is None


def test_an_ordinary_callback_comes_after_the_answer(
    client: httpx.Client, simulator: Simulator, receiver: Receiver
) -> None:
    client.post("/sms", json=otp(receiver=receiver))
    answered = time.monotonic()
    assert simulator.wait_until_quiet(20)
    assert min(received.at for received in receiver.received) > answered - 0.05


# Misbehaviours


@pytest.mark.parametrize("report_type", ["all", "final"])
def test_a_callback_comes_before_its_own_answer(
    client: httpx.Client, simulator: Simulator, receiver: Receiver, report_type: str
) -> None:
    report = {"deliveryReportType": report_type}
    client.post("/sms", json=otp(ending_in(Misbehaviour.CALLBACK_FIRST), receiver, deliveryReport=report))
    assert receiver.received
    assert simulator.ledger.sends[0].acknowledged


def test_repeated_callbacks_come_three_times_each(
    client: httpx.Client, simulator: Simulator, receiver: Receiver
) -> None:
    client.post("/sms", json=otp(ending_in(Misbehaviour.REPEATED_CALLBACKS), receiver))
    assert simulator.wait_until_quiet(20)
    entry = simulator.ledger.sends[0]
    assert Counter(receiver.statuses) == Counter({e.status: 0 for e in entry.plot.events}) + Counter(
        e.status for e in entry.plot.events * 3
    )


def test_reordered_callbacks_come_last_first(client: httpx.Client, simulator: Simulator, receiver: Receiver) -> None:
    client.post("/sms", json=otp(ending_in(Misbehaviour.REORDERED_CALLBACKS), receiver))
    assert simulator.wait_until_quiet(20)
    events = simulator.ledger.sends[0].plot.events
    assert receiver.statuses == [event.status for event in reversed(events)]


def test_lost_callbacks_never_come_but_tracking_knows(
    client: httpx.Client, simulator: Simulator, receiver: Receiver
) -> None:
    sms_id = client.post("/sms", json=otp(ending_in(Misbehaviour.LOST_CALLBACKS), receiver)).json()["smsId"]
    wait_for(lambda: client.get(f"/sms/track/{sms_id}").json()["isFinalStatus"])
    assert simulator.wait_until_quiet(20)
    assert receiver.received == []
    assert simulator.ledger.sends[0].sent is None


def test_a_late_receipt_follows_a_final_failure(client: httpx.Client, simulator: Simulator, receiver: Receiver) -> None:
    client.post("/sms", json=otp(ending_in(Misbehaviour.LATE_RECEIPT), receiver, provider="sms"))
    assert simulator.wait_until_quiet(20)
    assert receiver.statuses == ["sent", "failed", "delivered"]
    assert [received.body["isFinal"] for received in receiver.received] == [False, True, True]


def test_a_fallback_fails_on_every_channel_but_the_last(
    client: httpx.Client, simulator: Simulator, receiver: Receiver
) -> None:
    client.post("/sms", json=otp(ending_in(Misbehaviour.FALLBACK), receiver))
    assert simulator.wait_until_quiet(20)
    story = [(r.body["channel"], r.body["status"], r.body["isFinal"]) for r in receiver.received]
    assert story == [
        ("whatsapp", "sent", False),
        ("whatsapp", "failed", False),
        ("telegram", "sent", False),
        ("telegram", "failed", False),
        ("sms", "sent", False),
        ("sms", "delivered", True),
    ]


@pytest.mark.parametrize(
    ("misbehaviour", "status", "keys"),
    [
        (Misbehaviour.BAD_REQUEST, 400, {"error"}),
        (Misbehaviour.BAD_FIELDS, 400, {"message", "errors"}),
        (Misbehaviour.BAD_SENDER, 400, {"error"}),
        (Misbehaviour.TRIAL_MODE, 400, {"error"}),
        (Misbehaviour.INSUFFICIENT_CREDIT, 400, {"error", "yourCredit", "requiredCredit", "canCover"}),
        (Misbehaviour.SPENDING_THRESHOLD, 400, {"error", "currentSpending", "spendingThreshold", "cost"}),
        (Misbehaviour.BAD_KEY, 401, {"message"}),
        (Misbehaviour.RATE_LIMITED, 429, {"message", "waitMinutes", "maxRequests", "timeWindowMinutes"}),
        (Misbehaviour.PROVIDER_FAULT, 500, {"message"}),
        (Misbehaviour.REDIRECT, 302, {"message"}),
    ],
)
def test_a_refusing_number_gets_the_contracts_keys_and_is_not_charged(
    client: httpx.Client, simulator: Simulator, misbehaviour: Misbehaviour, status: int, keys: set[str]
) -> None:
    answer = client.post("/sms", json=otp(ending_in(misbehaviour)))
    assert (answer.status_code, set(answer.json())) == (status, keys)
    assert simulator.ledger.balance_iqd == 1_000_000
    assert simulator.ledger.refused[0].phone == ending_in(misbehaviour)


def test_a_slow_answer_comes_late_and_whole(client: httpx.Client) -> None:
    began = time.monotonic()
    assert client.post("/sms", json=otp(ending_in(Misbehaviour.SLOW_ANSWER))).status_code == 200
    assert time.monotonic() - began >= 4 / SPEED


def test_an_answer_that_never_comes_is_charged_and_called_back(
    client: httpx.Client, simulator: Simulator, receiver: Receiver
) -> None:
    with pytest.raises(httpx.TransportError):
        client.post("/sms", json=otp(ending_in(Misbehaviour.NEVER_ANSWERS), receiver))
    assert simulator.wait_until_quiet(20)
    assert simulator.ledger.sends[0].cost_iqd == 60
    assert receiver.received


def test_a_stop_does_not_wait_for_an_answer_that_never_comes() -> None:
    with Simulator(speed=0.1) as slow, ThreadPoolExecutor(1) as pool:
        body = otp(ending_in(Misbehaviour.NEVER_ANSWERS))
        headers = {"Authorization": "Bearer sk_live_1"}
        call = pool.submit(httpx.post, f"{slow.base_url}/sms", json=body, headers=headers, timeout=30, trust_env=False)
        wait_for(lambda: bool(slow.ledger.sends))
        began = time.monotonic()
        slow.stop()
        assert time.monotonic() - began < 5
        with pytest.raises(httpx.TransportError):
            call.result(10)


@pytest.mark.parametrize("misbehaviour", [Misbehaviour.CUT_ANSWER, Misbehaviour.CUT_EARLY])
def test_a_cut_answer_breaks_off_after_the_charge(
    client: httpx.Client, simulator: Simulator, misbehaviour: Misbehaviour
) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/sms", json=otp(ending_in(misbehaviour)))
    assert simulator.ledger.balance_iqd == 999_940


def test_a_cut_answer_still_shows_the_sms_id(client: httpx.Client, simulator: Simulator) -> None:
    with client.stream("POST", "/sms", json=otp(ending_in(Misbehaviour.CUT_ANSWER))) as answer:
        arrived = next(answer.iter_raw())
    assert f'"smsId": "{simulator.ledger.sends[0].sms_id}",'.encode() in arrived


def test_an_answer_that_is_not_json_is_a_200_and_charged(client: httpx.Client, simulator: Simulator) -> None:
    answer = client.post("/sms", json=otp(ending_in(Misbehaviour.INVALID_JSON)))
    assert answer.status_code == 200
    with pytest.raises(ValueError, match="Expecting value"):
        answer.json()
    assert len(simulator.ledger.sends) == 1


def test_an_answer_without_sms_id_is_a_200_and_charged(client: httpx.Client, simulator: Simulator) -> None:
    answer = client.post("/sms", json=otp(ending_in(Misbehaviour.NO_SMS_ID)))
    assert answer.status_code == 200
    assert "smsId" not in answer.json()
    assert len(simulator.ledger.sends) == 1


def test_a_fault_may_hide_a_message_that_went_out(
    client: httpx.Client, simulator: Simulator, receiver: Receiver
) -> None:
    assert client.post("/sms", json=otp(ending_in(Misbehaviour.FAULT_YET_SENT), receiver)).status_code == 500
    assert simulator.wait_until_quiet(20)
    assert receiver.received
    assert simulator.ledger.balance_iqd == 999_940


def test_with_a_rate_any_number_may_misbehave() -> None:
    rates = Rates(misbehave=1.0, among=(Misbehaviour.RATE_LIMITED,))
    with Simulator(speed=SPEED, rates=rates) as grumpy:
        answer = httpx.post(
            f"{grumpy.base_url}/sms", json=otp(), headers={"Authorization": "Bearer sk_live_1"}, trust_env=False
        )
        assert answer.status_code == 429


# The ledger


def test_the_ledger_tells_the_truth_and_every_attempt(
    client: httpx.Client, simulator: Simulator, receiver: Receiver
) -> None:
    client.post("/sms", json=otp(ending_in(Misbehaviour.LATE_RECEIPT), receiver, provider="sms"))
    client.post("/sms", json=otp(ending_in(Misbehaviour.TRIAL_MODE), receiver))
    assert simulator.wait_until_quiet(20)
    ledger = httpx.get(f"{simulator.origin}/__ledger", params={"webhookUrl": receiver.url}, trust_env=False).json()
    (send,) = ledger["sends"]
    assert send["planned"] == send["sent"] == send["acknowledged"]
    assert send["planned"] == {"status": "delivered", "channel": "sms", "reason": None}
    assert [(c["status"], c["timesSent"]) for c in send["callbacks"]] == [("sent", 1), ("failed", 1), ("delivered", 1)]
    assert [refused["why"] for refused in ledger["refused"]] == ["trial mode"]
    assert ledger["balance"] == send["balanceAfter"] == 999_920


def test_the_ledger_can_be_narrowed_to_one_callback_address(
    client: httpx.Client, simulator: Simulator, receiver: Receiver
) -> None:
    client.post("/sms", json=otp(receiver=receiver))
    client.post("/sms", json=otp())
    assert len(simulator.ledger.as_json()["sends"]) == 2
    assert len(simulator.ledger.as_json(receiver.url)["sends"]) == 1


def test_codes_parameters_and_secrets_are_kept_nowhere(
    client: httpx.Client, simulator: Simulator, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    private = {"verificationCode": "493817", "templateParameters": {"body": {"1": "493817"}}}
    report = {"webhookSecret": "493817"}
    for phone in (ORDINARY, ending_in(Misbehaviour.BAD_REQUEST), "bad"):
        client.post("/sms", json=otp(phone, receiver, deliveryReport=dict(report), **private))
    assert simulator.wait_until_quiet(20)
    assert "493817" not in json.dumps(simulator.ledger.as_json())
    assert "493817" not in repr(simulator.ledger.sends) + repr(simulator.ledger.refused) + caplog.text


def test_the_digest_of_a_request_does_not_depend_on_its_code(client: httpx.Client, simulator: Simulator) -> None:
    for code in ("1111", "2222"):
        client.post("/sms", json=otp(verificationCode=code))
    client.post("/sms", json=otp("9647801234568"))
    first, second, third = (entry.send.digest for entry in simulator.ledger.sends)
    assert first == second != third


def test_the_start_page_lists_every_misbehaviour(simulator: Simulator) -> None:
    page = httpx.get(simulator.origin, trust_env=False)
    assert page.status_code == 200
    assert all(trick.suffix in page.text and trick.misbehaviour in page.text for trick in TRICKS)
    assert "/__ledger" in page.text


# Running


def test_sixty_four_callers_at_once_are_all_answered(simulator: Simulator, client: httpx.Client) -> None:
    together = threading.Barrier(64)

    def call(number: int) -> int:
        together.wait()
        return client.post("/sms", json=otp(f"96478000000{number:02d}")).status_code

    with ThreadPoolExecutor(64) as pool:
        assert Counter(pool.map(call, range(64))) == {200: 64}
    assert simulator.ledger.balance_iqd == 1_000_000 - 64 * 60


def test_a_taken_port_is_an_oserror(simulator: Simulator) -> None:
    with pytest.raises(OSError, match="in use"):
        Simulator(port=int(simulator.origin.rpartition(":")[2]))


def test_a_stopped_simulator_leaves_its_port_and_its_threads() -> None:
    before = threading.active_count()
    with Simulator(speed=SPEED) as running:
        port = int(running.origin.rpartition(":")[2])
    wait_for(lambda: threading.active_count() == before)
    with Simulator(port=port) as again:
        assert again.base_url == running.base_url


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_serves_until_a_signal_and_ends_cleanly(number: signal.Signals) -> None:
    code = "from webhook_app.simulator.server import run; run(port=0, on_start=lambda url: print(url, flush=True))"
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        host, port = process.stdout.readline().strip().removeprefix("http://").removesuffix("/api").split(":")
        socket.create_connection((host, int(port)), timeout=5).close()
        process.send_signal(number)
        try:
            assert process.wait(15) == 0
        finally:
            process.kill()


# Plots, without a network


def test_one_seed_gives_one_story_per_number_and_call() -> None:
    rates = Rates(misbehave=0.3, seed=5)
    stories = [plot(ORDINARY, "auto", "verification", rates.rng(ORDINARY, 1), rates) for _ in range(2)]
    assert stories[0] == stories[1]
    assert stories[0] != plot(ORDINARY, "auto", "verification", rates.rng(ORDINARY, 2), rates)


def test_a_custom_text_always_goes_by_sms() -> None:
    story = plot(ORDINARY, "whatsapp", "custom", random.Random(1), Rates())
    assert story.route == (Channel.SMS,)


def test_every_story_is_in_order_and_ends_once() -> None:
    rng = random.Random(3)
    for _ in range(2_000):
        story = plot(random_phone(rng), "auto", "verification", rng, Rates())
        times = [event.after_s for event in story.events]
        assert times == sorted(times)
        assert [event.is_final for event in story.events] == [False] * (len(times) - 1) + [True]
        assert all((event.reason is not None) == (event.status is EventStatus.FAILED) for event in story.events)


def test_korek_fails_and_dawdles_more_by_sms() -> None:
    rng = random.Random(4)

    def stories(phone: str) -> tuple[float, float]:
        plots = [plot(phone, "sms", "verification", rng, Rates()) for _ in range(3_000)]
        delivered = [p.events[-1].after_s for p in plots if headline(p.events).status == "delivered"]
        return len(delivered) / len(plots), sum(delivered) / len(delivered)

    zain, korek = stories("9647801234567"), stories("9647501234567")
    assert 0.95 < zain[0] < 0.99
    assert 0.83 < korek[0] < 0.92
    assert korek[1] > 2 * zain[1]


def test_giving_up_on_whatsapp_can_be_shortened() -> None:
    rates = Rates(whatsapp_gives_up_s=0.1)
    reports = [plot(ORDINARY, "whatsapp", "verification", random.Random(n), rates).events[-1] for n in range(200)]
    gone = [event.after_s for event in reports if event.reason == "Recipient is not on WhatsApp"]
    assert gone
    assert max(gone) < 2


def test_the_headline_does_not_depend_on_the_order_of_the_events() -> None:
    rng = random.Random(6)
    for trick in TRICKS:
        events = list(plot(f"9647800000{trick.suffix}", "auto", "verification", rng, Rates()).events)
        before = headline(events)
        rng.shuffle(events)
        assert headline(events) == before


def test_a_report_never_comes_before_what_it_reports() -> None:
    rng = random.Random(8)
    for trick in TRICKS:
        story = plot(f"9647800000{trick.suffix}", "auto", "verification", rng, Rates())
        callbacks = callbacks_of(story, "all")
        assert all(callback.after_s >= story.events[callback.event].after_s for callback in callbacks)


def test_random_numbers_are_valid_shared_among_carriers_and_well_behaved() -> None:
    rng = random.Random(9)
    phones = [random_phone(rng) for _ in range(5_000)]
    assert all(is_usual(phone) and find_misbehaviour(phone) is None for phone in phones)
    counted = Counter(carrier_of(phone) for phone in phones)
    assert set(counted) == {Carrier.ZAIN, Carrier.ASIACELL, Carrier.KOREK}
    assert all(abs(counted[carrier] / 50 - share) < 3 for carrier, share in CARRIER_SHARES.items())


def test_every_misbehaviour_has_its_own_suffix() -> None:
    assert {trick.misbehaviour for trick in TRICKS} == set(Misbehaviour)
    assert len({trick.suffix for trick in TRICKS}) == len(TRICKS)
    assert all(find_misbehaviour(random_phone(random.Random(1), m)) is m for m in Misbehaviour)
    assert suffix_of(Misbehaviour.NEVER_ANSWERS) == "921"
