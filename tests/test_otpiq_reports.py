import contextlib
import gzip
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook_app.otpiq import Report, Unreadable, parse_report
from webhook_app.otpiq.reports import amount, parse_tracking

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
BODY = {
    "smsId": "sms-1234567890abcdef123456",
    "deliveryReportType": "all",
    "isFinal": True,
    "channel": "sms",
    "status": "failed",
    "reason": "Carrier rejected the message",
    "senderId": "MyShop",
}


def parsed(**changes: Any) -> Report:
    return parse_report(json.dumps(BODY | changes).encode())


def test_the_documented_body_is_read_whole() -> None:
    assert parsed() == Report(
        sms_id="sms-1234567890abcdef123456",
        word="failed",
        channel="sms",
        is_final=True,
        reason="Carrier rejected the message",
        sender_id="MyShop",
    )


@pytest.mark.parametrize("channel", ["sms", "whatsapp", "telegram"])
@pytest.mark.parametrize("word", ["sent", "delivered", "failed"])
@pytest.mark.parametrize("final", [True, False])
def test_every_documented_combination_is_read(channel: str, word: str, final: bool) -> None:
    required = {"smsId": "sms-1", "deliveryReportType": "all", "isFinal": final, "channel": channel, "status": word}
    fact = parse_report(json.dumps(required).encode()).fact(NOW)
    assert (fact.word, fact.channel, fact.is_final, fact.sms_id, fact.at) == (word, channel, final, "sms-1", NOW)


@pytest.mark.parametrize("word", ["queued", "Delivered!", "تم", "sent "])
def test_an_unknown_word_is_data(word: str) -> None:
    assert parsed(status=word).word == word.lower()


@pytest.mark.parametrize("truthy", ["true", 1, [True], {}, None, 1.0])
def test_final_is_only_the_json_true(truthy: object) -> None:
    assert not parsed(isFinal=truthy).is_final


@pytest.mark.parametrize("name", ["smsId", "channel", "reason", "senderId"])
@pytest.mark.parametrize("odd", [None, 7, "", [], {"a": 1}, True, "a\0b", "\ud800"])
def test_an_odd_field_costs_only_itself(name: str, odd: object) -> None:
    report = parsed(**{name: odd})
    ours = {"smsId": "sms_id", "channel": "channel", "reason": "reason", "senderId": "sender_id"}
    assert getattr(report, ours.pop(name)) is None
    assert all(getattr(report, field) is not None for field in ours.values())
    assert report.word == "failed"


@pytest.mark.parametrize("odd", [None, 7, "", [], True, "\0", "\udfff"])
def test_a_body_without_a_status_is_unreadable(odd: object) -> None:
    with pytest.raises(Unreadable, match="no status"):
        parsed(status=odd)


def test_further_fields_are_ignored() -> None:
    assert parsed(deliveredAt="2026-11-22", nested={"a": [1, {"b": None}]}) == parsed()


def test_long_texts_are_cut_to_what_a_column_holds_and_a_long_id_is_none() -> None:
    report = parsed(smsId="x" * 9000, reason="y" * 9000, status="z" * 9000, senderId="s" * 9000)
    assert (report.sms_id, len(report.reason or ""), len(report.word)) == (None, 500, 40)
    assert len(report.sender_id or "") == 40


TRAPS = {
    "empty": b"",
    "blank": b" \r\n\t ",
    "200,000 brackets": b"[" * 200_000,
    "200,000 braces": b'{"a":' * 200_000,
    "closed brackets": b'{"status":"sent","a":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "nested under the parser's own limit": b'{"status":"sent","a":' + b"[" * 900 + b"]" * 900 + b"}",
    "NaN": b'{"status":"sent","cost":NaN}',
    "Infinity": b'{"status":"sent","cost":-Infinity}',
    "5,000 digits": b'{"status":"sent","cost":' + b"9" * 5000 + b"}",
    "a key twice": b'{"status":"sent","status":"delivered"}',
    "a key twice, deep": b'{"status":"sent","a":{"b":1,"b":2}}',
    "gzip": gzip.compress(json.dumps(BODY).encode()),
    "not UTF-8": b'{"status":"\xff\xfe"}',
    "encoded surrogate": b'{"status":"\xed\xa0\x80"}',
    "UTF-16 cut in half": json.dumps(BODY).encode("utf-16")[:-1],
    "an array": b'[{"status":"sent"}]',
    "a string": b'"sent"',
    "null": b"null",
    "a number": b"1e400",
    "a form": b"status=sent&channel=sms",
    "cut": json.dumps(BODY).encode()[:-5],
    "two documents": json.dumps(BODY).encode() * 2,
    "single quotes": b"{'status': 'sent'}",
    "NUL at the end": json.dumps(BODY).encode() + b"\0",
    "only NULs": b"\0" * 64,
    "lone surrogate": rb'{"status":"\ud800"}',
    "control character": b'{"status":"se\x01nt"}',
}


