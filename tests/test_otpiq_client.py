import json
import time
from collections.abc import Iterator

import pytest

from webhook_app.otpiq import (
    BadKey,
    InsufficientCredit,
    InvalidRequest,
    NotSent,
    Otpiq,
    OtpiqError,
    OutcomeUnknown,
    PhoneRefused,
    RateLimited,
    Refused,
    SenderRefused,
    SendRequest,
    SpendingThreshold,
    TrialMode,
    UnknownMessage,
    parse_send,
)
from webhook_app.simulator.misbehaviours import Misbehaviour, suffix_of
from webhook_app.simulator.server import Simulator
from webhook_app.stamp import Stamp

from .rows import NOW
from .scripted import Scripted, accepted, answer

CODE, PHONE, SECRET = "493817", "9647701234567", "the-stamps-secret"
KEY = "sk_live_0123456789abcdef"
STAMP = Stamp(url="http://127.0.0.1:9/callbacks/otpiq/1", secret=SECRET)


def otp(phone: str = PHONE, **more: object) -> SendRequest:
    return parse_send({"phoneNumber": phone, "smsType": "verification", "verificationCode": CODE} | more)


def ending_in(misbehaviour: Misbehaviour) -> str:
    return "9647701230" + suffix_of(misbehaviour)


def failure(base_url: str, request: SendRequest | None = None, *, deadline_s: float = 2.0) -> OtpiqError:
    with pytest.raises(OtpiqError) as failed:
        Otpiq(base_url, KEY, deadline_s=deadline_s).send(request or otp(), STAMP)
    return failed.value


# Against the simulator


@pytest.fixture
def otpiq(simulator: Simulator) -> Otpiq:
    return Otpiq(simulator.base_url, KEY, deadline_s=2.0)


def test_an_accepted_send_brings_its_sms_id_cost_and_balance(otpiq: Otpiq, simulator: Simulator) -> None:
    taken = otpiq.send(otp(), STAMP)
    (entry,) = simulator.ledger.sends
    assert (taken.sms_id, taken.cost_iqd, taken.balance_iqd) == (entry.sms_id, entry.cost_iqd, entry.balance_after_iqd)
    assert taken.payment_type == "prepaid"


REFUSALS: dict[Misbehaviour, tuple[type[OtpiqError], int, dict[str, int]]] = {
    Misbehaviour.BAD_REQUEST: (InvalidRequest, 400, {}),
    Misbehaviour.BAD_FIELDS: (InvalidRequest, 400, {}),
    Misbehaviour.BAD_SENDER: (SenderRefused, 400, {}),
    Misbehaviour.TRIAL_MODE: (TrialMode, 400, {}),
    Misbehaviour.INSUFFICIENT_CREDIT: (InsufficientCredit, 400, {"yourCredit": 20, "requiredCredit": 60}),
    Misbehaviour.SPENDING_THRESHOLD: (
        SpendingThreshold,
        400,
        {"currentSpending": 49_941, "spendingThreshold": 50_000, "cost": 60},
    ),
    Misbehaviour.BAD_KEY: (BadKey, 401, {}),
    Misbehaviour.RATE_LIMITED: (RateLimited, 429, {"waitMinutes": 5, "maxRequests": 3, "timeWindowMinutes": 10}),
}


@pytest.mark.parametrize("misbehaviour", REFUSALS)
def test_every_documented_refusal_is_a_class_of_its_own(simulator: Simulator, misbehaviour: Misbehaviour) -> None:
    kind, http_status, numbers = REFUSALS[misbehaviour]
    error = failure(simulator.base_url, otp(ending_in(misbehaviour)))
    assert (type(error), error.http_status, error.numbers) == (kind, http_status, numbers)
    assert error.words
    assert isinstance(error, Refused)


def test_errors_by_field_are_kept_by_field(simulator: Simulator) -> None:
    error = failure(simulator.base_url, otp(ending_in(Misbehaviour.BAD_FIELDS)))
    assert error.errors["phoneNumber"] == ["The number cannot be reached."]
    assert set(error.errors) == {"phoneNumber", "smsType"}


def test_the_minutes_to_wait_are_told(simulator: Simulator) -> None:
    error = failure(simulator.base_url, otp(ending_in(Misbehaviour.RATE_LIMITED)))
    assert isinstance(error, RateLimited)
    assert error.numbers["waitMinutes"] == 5


