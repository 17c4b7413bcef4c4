from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook_app.otpiq import InvalidSend, SendRequest, parse_send
from webhook_app.stamp import Stamp, Stamper

STAMP = Stamp(url="https://wasl.example.iq/callbacks/otpiq/1", secret="the-secret")
OTP = {"phoneNumber": "0770 123 4567", "smsType": "verification", "verificationCode": "493817"}
CUSTOM = {"phoneNumber": "9647701234567", "smsType": "custom", "senderId": "MyShop", "customMessage": "Your parcel"}
TEMPLATE = {
    "phoneNumber": "9647701234567",
    "smsType": "whatsapp-template",
    "whatsappAccountId": "acc-1",
    "whatsappPhoneId": "phone-1",
    "templateName": "otp",
    "templateParameters": {"body": {"1": "493817", "2": "10"}},
}


def problems(body: dict[str, Any]) -> dict[str, list[str]]:
    with pytest.raises(InvalidSend) as refused:
        parse_send(body)
    return {name: [str(problem) for problem in found] for name, found in refused.value.errors.items()}


def without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != name}


def test_a_verification_goes_out_as_documented() -> None:
    assert parse_send(OTP).to_wire(STAMP) == {
        "phoneNumber": "9647701234567",
        "smsType": "verification",
        "provider": "auto",
        "verificationCode": "493817",
        "deliveryReport": {"webhookUrl": STAMP.url, "deliveryReportType": "all", "webhookSecret": "the-secret"},
    }


def test_a_custom_message_goes_out_as_documented() -> None:
    wire = parse_send(CUSTOM | {"provider": "whatsapp-sms"}).to_wire(STAMP)
    assert without(wire, "deliveryReport") == CUSTOM | {"provider": "whatsapp-sms"}


def test_template_parameters_go_out_untouched() -> None:
    parameters = {"header": [{"image": 1}], "body": {"1": "٤٩", "2": None, "3": 1.5, "4": True}}
    assert parse_send(TEMPLATE | {"templateParameters": parameters}).to_wire(STAMP)["templateParameters"] == parameters


@pytest.mark.parametrize("body", [OTP, CUSTOM, TEMPLATE])
def test_the_whatsapp_sender_may_be_named_for_every_type(body: dict[str, Any]) -> None:
    own = {"whatsappAccountId": "acc-1", "whatsappPhoneId": "phone-1", "templateName": "otp"}
    assert own.items() <= parse_send(body | own).to_wire(STAMP).items()


@pytest.mark.parametrize("name", ["antiFraud", "anti_fraud"])
def test_the_callers_anti_fraud_is_passed_on_under_its_own_name(name: str) -> None:
    assert parse_send(OTP | {name: {"requesterIp": "10.0.0.1"}}).to_wire(STAMP)[name] == {"requesterIp": "10.0.0.1"}


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (OTP, "phoneNumber"),
        (OTP, "smsType"),
        (OTP, "verificationCode"),
        (CUSTOM, "customMessage"),
        (CUSTOM, "senderId"),
        (TEMPLATE, "whatsappAccountId"),
        (TEMPLATE, "whatsappPhoneId"),
        (TEMPLATE, "templateName"),
        (TEMPLATE, "templateParameters"),
    ],
)
def test_a_required_field_is_missed_when_absent_null_or_empty(body: dict[str, Any], name: str) -> None:
    for wrong in (without(body, name), body | {name: None}, body | {name: ""}):
        assert list(problems(wrong)) == [name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("phoneNumber", 9647701234567),
        ("phoneNumber", "hello"),
        ("phoneNumber", {}),
        ("smsType", "otp"),
        ("smsType", ["verification"]),
        ("verificationCode", 493817),
        ("verificationCode", "1" * 21),
        ("verificationCode", " "),
        ("verificationCode", "12\x0034"),
        ("verificationCode", "12\ud800"),
        ("verificationCode", "12\x1b[0m"),
        ("provider", "pigeon"),
        ("provider", 1),
        ("provider", {}),
        ("senderId", "TwelveLetter"),
        ("senderId", ["MyShop"]),
        ("templateName", "x" * 201),
        ("reference", "x" * 101),
        ("reference", 7),
        ("templateParameters", "body"),
        ("templateParameters", [1]),
        ("templateParameters", {"body": {"1": "\0"}}),
        ("templateParameters", {"body": {"\ud800": "1"}}),
        ("templateParameters", {"body": {"1": float("inf")}}),
        ("antiFraud", {"requesterIp": "\ud800"}),
        ("anti_fraud", {"requester_ip": float("inf")}),
        ("deliveryReport", "https://shop.example"),
        ("deliveryReport", []),
    ],
)
def test_a_wrong_value_is_refused_by_its_fields_name(name: str, value: object) -> None:
    assert list(problems(OTP | {name: value})) == [name]


