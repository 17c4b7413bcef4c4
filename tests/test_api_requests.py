"""POST /api/sms before anything leaves: keys, addresses, methods and bodies that will not do, always in JSON."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from webhook_app import accounts

from .test_api import CLASS_WORDS, OTP, Sender, assert_shape, idle
from .test_callback_bodies import TRAPS

__all__ = ["idle"]  # the fixture


@pytest.mark.parametrize("path", ["/api/sms", "/api/sms/"])
def test_a_slash_at_the_end_makes_no_difference(idle: Sender, path: str) -> None:
    assert idle.post({}, path).status_code == 400


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer ", "Bearer sk_live_wrong", "Basic c2g6YQ==", "sk_live_x", "Bearer é\0"]
)
def test_without_one_of_our_keys_it_is_401_and_nothing_is_sent(idle: Sender, authorization: str) -> None:
    answer = idle.post(OTP, Authorization=authorization.replace("\0", ""))
    assert answer.status_code == 401
    assert assert_shape(answer).keys() == {"message"}
    assert idle.messages() == []


def test_a_revoked_key_is_401(idle: Sender) -> None:
    accounts.revoke_key(idle.app.extensions["wasl"].database, "shop", datetime.now(UTC))
    assert idle.post(OTP).status_code == 401


def test_bearer_in_lower_case_and_blanks_around_the_key_are_fine(idle: Sender) -> None:
    assert idle.post({}, Authorization=f"bearer   {idle.key} ").status_code == 400


def test_all_mistakes_are_named_at_once_by_field(idle: Sender) -> None:
    answer = idle.post(
        {"phoneNumber": "12", "smsType": "otp", "provider": "pigeon", "senderId": "x" * 12, "reference": 7}
    )
    body = assert_shape(answer)
    assert answer.status_code == 400
    assert body["errors"].keys() == {"phoneNumber", "smsType", "provider", "senderId", "reference"}
    assert all(isinstance(text, str) for texts in body["errors"].values() for text in texts)
    assert "smsType must be one of verification, custom, whatsapp-template" in body["error"]
    assert "senderId must be at most 11 characters, not 12" in body["error"]
    assert idle.messages() == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (OTP | {"phoneNumber": 9647701234567}, "phoneNumber"),
        (OTP | {"phoneNumber": None}, "phoneNumber"),
        (OTP | {"verificationCode": ""}, "verificationCode"),
        (OTP | {"verificationCode": 1234}, "verificationCode"),
        (OTP | {"verificationCode": "1" * 21}, "verificationCode"),
        (OTP | {"verificationCode": "12\x0034"}, "verificationCode"),
        (OTP | {"smsType": ["verification"]}, "smsType"),
        (OTP | {"smsType": "custom", "senderId": "MyShop"}, "customMessage"),
        (OTP | {"smsType": "custom", "customMessage": "hi"}, "senderId"),
        (OTP | {"deliveryReport": {"webhookUrl": "http://x.example"}}, "deliveryReport.webhookUrl"),
        (OTP | {"deliveryReport": "all"}, "deliveryReport"),
        (
            OTP
            | {"smsType": "whatsapp-template", "templateName": "t", "whatsappAccountId": "a", "whatsappPhoneId": "p"},
            "templateParameters",
        ),
    ],
)
def test_a_mistake_in_one_field_is_400_naming_it(idle: Sender, body: dict[str, Any], field: str) -> None:
    answer = idle.post(body)
    assert (answer.status_code, set(assert_shape(answer)["errors"])) == (400, {field})
    others = {word for word in CLASS_WORDS.values() if word in answer.get_json()["error"]}
    assert others <= ({"phone"} if field == "phoneNumber" else set())


@pytest.mark.parametrize("raw", [raw for name, raw in TRAPS.items() if "status" not in name] + [b"[]", b"7", b'"x"'])
def test_a_body_that_is_no_plain_json_object_is_400(idle: Sender, raw: bytes) -> None:
    answer = idle.post(raw)
    assert answer.status_code == 400
    assert assert_shape(answer)["errors"]
    assert idle.messages() == []


def template(parameters: str, more: str = "") -> bytes:
    """A template send as raw JSON, for parameters that json.dumps would not write."""
    fields = '"phoneNumber":"07701234567","smsType":"whatsapp-template","templateName":"t","whatsappAccountId":"a"'
    return f'{{{fields},"whatsappPhoneId":"p","templateParameters":{parameters}{more}}}'.encode()


@pytest.mark.parametrize(
    "raw",
    [
        template('{"body":{"1":1e999}}'),
        template('{"a":' * 700 + "1" + "}" * 700),
        template('{"body":{"1":"\\ud800"}}'),
        template('{"body":{"1":"x"}}', ',"antiFraud":{"requesterIp":"\\ud800"}'),
        template('{"body":{"1":"x"}}', ',"antiFraud":{"requesterIp":1e999}'),
    ],
    ids=["1e999", "700 deep", "a lone surrogate", "a lone surrogate passed on", "1e999 passed on"],
)
def test_what_json_can_say_and_nobody_can_send_is_400(idle: Sender, raw: bytes) -> None:
    answer = idle.post(raw)
    assert answer.status_code == 400
    assert assert_shape(answer)["errors"]
    assert idle.messages() == []


def test_a_body_over_64_kib_is_413_in_json(idle: Sender) -> None:
    answer = idle.post(b" " * (64 * 1024) + json.dumps(OTP).encode())
    assert (answer.status_code, set(assert_shape(answer))) == (413, {"message"})


@pytest.mark.parametrize(
    "path",
    ["/api", "/api/", "/api/nope", "/api/sms/send", "/api/sms/sms-123", "/api/api/sms", "/callbacks/otpiq/x/nope"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_address_is_404_in_json(idle: Sender, path: str, method: str) -> None:
    answer = idle.app.test_client().open(path, method=method)
    assert (answer.status_code, set(assert_shape(answer))) == (404, {"message"})


def test_another_method_is_405_in_json(idle: Sender) -> None:
    answer = idle.app.test_client().get("/api/sms", headers={"Content-Type": "application/json"})
    assert (answer.status_code, set(assert_shape(answer))) == (405, {"message"})


@pytest.mark.parametrize("once_key", ["", "x" * 256, "é"])
def test_an_odd_idempotency_key_is_400_naming_it(idle: Sender, once_key: str) -> None:
    answer = idle.post(OTP, Idempotency_Key=once_key)
    assert (answer.status_code, set(assert_shape(answer)["errors"])) == (400, {"Idempotency-Key"})
    assert idle.messages() == []