IN_DOUBT = [
    Misbehaviour.PROVIDER_FAULT,
    Misbehaviour.FAULT_YET_SENT,
    Misbehaviour.REDIRECT,
    Misbehaviour.CUT_ANSWER,
    Misbehaviour.CUT_EARLY,
    Misbehaviour.INVALID_JSON,
    Misbehaviour.NO_SMS_ID,
]


@pytest.mark.parametrize("misbehaviour", IN_DOUBT)
def test_an_answer_that_makes_no_sense_leaves_the_outcome_unknown(
    simulator: Simulator, misbehaviour: Misbehaviour
) -> None:
    assert type(failure(simulator.base_url, otp(ending_in(misbehaviour)))) is OutcomeUnknown
    assert len(simulator.ledger.sends) + len(simulator.ledger.refused) == 1


def test_an_answer_that_never_comes_leaves_the_outcome_unknown() -> None:
    with Simulator() as slow:  # hangs up after a minute
        begun = time.monotonic()
        error = failure(slow.base_url, otp(ending_in(Misbehaviour.NEVER_ANSWERS)), deadline_s=0.4)
        assert type(error) is OutcomeUnknown
        assert error.http_status is None
        assert time.monotonic() - begun < 5
        assert len(slow.ledger.sends) == 1


def test_a_cut_answer_still_gives_its_sms_id(simulator: Simulator) -> None:
    error = failure(simulator.base_url, otp(ending_in(Misbehaviour.CUT_ANSWER)))
    assert error.salvaged_sms_id == simulator.ledger.sends[0].sms_id


def test_half_an_sms_id_is_not_taken_for_one(simulator: Simulator) -> None:
    assert failure(simulator.base_url, otp(ending_in(Misbehaviour.CUT_EARLY))).salvaged_sms_id is None


def test_tracking_tells_what_happened(otpiq: Otpiq, simulator: Simulator) -> None:
    taken = otpiq.send(otp(ending_in(Misbehaviour.LOST_CALLBACKS), provider="sms"), STAMP)
    tracking = otpiq.track(taken.sms_id, NOW)
    assert tracking.phone == ending_in(Misbehaviour.LOST_CALLBACKS)
    assert tracking.facts[0].sms_id == taken.sms_id
    assert tracking.facts[0].cost_iqd == 80
    assert tracking.phone not in tracking.trace


def test_tracking_an_unknown_sms_id_is_a_class_of_its_own(otpiq: Otpiq) -> None:
    with pytest.raises(UnknownMessage):
        otpiq.track("sms-unknown", NOW)


def test_the_balance_and_the_sender_ids_are_read(otpiq: Otpiq) -> None:
    assert otpiq.balance_iqd() == 1_000_000
    senders = {sender.sender_id: sender for sender in otpiq.senders()}
    assert senders["WaslDemo"].status == "accepted"
    assert senders["WaslDemo"].price_by_carrier == {"korek": 80, "asiacell": 80, "zain": 80, "other": 100}


# Against answers written down


def test_the_request_is_the_documented_one() -> None:
    with Scripted(accepted()) as server:
        Otpiq(server.base_url, KEY).send(otp(), STAMP)
    head = server.requests[0].lower()
    assert head.startswith(b"post /api/sms http/1.1\r\n")
    assert b"\r\nauthorization: bearer sk_live_0123456789abcdef\r\n" in head
    assert b"\r\ncontent-type: application/json\r\n" in head
    assert server.bodies()[0] == otp().to_wire(STAMP)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with Scripted(answer(status, {}, "Location: /api/elsewhere"), accepted()) as server:
        assert type(failure(server.base_url)) is OutcomeUnknown
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504, 400, 401, 429, 408])
def test_no_answer_makes_a_second_call(status: int) -> None:
    with Scripted(answer(status, {"message": "Try again"}, "Retry-After: 0"), accepted()) as server:
        failure(server.base_url)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [100, 199, 300, 402, 406, 408, 409, 410, 418, 451, 500, 502, 503, 599])
