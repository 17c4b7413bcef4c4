import gzip
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from webhook_app import receiving, sources, status
from webhook_app.database import Database
from webhook_app.ids import new_id
from webhook_app.models import Callback, Intake, Message
from webhook_app.otpiq import Report, Unreadable, parse_report
from webhook_app.receiving import Arrival, SpoolPlace
from webhook_app.status import Status, anomalies, from_json

from .rows import (
    NOW,
    add_message,
    all_rows,
    arrival,
    callback,
    counted,
    everything_stored,
    fold_of_stored,
    get_message,
    recounted,
)

# The store is emptied after the last example only: every example makes its own messages.
ON_A_STORE = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


def receive(database: Database, *batch: Arrival) -> list[str]:
    """Each as if it had just come: what is handed in twice is a repeat."""
    return receiving.receive(database, [replace(each, id=new_id(each.at)) for each in batch])


def noted(database: Database, message_id: UUID) -> tuple[str, ...]:
    row = get_message(database, message_id)
    return anomalies(from_json(row.delivery), Status(row.send_state))


def only_callback(database: Database) -> Callback:
    (stored,) = all_rows(database, Callback)
    return stored


def test_a_callback_moves_its_message_and_is_stored_raw(database: Database) -> None:
    message, raw = add_message(database), callback("failed", "whatsapp", final=True, reason="Absent subscriber")
    assert receive(database, arrival(message, raw)) == ["accepted"]
    row, stored = get_message(database, message), only_callback(database)
    assert (row.status, row.channel, row.reason, row.closed) == ("failed", "whatsapp", "Absent subscriber", True)
    assert (stored.body, stored.message_id, stored.changed, stored.repeats) == (raw, message, True, 0)
    assert row.sms_id == "sms-1"


def test_a_repeated_callback_changes_nothing_and_is_counted(
    database: Database, at: Callable[[float], datetime]
) -> None:
    message = add_message(database)
    receive(database, arrival(message, callback("sent"), at(1)))
    before = status.to_json(from_json(get_message(database, message).delivery))
    assert receive(database, *[arrival(message, callback("sent"), at(60))] * 3) == ["repeat"] * 3
    assert get_message(database, message).delivery == before
    assert only_callback(database).repeats == 3


def test_the_same_fact_in_other_bytes_is_stored_and_marked_as_no_news(database: Database) -> None:
    message = add_message(database)
    receive(database, arrival(message, callback("sent")), arrival(message, callback("sent") + b"\n"))
    assert sorted(stored.changed for stored in all_rows(database, Callback)) == [False, True]


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_any_order_gives_the_same_row(database: Database, order: tuple[int, ...]) -> None:
    story = [
        arrival(message := add_message(database), callback("failed", "whatsapp", reason="Not there"), NOW),
        arrival(message, callback("sent", "sms"), NOW + timedelta(seconds=1)),
        arrival(message, callback("delivered", "sms", final=True), NOW + timedelta(seconds=4)),
    ]
    for place in order:
        receive(database, story[place])
    row = get_message(database, message)
    assert (row.status, row.channel, row.closed) == ("delivered", "sms", True)
    assert (row.settled_at, row.last_fact_at) == (story[2].at, story[2].at)
    assert from_json(row.delivery) == fold_of_stored(database, message)


def test_a_late_callback_still_counts_after_the_message_is_closed(database: Database) -> None:
    message = add_message(database)
    receive(database, arrival(message, callback("failed", final=True)))
    receive(database, arrival(message, callback("delivered", final=True), NOW + timedelta(days=30)))
    assert get_message(database, message).status == "delivered"


def test_a_failure_after_delivered_is_noted_and_changes_no_status(database: Database) -> None:
    message = add_message(database)
    receive(database, arrival(message, callback("delivered")))
    receive(database, arrival(message, callback("failed", final=True), NOW + timedelta(seconds=9)))
    assert get_message(database, message).status == "delivered"
    assert noted(database, message) == ("failed_after_delivered",)


def test_a_callback_of_an_unknown_message_is_kept_as_an_orphan(database: Database) -> None:
    stray = arrival(new_id(NOW), callback("delivered"))
    assert receive(database, stray) == ["orphan"]
    assert receive(database, stray) == ["repeat"]
    stored = only_callback(database)
    assert (stored.verdict, stored.message_id, stored.target_id, stored.repeats) == ("orphan", None, stray.target_id, 1)
    assert all_rows(database, Message) == []


