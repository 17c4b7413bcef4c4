"""What the Callbacks page asks: the last hour by the minute, the stored callbacks, the refusals and their causes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event

from webhook_app import figures, sources
from webhook_app.database import Database
from webhook_app.figures import CallbackRow, intake
from webhook_app.ids import new_id
from webhook_app.models import Callback, Intake
from webhook_app.refusals import Cause
from webhook_app.status import Fact

from .rows import NOW, add_message, callback

MINUTE = timedelta(minutes=1)


def add_callback(database: Database, at: datetime = NOW, **columns: Any) -> UUID:
    """A stored callback; an accepted one that told something new unless `columns` say otherwise."""
    row_id = new_id(at)
    usual: dict[str, Any] = {
        "target_id": row_id,
        "message_id": None,
        "received_at": at,
        "repeats": 0,
        "digest": row_id.hex,
        "body": callback("sent"),
        "headers": {"Content-Type": "application/json"},
        "verdict": "accepted",
        "changed": True,
    }
    with database.transaction() as session:
        session.add(Callback(id=row_id, **usual | columns))
    return row_id


def count(database: Database, what: str, minutes_ago: int = 0, callbacks: int = 1, **columns: Any) -> None:
    with database.transaction() as session:
        usual = {"writer": "me", "minute": NOW - minutes_ago * MINUTE}
        session.add(Intake(what=what, callbacks=callbacks, **usual | columns))


def shown(database: Database, verdict: str | None = None, **place: UUID) -> list[UUID]:
    return [row.id for row in figures.callback_page(database, verdict, **place).rows]


def only_row(database: Database) -> CallbackRow:
    (row,) = figures.callback_page(database, None).rows
    return row


@contextmanager
def queries(database: Database) -> Iterator[list[str]]:
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        asked.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield asked
    event.remove(database.engine, "before_cursor_execute", note)


# The last hour


def test_the_last_hour_comes_minute_by_minute_summed_over_the_processes(database: Database) -> None:
    count(database, "accepted", 1, 3)
    count(database, "accepted", 1, 4, writer="other")
    count(database, "wrong_secret", 0, 2)
    minutes = figures.intake_minutes(database, NOW + timedelta(seconds=30))
    assert [minute.counts for minute in minutes[-2:]] == [{"accepted": 7}, {"wrong_secret": 2}]
    assert (len(minutes), minutes[-1].start, minutes[-1].end) == (60, NOW, NOW + MINUTE)
    assert not any(minute.counts for minute in minutes[:-2])


def test_what_is_older_than_an_hour_is_not_of_the_last_hour(database: Database) -> None:
    count(database, "accepted", 60)
    assert not any(minute.counts for minute in figures.intake_minutes(database, NOW))


# The list


def test_callbacks_come_newest_first_with_what_they_said(database: Database) -> None:
    old = add_callback(database, NOW - MINUTE, body=callback("delivered", "whatsapp", final=True))
    new = add_callback(database, NOW)
    assert shown(database) == [new, old]
    step = figures.callback_page(database, None).rows[1].step
    assert (step.word, step.channel, step.is_final) == ("delivered", "whatsapp", True)


def test_a_callback_names_its_message_with_the_number_masked(database: Database) -> None:
    message = add_message(database, facts=[Fact(at=NOW, word="delivered", is_final=True)])
    add_callback(database, message_id=message, target_id=message)
    row = only_row(database)
    assert (row.message_id, row.phone_masked, row.message_status) == (message, "+964 770 ••• 4567", "delivered")
    assert row.source_name is None


def test_a_source_s_callback_names_the_source_also_where_it_has_no_message(database: Database) -> None:
    shop = sources.add(database, "shop", NOW)
    message = add_message(database, source_id=shop.id, phone=None, phone_end=None)
    add_callback(database, message_id=message, target_id=shop.id)
    add_callback(database, verdict="quarantined", note="the body has no smsId", target_id=shop.id)
    rows = figures.callback_page(database, None).rows
    assert {(row.source_id, row.source_name, row.phone_masked) for row in rows} == {(shop.id, "shop", None)}


def test_each_verdict_has_its_list(database: Database) -> None:
    ids = {
        "accepted": add_callback(database),
        "late": add_callback(database, changed=False),
        "orphan": add_callback(database, verdict="orphan", changed=False),
        "quarantined": add_callback(database, verdict="quarantined", changed=False, note="the body is empty"),
    }
    repeated = add_callback(database, verdict="orphan", changed=False, repeats=2)
    found = {verdict: set(shown(database, verdict)) for verdict in figures.VERDICTS}
    assert found.pop("repeated") == {repeated}
    assert found.pop("orphan") == {ids["orphan"], repeated}
    assert found == {verdict: {ids[verdict]} for verdict in found}
    assert {row.verdict for row in figures.callback_page(database, None).rows} == set(ids)


def test_older_and_newer_lead_through_the_whole_list_once(database: Database) -> None:
    ids = [add_callback(database, NOW + n * MINUTE) for n in range(120)][::-1]
    page, seen = figures.callback_page(database, None), []
    assert page.newer is None
    while page.older:
        seen += [row.id for row in page.rows]
        page = figures.callback_page(database, None, before=page.older)
    assert seen + [row.id for row in page.rows] == ids
    assert page.newer
    assert shown(database, None, after=page.newer) == ids[50:100]


def test_a_rare_one_is_looked_for_part_by_part_and_found(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "_LOOKED_THROUGH", 10)
    rare = add_callback(database, NOW - MINUTE, changed=False)
    others = [add_callback(database, NOW + n * MINUTE) for n in range(25)]
    page, parts = figures.callback_page(database, "late"), 1
    while not page.rows:
        assert page.looked_through == 10
        page, parts = figures.callback_page(database, "late", before=page.older), parts + 1
    assert ([row.id for row in page.rows], parts) == ([rare], 3)
    upwards = figures.callback_page(database, "late", after=rare)
    assert (upwards.rows, upwards.newer) == ((), others[9])


@pytest.mark.parametrize("verdict", [None, *figures.VERDICTS])
def test_a_page_asks_as_often_for_many_callbacks_as_for_few(database: Database, verdict: str | None) -> None:
    add_callback(database)
    figures.callback_page(database, verdict)  # a first connection asks more
    with queries(database) as few:
        figures.callback_page(database, verdict)
    for number in range(60):
        message = add_message(database, source_id=sources.add(database, f"s {number}", NOW).id)
        add_callback(database, message_id=message, repeats=number % 2, changed=number % 3 == 0)
    with queries(database) as many:
        figures.callback_page(database, verdict)
    assert len(many) == len(few)


# One callback


def test_one_callback_is_told_with_headers_and_readable_body(database: Database) -> None:
    headers = {"X-OTPIQ-Webhook-Secret": "abcd… (43 characters, sha256 1a2b3c4d)"}
    row_id = add_callback(database, body=b'{"status":"sent","reason":"\xd8\xaa"}', headers=headers)
    detail = figures.find_callback(database, row_id)
    assert detail is not None
    assert detail.body == '{\n  "status": "sent",\n  "reason": "ت"\n}'
    assert detail.head.endswith("X-OTPIQ-Webhook-Secret: abcd… (43 characters, sha256 1a2b3c4d)")
    assert (detail.is_cut, detail.body_bytes) == (False, 31)


# What would be read as something else than it says, or could not be written again, is shown as it came.
AS_IT_CAME = {
    b"no JSON": "no JSON",
    b'{"status": "sent", "status": "read"}': '{"status": "sent", "status": "read"}',
    b'{"status": "\\ud800"}': '{"status": "\\ud800"}',
    b"[" * 100_000: "[" * 4096,
    b"\xff\0": "��",
    b"": "",
}


def test_a_body_that_is_no_plain_json_is_shown_as_it_came(database: Database) -> None:
    for raw, text in AS_IT_CAME.items():
        detail = figures.find_callback(database, add_callback(database, body=raw))
        assert detail is not None
        assert (detail.body, detail.is_cut) == (text, len(raw) > 4096)


def test_an_unknown_callback_has_no_detail(database: Database) -> None:
    assert figures.find_callback(database, new_id(NOW)) is None


# What was refused


def test_refusals_of_a_day_are_summed_by_cause_with_the_newest_sample(database: Database) -> None:
    count(database, Cause.WRONG_SECRET, 1441, 1000, sample={"from": "too old"})
    count(database, Cause.WRONG_SECRET, 90, 5, sample={"from": "old"})
    count(database, Cause.WRONG_SECRET, 2, 1, sample={"from": "new"})
    count(database, Cause.WRONG_SECRET, 2, 1, sample={"from": "new"}, writer="other")
    count(database, Cause.TOO_BIG, 3, 2, sample={})
    count(database, "accepted", 1, 99)
    causes = figures.refused_causes(database, NOW)
    assert [(cause.cause, cause.callbacks, cause.last_minute, cause.sample) for cause in causes] == [
        ("wrong_secret", 7, NOW - 2 * MINUTE, {"from": "new"}),
        ("too_big", 2, NOW - 3 * MINUTE, {}),
    ]


Counts = dict[tuple[str, int], int]
LIGHTS: dict[str, tuple[Counts, str]] = {
    "nothing at all": ({}, "ok"),
    "good ones only": ({("accepted", 1): 5}, "ok"),
    "wrong secrets and nothing good": ({("wrong_secret", 1): 1}, "refused"),
    "more wrong signatures than good ones": ({("bad_signature", 1): 6, ("repeat", 2): 5}, "refused"),
    "as many wrong ones as good ones": ({("wrong_secret", 1): 5, ("accepted", 2): 4, ("late", 2): 1}, "ok"),
    "wrong ones a while ago": ({("wrong_secret", 7): 50}, "ok"),
    "none carries a secret": ({("no_secret", 1): 50}, "refused"),
    "other refusals": ({("bad_address", 1): 50, ("too_big", 1): 50}, "ok"),
}


@pytest.mark.parametrize("story", LIGHTS)
def test_the_light_is_red_when_otpiq_is_likely_turned_away(database: Database, story: str) -> None:
    counts, light = LIGHTS[story]
    add_callback(database)
    for (what, minutes_ago), callbacks in counts.items():
        count(database, what, minutes_ago, callbacks)
    assert figures.frame(database, "live", NOW).light == light


def test_being_refused_says_more_than_silence(database: Database) -> None:
    add_message(database, NOW - 6 * MINUTE)
    assert figures.frame(database, "live", NOW).light == "silent"
    count(database, Cause.WRONG_SECRET)
    assert figures.frame(database, "live", NOW).light == "refused"


QUESTIONS: dict[str, Callable[[Database], object]] = {
    "minutes": lambda database: figures.intake_minutes(database, NOW),
    "causes": lambda database: figures.refused_causes(database, NOW),
    "frame": lambda database: figures.frame(database, "live", NOW),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_flood_is_read_with_as_many_queries_as_silence(database: Database, question: str) -> None:
    QUESTIONS[question](database)
    with queries(database) as few:
        QUESTIONS[question](database)
    for cause in Cause:
        for minutes_ago in range(10):
            count(database, cause, minutes_ago, 10_000, sample={"from": "somewhere"})
    with queries(database) as many:
        QUESTIONS[question](database)
    assert len(many) == len(few)