def test_a_status_outside_the_contract_leaves_the_outcome_unknown(status: int) -> None:
    with Scripted(answer(status, {"message": "?"})) as server:
        assert type(failure(server.base_url, deadline_s=0.4)) is OutcomeUnknown


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": "phoneNumber must be 10 to 15 digits"}, PhoneRefused),
        ({"error": "Phone is blacklisted"}, PhoneRefused),
        ({"error": "SenderID MyShop was not found"}, SenderRefused),
        ({"error": "Insufficient credit"}, InsufficientCredit),
        ({"error": "In trial mode the SenderID and phone need credit"}, TrialMode),
        ({"error": "x", "yourCredit": 1, "requiredCredit": 2, "canCover": False}, InsufficientCredit),
        ({"error": "trial mode", "currentSpending": 1, "spendingThreshold": 2, "cost": 3}, SpendingThreshold),
        ({"message": "Validation failed", "errors": {"phoneNumber": ["bad phone"]}}, InvalidRequest),
        ({"error": {"nested": True}}, InvalidRequest),
        ({}, InvalidRequest),
    ],
)
def test_structured_keys_decide_before_words_do(body: dict[str, object], kind: type[OtpiqError]) -> None:
    with Scripted(answer(400, body)) as server:
        assert type(failure(server.base_url)) is kind


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK",
        b"<html>",
        b"[]",
        b"null",
        b"{}",
        b'{"smsId":""}',
        b'{"smsId":null}',
        b'{"smsId":7}',
        b'{"smsId":"\\ud800"}',
        b'{"smsId":"a\\u0000b"}',
        b'{"smsId":"sms-1","smsId":"sms-2"}',
        b'{"smsId":NaN}',
        b"[" * 60_000,
        b'{"smsId":"a","x":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"smsId":' + b"9" * 5000 + b"}",
        b"\x1f\x8b\x08\x00gzip",
        b"\xff" * 300,
        b'{"smsId":"' + b"x" * 100_000 + b'"}',
    ],
)
def test_a_200_that_names_no_sms_id_leaves_the_outcome_unknown(body: bytes) -> None:
    with Scripted(answer(200, body)) as server:
        assert type(failure(server.base_url)) is OutcomeUnknown


def test_an_odd_sms_id_is_taken_as_it_is() -> None:
    odd = accepted("sms_1234567890abcdef", cost=80.4, remainingCredit="lots", paymentType="postpaid")
    with Scripted(odd) as server:
        taken = Otpiq(server.base_url, KEY).send(otp(), STAMP)
    assert (taken.sms_id, taken.cost_iqd, taken.balance_iqd) == ("sms_1234567890abcdef", 80, None)
    assert taken.payment_type == "postpaid"


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n"
SLOW = {
    "nothing": [30.0],
    "half a status line": [b"HTTP/1.1 2", 30.0],
    "dripping headers": [b"HTTP/1.1 200 OK\r\n", *[0.05, b"X-A: 1\r\n"] * 600],
    "a body that stops": [HEAD + b'{"smsId"', 30.0],
    "a dripping body": [HEAD, *[0.05, b" "] * 600],
    "slow at every step": [*[0.4, b"HTTP/1.1 100 Continue\r\n\r\n"] * 60, HEAD],
}


@pytest.mark.parametrize("script", SLOW.values(), ids=SLOW)
def test_one_deadline_holds_for_the_whole_call(script: list[bytes | float]) -> None:
    with Scripted(script) as server:
        begun = time.monotonic()
        assert type(failure(server.base_url, deadline_s=0.5)) is OutcomeUnknown
        assert time.monotonic() - begun < 5  # and the server would take half a minute