@pytest.mark.parametrize("name", ["templateParameters", "antiFraud"])
def test_an_object_nested_too_deeply_is_refused(name: str) -> None:
    deep: dict[str, Any] = {}
    for _ in range(450):
        deep = {"a": deep}
    assert list(problems(OTP | {name: deep})) == [name]


def test_all_errors_are_told_at_once() -> None:
    wrong = {"phoneNumber": "x", "smsType": "custom", "provider": "pigeon", "senderId": "TwelveLetter", "reference": 1}
    assert set(problems(wrong)) == {"phoneNumber", "provider", "senderId", "customMessage", "reference"}


def test_an_empty_body_is_told_what_it_lacks() -> None:
    assert set(problems({})) == {"phoneNumber", "smsType"}


def test_no_text_of_an_error_repeats_a_code() -> None:
    found = problems(OTP | {"verificationCode": "canary" * 5, "templateParameters": "canary", "provider": "canary"})
    assert "canary" not in str(found)


@pytest.mark.parametrize(
    ("report", "names"),
    [
        ({}, ["deliveryReport.webhookUrl"]),
        ({"webhookUrl": "http://shop.example"}, ["deliveryReport.webhookUrl"]),
        ({"webhookUrl": "https://[::1"}, ["deliveryReport.webhookUrl"]),
        ({"webhookUrl": "https://shop.example", "deliveryReportType": "some"}, ["deliveryReport.deliveryReportType"]),
        ({"webhookUrl": "https://shop.example", "webhookSecret": 1}, ["deliveryReport.webhookSecret"]),
    ],
)
def test_the_callers_own_delivery_report_is_checked(report: object, names: list[str]) -> None:
    assert list(problems(OTP | {"deliveryReport": report})) == names


def test_the_callers_own_delivery_report_is_replaced_by_our_stamp() -> None:
    own = {"webhookUrl": "https://shop.example/hook", "deliveryReportType": "final", "webhookSecret": "theirs"}
    request = parse_send(OTP | {"deliveryReport": own})
    assert request.report_replaced
    assert request.to_wire(STAMP)["deliveryReport"]["webhookUrl"] == STAMP.url
    assert "theirs" not in str(request.to_wire(STAMP))


def test_unknown_fields_are_not_passed_on() -> None:
    assert "canary" not in str(parse_send(OTP | {"canary": "canary"}).to_wire(STAMP))


@pytest.mark.parametrize("body", [OTP, CUSTOM, TEMPLATE])
def test_what_is_kept_of_a_request_names_no_number_no_code_and_no_secret(body: dict[str, Any]) -> None:
    kept = str(parse_send(body | {"antiFraud": {"requesterIp": "10.9.8.7"}}).trace(STAMP.url))
    for hidden in ("7701234567", "493817", "the-secret", "10.9.8.7"):
        assert hidden not in kept
    assert STAMP.url in kept


def test_the_repr_shows_no_code_and_no_parameters() -> None:
    assert "493817" not in repr(parse_send(OTP)) + repr(parse_send(TEMPLATE))


def test_codes_and_parameters_are_named_as_secrets() -> None:
    assert parse_send(OTP).secrets() == ("493817",)
    assert parse_send(TEMPLATE | {"templateParameters": {"body": {"1": 493817, "2": ["a", None]}}}).secrets() == (
        "493817",
        "a",
    )


def test_a_real_stamp_fits_the_contract(stamper: Stamper) -> None:
    report = parse_send(OTP).to_wire(stamper.issue(UUID(int=1)))["deliveryReport"]
    assert report["webhookUrl"].startswith("https://")
    assert report["deliveryReportType"] == "all"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


FIELDS = [*OTP, *CUSTOM, *TEMPLATE, "provider", "reference", "antiFraud", "deliveryReport"]


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, anything)))
@settings(max_examples=200, deadline=None)
def test_any_body_is_a_request_or_a_list_of_problems(body: dict[str, Any]) -> None:
    try:
        request = parse_send(OTP | body)
    except InvalidSend:
        assert problems(OTP | body)
    else:
        assert isinstance(request, SendRequest)


def test_fields_of_another_type_are_left_out() -> None:
    request = parse_send(OTP | {"customMessage": "your code is 482913", "templateParameters": {"1": "2"}})
    assert (request.custom_text, request.template_parameters) == (None, None)


@pytest.mark.parametrize("field", ["reference", "templateName", "whatsappAccountId"])
def test_what_is_kept_must_not_repeat_the_code(field: str) -> None:
    with pytest.raises(InvalidSend) as refused:
        parse_send(OTP | {"verificationCode": "482913", field: "otp 482913"})
    assert list(refused.value.errors) == [field]