BAD = [b"", b"\0", b"[" * 60_000, b'{"status":NaN}', gzip.compress(callback()), b'{"status":1}', b"\xff", b"x" * 60_000]


@pytest.mark.parametrize("raw", BAD)
def test_what_cannot_be_read_is_quarantined_with_the_reason(database: Database, raw: bytes) -> None:
    message = add_message(database)
    assert receive(database, arrival(message, raw)) == ["quarantined"]
    stored = only_callback(database)
    assert (stored.body, stored.verdict, stored.message_id, stored.changed) == (raw, "quarantined", message, False)
    assert stored.note
    assert get_message(database, message).status == "accepted"
    assert receive(database, arrival(message, raw)) == ["repeat"]


def test_an_unknown_word_is_accepted_and_moves_nothing(database: Database) -> None:
    message = add_message(database)
    receive(database, arrival(message, callback("sent")))
    assert receive(database, arrival(message, callback("teleported"))) == ["accepted"]
    row = get_message(database, message)
    assert row.status == "sent"
    assert from_json(row.delivery).unknown_words == {"teleported"}


@pytest.mark.parametrize("channel", ["?", "viber", "", "\ud800", "x" * 900])
def test_an_unknown_channel_is_kept_apart(database: Database, channel: str) -> None:
    message = add_message(database)
    receive(database, arrival(message, callback("delivered", channel)))
    assert get_message(database, message).channel == "?"


def test_a_second_sms_id_is_flagged_as_sent_twice(database: Database) -> None:
    message = add_message(database)
    receive(database, arrival(message, callback("sent", smsId="sms-1")))
    receive(database, arrival(message, callback("sent", smsId="sms-2")))
    assert noted(database, message) == ("sent_twice",)
    assert from_json(get_message(database, message).delivery).sms_ids == {"sms-1", "sms-2"}


@pytest.mark.parametrize("state", ["rejected", "throttled", "unsent"])
def test_an_authentic_callback_wins_over_a_refused_send(database: Database, state: str) -> None:
    message = add_message(database, send_state=state)
    receive(database, arrival(message, callback("delivered", final=True)))
    assert get_message(database, message).status == "delivered"
    assert noted(database, message) == ("refused_yet_reported",)


@pytest.mark.parametrize("state", ["queued", "sending", "unconfirmed"])
def test_a_callback_settles_a_send_in_doubt(database: Database, state: str) -> None:
    message = add_message(database, send_state=state, estimate_iqd=80)
    receive(database, arrival(message, callback("pending")))
    assert get_message(database, message).status == "accepted"
    assert noted(database, message) == ()


@pytest.mark.parametrize(
    "body",
    [
        b'{"status":"sent","verificationCode":"493817"}',
        b'{"status":"sent","verificationCode": 493817}',
        b'{"status":"sent","verificationCode":"493817',
        b'{"status":"sent","verificationCode":["493817"]}',
        b'{"status":"sent","verification\\u0043ode":"493817"}',
        b'{"status":"sent","templateParameters":{"body":{"1":"493817"}}}',
        '{"status":"sent","verificationCode":"493817"}'.encode("utf-16"),
    ],
)
def test_a_code_that_a_callback_echoes_is_not_kept(database: Database, body: bytes) -> None:
    receive(database, arrival(add_message(database), body))
    stored = only_callback(database)
    assert b"493817" not in stored.body.replace(b"\0", b"")
    assert "493817" not in everything_stored(database)


# Sources


def test_a_source_makes_its_messages_as_callbacks_come(database: Database) -> None:
    source = sources.add(database, "shop", NOW)
    raw = callback("delivered", final=True, senderId="MyShop")
    assert receive(database, arrival(source.id, raw)) == ["accepted"]
    (row,) = all_rows(database, Message)
    assert (row.source_id, row.sms_id, row.status, row.sender_id) == (source.id, "sms-1", "delivered", "MyShop")
    assert (row.phone, row.carrier, row.sms_type, row.charged_iqd) == (None, "other", "unknown", None)
    assert counted(database) == recounted(database)


def test_later_callbacks_of_a_source_find_the_message_again(database: Database) -> None:
    source = sources.add(database, "shop", NOW)
    receive(database, arrival(source.id, callback("sent")))
    receive(database, arrival(source.id, callback("delivered")), arrival(source.id, callback("sent", smsId="sms-2")))
    assert {row.sms_id: row.status for row in all_rows(database, Message)} == {"sms-1": "delivered", "sms-2": "sent"}