@pytest.mark.parametrize(
    "script",
    [[b""], [b"\0\1\2\3"], [b"HTTP/1.1 abc\r\n\r\n"], [HEAD], [b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"]],
)
def test_a_connection_that_breaks_off_leaves_the_outcome_unknown(script: list[bytes]) -> None:
    with Scripted(script) as server:
        assert type(failure(server.base_url)) is OutcomeUnknown
    assert len(server.requests) == 1


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:9/api", "http://wasl.invalid/api"])
def test_a_connection_that_never_stood_means_not_sent(base_url: str) -> None:
    assert type(failure(base_url)) is NotSent


def test_a_server_without_tls_means_not_sent() -> None:
    with Scripted([b"plain"]) as server:
        assert type(failure(server.base_url.replace("http://", "https://"), deadline_s=0.5)) is NotSent


def test_without_a_key_nothing_is_sent() -> None:
    with Scripted(accepted()) as server, pytest.raises(NotSent):
        Otpiq(server.base_url, None).send(otp(), STAMP)
    assert server.requests == []


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    with Scripted(accepted()) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.base_url.removesuffix("/api"))
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield proxy


def test_the_environments_proxy_is_not_used(proxied: Scripted) -> None:
    with Scripted(accepted()) as server:
        Otpiq(server.base_url, KEY).send(otp(), STAMP)
    assert len(server.requests) == 1
    assert proxied.requests == []


ECHO = f"to {PHONE} with {CODE} and {SECRET}"
ECHOES = {
    "accepted": accepted(echo=ECHO, deep=[{CODE: [PHONE, int(CODE)]}], phoneNumber=PHONE),
    "refused": answer(400, {"error": ECHO}),
    "refused by field": answer(400, {"message": ECHO, "errors": {"phoneNumber": [ECHO], CODE: ECHO}}),
    "fault": answer(500, {"message": ECHO}),
    "no JSON": answer(200, ECHO.encode()),
    "cut": [HEAD + json.dumps({"echo": ECHO}).encode()[:-1]],
    "unknown status": answer(418, {"message": ECHO, "echo": ECHO}),
}


@pytest.mark.parametrize("script", ECHOES.values(), ids=ECHOES)
def test_what_an_answer_echoes_is_scrubbed(script: list[bytes | float]) -> None:
    with Scripted(script) as server:
        try:
            kept = repr(Otpiq(server.base_url, KEY).send(otp(), STAMP))
        except OtpiqError as error:
            kept = f"{error!r} {error} {error.words} {error.trace} {error.errors} {error.numbers}"
    for hidden in (CODE, PHONE, SECRET, KEY):
        assert hidden not in kept


def test_template_parameters_are_scrubbed_too() -> None:
    template = {"whatsappAccountId": "a", "whatsappPhoneId": "p", "templateName": "otp"}
    parameters = {"body": {"1": CODE, "2": ["Zainab"]}}
    request = otp(smsType="whatsapp-template", templateParameters=parameters, **template)
    with Scripted(answer(400, {"error": f"parameters {CODE}, Zainab"})) as server:
        error = failure(server.base_url, request)
    assert CODE not in error.words + error.trace
    assert "Zainab" not in error.words + error.trace


@pytest.mark.parametrize("words", ["a\0b", "\ud800"])
def test_words_of_any_call_can_be_stored(words: str) -> None:
    with Scripted(answer(404, json.dumps({"message": words}).encode())) as server:
        otpiq = Otpiq(server.base_url, KEY)
        for call in (lambda: otpiq.send(otp(), STAMP), lambda: otpiq.track("sms-1", NOW), otpiq.senders):
            with pytest.raises(OtpiqError) as failed:
                call()
            assert failed.value.words.encode()
            assert "\0" not in failed.value.words + failed.value.trace


def test_tracking_escapes_the_sms_id_into_one_path_segment() -> None:
    with Scripted(answer(404, {"message": "SMS not found"})) as server, pytest.raises(UnknownMessage):
        Otpiq(server.base_url, KEY).track("a/b?c=d#e", NOW)
    assert server.requests[0].startswith(b"GET /api/sms/track/a%2Fb%3Fc%3Dd%23e HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "data", [None, {}, "x", [None, 1, [], {}, {"senderId": 7}], [{"senderId": "A", "pricePerSms": [80]}]]
)
def test_an_odd_list_of_senders_is_read_as_far_as_it_goes(data: object) -> None:
    with Scripted(answer(200, {"success": True, "data": data})) as server:
        assert all(sender.price_by_carrier == {} for sender in Otpiq(server.base_url, KEY).senders())


def test_a_code_echoed_as_a_number_is_kept_nowhere() -> None:
    with Scripted(answer(400, {"error": "bad", "verificationCode": 482913, "yourCredit": 20})) as server:
        error = failure(server.base_url, otp(verificationCode="482913"))
    assert error.numbers == {"yourCredit": 20}
    assert "482913" not in error.trace


@pytest.mark.parametrize("spelt", ["07701234567", "+964 770 123 4567", "00964-770-123-4567", "(0770) 123 45 67"])
def test_the_number_is_taken_out_of_what_is_kept_however_it_is_spelt(spelt: str) -> None:
    with Scripted(answer(400, {"error": f"The phone {spelt} is blocked"})) as server:
        error = failure(server.base_url, otp())
    assert error.words == "The phone ••• is blocked"
    assert error.trace == '{"error": "The phone ••• is blocked"}'


@pytest.mark.parametrize("status", [403, 404, 405, 409, 413, 422])
def test_a_4xx_that_is_not_documented_leaves_the_outcome_unknown(status: int) -> None:
    with Scripted(answer(status, {"message": "no"})) as server:
        assert isinstance(failure(server.base_url, otp()), OutcomeUnknown)


def test_without_time_left_nothing_is_called() -> None:
    with Scripted(accepted()) as server, pytest.raises(NotSent):
        Otpiq(server.base_url, KEY).send(otp(), STAMP, deadline_s=0)
    assert server.requests == []