@pytest.mark.parametrize("raw", TRAPS.values(), ids=TRAPS)
def test_a_trap_is_unreadable_and_says_why_in_a_few_words(raw: bytes) -> None:
    with pytest.raises(Unreadable) as why:
        parse_report(raw)
    assert 0 < len(str(why.value)) < 80


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_every_encoding_json_knows_is_read(encoding: str) -> None:
    assert parse_report(json.dumps(BODY).encode(encoding)) == parsed()


def test_a_number_too_large_for_any_float_costs_nothing() -> None:
    assert parse_report(b'{"status":"sent","cost":1e999}').word == "sent"


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_report_or_unreadable(raw: bytes) -> None:
    with contextlib.suppress(Unreadable):
        assert isinstance(parse_report(raw), Report)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(BODY, json_values)))
@settings(max_examples=200, deadline=None)
def test_any_json_object_is_a_report_or_unreadable(body: dict[str, Any]) -> None:
    try:
        report = parse_report(json.dumps(body).encode())
    except Unreadable:
        return
    for text in (report.sms_id, report.channel, report.reason, report.sender_id, report.word):
        assert text is None or "\0" not in text
        assert text is None or text.encode()


TRACKED: dict[str, Any] = {
    "smsId": "sms-1",
    "phoneNumber": "9647701234567",
    "status": "delivered",
    "cost": 80,
    "isFinalStatus": True,
    "lastChannel": "sms",
    "channelFlow": [
        {"channel": "whatsapp", "tried": True, "success": False},
        {"channel": "telegram", "tried": False},
        {"channel": "sms", "tried": True, "success": True},
    ],
}


def test_the_documented_tracking_answer_becomes_facts() -> None:
    headline, *steps = parse_tracking(TRACKED, NOW)
    assert (headline.word, headline.channel, headline.is_final, headline.sms_id) == ("delivered", "sms", True, "sms-1")
    assert (headline.cost_iqd, headline.cost_from) == (80, "tracking")
    assert [(step.channel, step.word, step.is_final) for step in steps] == [
        ("whatsapp", "failed", False),
        ("sms", "sent", False),
    ]


def test_all_a_tracking_answer_tells_was_asked_for_and_nothing_a_callback_tells() -> None:
    assert all(fact.is_asked_for for fact in parse_tracking(TRACKED, NOW))
    assert not parsed().fact(NOW).is_asked_for


@pytest.mark.parametrize("flow", [None, {}, "sms", [None, 1, "sms", []], [{}], [{"tried": 1, "success": True}]])
def test_an_odd_channel_flow_adds_nothing(flow: object) -> None:
    assert len(parse_tracking(TRACKED | {"channelFlow": flow}, NOW)) == 1


@pytest.mark.parametrize(
    ("value", "iqd"),
    [(80, 80), (80.0, 80), (79.6, 80), (0, 0)]
    + [(odd, None) for odd in (-1, "80", True, None, 1e12, float("inf"), float("nan"), 10**400, [80])],
)
def test_money_is_a_whole_number_or_unknown(value: object, iqd: int | None) -> None:
    assert amount(value) == iqd


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(TRACKED, json_values)))
@settings(max_examples=150, deadline=None)
def test_any_tracking_answer_becomes_facts(body: dict[str, Any]) -> None:
    assert len(parse_tracking(body, NOW)) >= 1