def test_a_sources_callback_touches_only_messages_of_that_source(database: Database) -> None:
    shop, other = sources.add(database, "shop", NOW), sources.add(database, "other", NOW)
    ours = add_message(database, sms_id="sms-1")
    receive(database, arrival(shop.id, callback("sent")))
    receive(database, arrival(other.id, callback("failed", final=True)))
    assert get_message(database, ours).status == "accepted"
    assert {row.source_id: row.status for row in all_rows(database, Message) if row.source_id} == {
        shop.id: "sent",
        other.id: "failed",
    }


def test_a_messages_callback_does_not_touch_the_message_its_body_names(database: Database) -> None:
    named, meant = add_message(database, sms_id="sms-1"), add_message(database, sms_id="sms-2")
    receive(database, arrival(meant, callback("delivered", smsId="sms-1")))
    assert get_message(database, named).status == "accepted"
    assert get_message(database, meant).status == "delivered"


@pytest.mark.parametrize("sms_id", [None, "", 7, "a\0b"])
def test_a_sources_callback_without_an_sms_id_is_quarantined(database: Database, sms_id: object) -> None:
    source = sources.add(database, "shop", NOW)
    assert receive(database, arrival(source.id, callback("sent", smsId=sms_id))) == ["quarantined"]
    assert only_callback(database).note == "the body has no smsId"
    assert all_rows(database, Message) == []


# Batches


def test_a_batch_is_answered_in_its_own_order(database: Database) -> None:
    message, source = add_message(database), sources.add(database, "shop", NOW)
    batch = [
        arrival(source.id, callback("sent", smsId="sms-9")),
        arrival(new_id(NOW + timedelta(days=1)), callback()),
        arrival(message, b"?"),
        arrival(message, callback()),
        arrival(message, callback()),
    ]
    verdicts = ["accepted", "orphan", "quarantined", "accepted", "repeat"]
    assert receive(database, *batch) == verdicts
    assert receive(database, *reversed(batch)) == ["repeat"] * 5


def test_an_empty_batch_is_nothing(database: Database) -> None:
    assert receive(database) == []


def test_a_batch_of_many_is_stored_whole(database: Database) -> None:
    messages = [add_message(database, NOW + timedelta(seconds=place)) for place in range(20)]
    batch = [
        arrival(message, callback(word, final=word == "delivered"), NOW + timedelta(minutes=1))
        for word in ("delivered", "sent")
        for message in messages
    ]
    random.Random(3).shuffle(batch)
    assert receive(database, *batch) == ["accepted"] * 40
    assert {row.status for row in all_rows(database, Message)} == {"delivered"}
    assert counted(database) == recounted(database)


# The row is the fold of what is stored

bodies = st.builds(
    lambda word, channel, final, reason, sms_id: callback(word, channel, final=final, reason=reason, smsId=sms_id),
    st.sampled_from(["sent", "delivered", "failed", "read", "expired", "pending", "teleported"]),
    st.sampled_from(["sms", "whatsapp", "telegram", "viber"]),
    st.booleans(),
    st.sampled_from([None, "Absent subscriber", "Carrier rejected the message"]),
    st.sampled_from(["sms-1", "sms-2", None]),
) | st.binary(max_size=20)


@given(batches=st.lists(st.lists(st.tuples(bodies, st.integers(0, 300)), max_size=5), max_size=3))
@settings(max_examples=60, **ON_A_STORE)
def test_the_row_equals_the_pure_fold_of_its_callbacks(
    database: Database, batches: list[list[tuple[bytes, int]]]
) -> None:
    message = add_message(database)
    first_heard: dict[bytes, datetime] = {}
    for batch in batches:
        came = [arrival(message, raw, NOW + timedelta(seconds=after_s)) for raw, after_s in batch]
        receive(database, *came)
    assert from_json(get_message(database, message).delivery) == fold_of_stored(database, message)
    for raw, _after_s in (each for batch in batches for each in batch):
        first_heard.setdefault(raw, NOW)
    with database.reading() as session:
        stored = session.query(Callback).where(Callback.target_id == message).all()
    assert len(stored) == len(first_heard)
    assert sum(1 + each.repeats for each in stored) == sum(map(len, batches))


@given(st.permutations([("sent", False), ("failed", False), ("failed", True), ("delivered", True), ("read", True)]))
@settings(max_examples=30, **ON_A_STORE)
def test_the_headline_of_the_row_depends_on_no_order(database: Database, story: list[tuple[str, bool]]) -> None:
    message = add_message(database)
    for word, final in story:
        receive(database, arrival(message, callback(word, final=final)))
    row = get_message(database, message)
    assert (row.status, row.channel, row.closed) == ("read", "sms", True)


@given(raw=st.binary(max_size=200))
@settings(max_examples=50, **ON_A_STORE)
def test_any_bytes_are_taken_in(database: Database, raw: bytes) -> None:
    assert receive(database, arrival(add_message(database), raw)) == ["quarantined"] or is_report(raw)


def is_report(raw: bytes) -> bool:
    try:
        return isinstance(parse_report(raw), Report)
    except Unreadable:
        return False


def test_an_orphan_that_comes_again_is_matched_when_its_message_is_there_by_now(database: Database) -> None:
    message_id = new_id(NOW)
    early = arrival(message_id, callback("delivered", final=True))
    assert receive(database, early) == ["orphan"]
    add_message(database, id=message_id)  # restored from a backup
    assert receive(database, early) == ["accepted"]
    (kept,) = all_rows(database, Callback)
    assert (kept.verdict, kept.message_id, kept.repeats) == ("accepted", message_id, 1)
    assert get_message(database, message_id).status == "delivered"
    assert receive(database, early) == ["repeat"]


def test_what_has_no_place_is_logged_by_id(database: Database) -> None:
    message_id, stray = add_message(database), new_id(NOW)
    with capture_logs() as told:
        receive(database, arrival(message_id, callback()), arrival(message_id, b"not JSON"), arrival(stray, callback()))
    assert {line["event"] for line in told} == {"callback.unplaced"}
    assert [(line["target_id"], line["verdict"]) for line in told] == [
        (str(message_id), "quarantined"),
        (str(stray), "orphan"),
    ]


def test_the_very_same_arrival_once_more_is_no_repeat(database: Database) -> None:
    came = arrival(add_message(database), callback())
    assert receiving.receive(database, [came]) == ["accepted"]
    assert receiving.receive(database, [came, came]) == ["repeat", "repeat"]
    assert only_callback(database).repeats == 0


def test_a_batch_from_a_spool_file_is_taken_once(database: Database) -> None:
    came = arrival(add_message(database), callback())
    receive(database, came)
    place = SpoolPlace(name="01.spool", end_bytes=100)
    for _ in range(2):
        receiving.receive(database, [replace(came, id=new_id(NOW))], place)
    assert only_callback(database).repeats == 1
    receiving.receive(database, [replace(came, id=new_id(NOW))], replace(place, end_bytes=200))
    assert only_callback(database).repeats == 2


def test_the_door_is_counted_by_the_minute(database: Database, at: Callable[[float], datetime]) -> None:
    message = add_message(database)
    for second, word in ((1, "sent"), (2, "sent"), (59, "delivered"), (61, "failed"), (62, "failed")):
        receive(database, arrival(message, callback(word, n=word), at(second)))
    receive(database, arrival(message, callback("sent", n="other bytes"), at(63)), arrival(new_id(NOW), b"?", at(63)))
    with database.reading() as session:
        seen = {(row.minute, row.what): row.callbacks for row in session.query(Intake)}
    assert seen == {
        (at(0), "accepted"): 2,
        (at(0), "repeat"): 1,
        (at(60), "accepted"): 1,
        (at(60), "repeat"): 1,
        (at(60), "late"): 1,
        (at(60), "quarantined"): 1,
    }


def test_a_repeat_of_what_was_not_understood_is_read_again(database: Database) -> None:
    message = add_message(database)
    came = arrival(message, callback("delivered", final=True))
    receiving.set_aside(database, came, "taking it in failed: KeyError")
    assert receive(database, came) == ["accepted"]
    stored = only_callback(database)
    assert (stored.verdict, stored.note, stored.repeats) == ("accepted", None, 1)
    assert get_message(database, message).status == "delivered"


def test_what_is_set_aside_keeps_no_code(database: Database) -> None:
    receiving.set_aside(database, arrival(new_id(NOW), b'{"verificationCode": "987123"}'), "a fault of ours")
    assert "987123" not in everything_stored(database)


@pytest.mark.parametrize("word", ["sent", "delivered"])
def test_a_sources_message_is_asked_about_for_its_cost(database: Database, word: str) -> None:
    shop = sources.add(database, "shop", NOW)
    receive(database, arrival(shop.id, callback(word, final=word == "delivered")))
    (message,) = all_rows(database, Message)
    assert message.track_at == NOW + timedelta(minutes=1)
