"""Stored callbacks put through today's code again: what has its place by now gets it, and nothing else changes."""

import json
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select, update

from webhook_app import counting, merging, receiving, replaying, sample, sources
from webhook_app.cli import main
from webhook_app.database import Base, Database
from webhook_app.ids import new_id
from webhook_app.models import Callback, Message, Source, SourceAddress
from webhook_app.stamp import Stamper
from webhook_app.status import Fact, from_json

from .conftest import SECRET_KEY
from .rows import NOW, add_message, all_rows, arrival, callback, counted, fold_of_stored, get_message, recounted

LATER = NOW + timedelta(minutes=5)


def snapshot(database: Database) -> dict[str, list[str]]:
    """Every column of every row."""
    with database.reading() as session:
        return {
            table.name: sorted(repr(tuple(row)) for row in session.execute(select(table)))
            for table in Base.metadata.sorted_tables
        }


@contextmanager
def writes(database: Database) -> Iterator[list[str]]:
    """The statements that write, as they are executed."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE")):
            seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield seen
    event.remove(database.engine, "before_cursor_execute", note)


def come(database: Database, target_id: UUID, *bodies: bytes) -> list[str]:
    came = [arrival(target_id, raw, NOW + timedelta(seconds=place)) for place, raw in enumerate(bodies)]
    return receiving.receive(database, came)


def store_as(database: Database, callback_id: UUID, **columns: Any) -> None:
    """As if an earlier version had judged so."""
    with database.transaction() as session:
        session.execute(update(Callback).where(Callback.id == callback_id).values(**columns))


def only_callback(database: Database) -> Callback:
    (stored,) = all_rows(database, Callback)
    return stored


def test_what_was_accepted_is_merged_again_to_no_effect_and_without_a_write(database: Database) -> None:
    message = add_message(database)
    come(database, message, callback("sent"), callback("failed", final=True), callback("delivered"))
    before = snapshot(database)
    with writes(database) as written:
        replayed = replaying.replay(database)
    assert (replayed.looked_at, replayed.moved, replayed.messages) == (3, {}, 0)
    assert written == []
    assert snapshot(database) == before


def test_an_orphan_whose_message_is_here_by_now_is_matched_as_of_when_it_came(database: Database) -> None:
    target = new_id(NOW)
    assert come(database, target, callback("delivered"), callback("delivered")) == ["orphan", "repeat"]
    message = add_message(database, LATER, id=target)
    replayed = replaying.replay(database)
    assert (replayed.looked_at, replayed.moved, replayed.messages) == (1, {("orphan", "accepted"): 1}, 1)
    row, stored = get_message(database, message), only_callback(database)
    assert (row.status, row.settled_at) == ("delivered", NOW)
    assert (stored.verdict, stored.message_id, stored.changed) == ("accepted", message, True)
    assert (stored.received_at, stored.repeats) == (NOW, 1)
    assert counted(database) == recounted(database)


def test_orphans_whose_source_is_here_by_now_make_its_messages(database: Database) -> None:
    source_id = new_id(NOW)
    words = [("sent", "1"), ("delivered", "1"), ("sent", "2")]
    come(database, source_id, *(callback(word, smsId=sms_id) for word, sms_id in words))
    with database.transaction() as session:
        session.add(Source(id=source_id, name="shop", created_at=LATER))
        session.flush()
        session.add(SourceAddress(id=source_id, source_id=source_id, made_at=LATER))
    replayed = replaying.replay(database)
    assert (replayed.moved, replayed.messages) == ({("orphan", "accepted"): 3}, 2)
    rows = {row.sms_id: row for row in all_rows(database, Message)}
    assert {sms_id: row.status for sms_id, row in rows.items()} == {"1": "delivered", "2": "sent"}
    assert rows["2"].created_at == NOW + timedelta(seconds=2)
    assert counted(database) == recounted(database)
    before = snapshot(database)
    assert replaying.replay(database).moved == {}
    assert snapshot(database) == before


def test_what_can_be_read_today_leaves_the_quarantine(database: Database) -> None:
    message = add_message(database)
    for target, raw in ((message, callback("read")), (new_id(NOW), callback("sent"))):
        come(database, target, b"?" + raw)
        (stored,) = (row for row in all_rows(database, Callback) if row.target_id == target)
        store_as(database, stored.id, body=raw)
    replayed = replaying.replay(database)
    assert replayed.moved == {("quarantined", "accepted"): 1, ("quarantined", "orphan"): 1}
    assert {(row.verdict, row.note, row.message_id) for row in all_rows(database, Callback)} == {
        ("accepted", None, message),
        ("orphan", None, None),
    }
    assert get_message(database, message).status == "read"
    assert counted(database) == recounted(database)


def test_what_cannot_be_read_today_either_stays_as_it_is(database: Database) -> None:
    come(database, add_message(database), b"{", b'{"status": 1}')
    come(database, sources.add(database, "shop", NOW).id, callback(smsId=None))
    before = snapshot(database)
    replayed = replaying.replay(database)
    assert (replayed.looked_at, replayed.moved) == (3, {})
    assert snapshot(database) == before


def test_what_was_accepted_once_is_never_taken_back(database: Database) -> None:
    message = add_message(database)
    come(database, message, callback("delivered"))
    store_as(database, only_callback(database).id, body=b"not what today's code reads")
    before = snapshot(database)
    assert replaying.replay(database).moved == {}
    assert snapshot(database) == before


def test_a_fact_that_an_earlier_version_did_not_see_is_told_now(database: Database) -> None:
    message = add_message(database)
    come(database, message, callback("enroute"))
    store_as(database, only_callback(database).id, body=callback("delivered"), changed=False)
    replayed = replaying.replay(database)
    assert (replayed.moved, replayed.messages) == ({("accepted", "accepted"): 1}, 1)
    assert only_callback(database).changed
    assert get_message(database, message).status == "delivered"
    assert counted(database) == recounted(database)


def test_a_row_that_an_earlier_rule_derived_is_derived_anew(database: Database) -> None:
    message = add_message(database)
    come(database, message, callback("failed", final=True, reason="Absent"))
    with database.transaction() as session:
        session.execute(update(Message).values(reason=None, closed=False))
    assert replaying.replay(database).messages == 1
    row = get_message(database, message)
    assert (row.reason, row.closed) == ("Absent", True)
    assert counted(database) == recounted(database)


def test_only_those_chosen_are_looked_at(database: Database) -> None:
    message = add_message(database)
    come(database, message, callback("sent"), callback("delivered"), b"?")
    come(database, new_id(NOW), callback("sent"))

    def looked_at(**chosen: Any) -> int:
        return replaying.replay(database, **chosen).looked_at

    assert looked_at() == 4
    assert looked_at(verdicts=["quarantined"]) == 1
    assert looked_at(verdicts=["quarantined", "orphan"]) == 2
    assert looked_at(since=NOW + timedelta(seconds=1)) == 2
    assert looked_at(until=NOW + timedelta(seconds=1)) == 2
    assert looked_at(callback_ids=[all_rows(database, Callback)[0].id]) == 1
    assert looked_at(callback_ids=[]) == 0


def test_more_than_a_batch_is_looked_at_to_the_end(database: Database) -> None:
    message = add_message(database)
    come(database, message, *(callback(f"word-{number}") for number in range(450)))
    come(database, new_id(NOW), *(callback(f"word-{number}") for number in range(201)))
    before = snapshot(database)
    assert replaying.replay(database).looked_at == 651
    assert snapshot(database) == before


def test_a_fortnight_of_sample_history_replays_to_itself(database: Database, stamper: Stamper) -> None:
    sample.fill(database, stamper, 300, ZoneInfo("Asia/Baghdad"), NOW)
    before = snapshot(database)
    assert replaying.replay(database).looked_at > 300
    assert snapshot(database) == before


BODIES = st.one_of(
    st.builds(
        callback,
        st.sampled_from(["sent", "failed", "delivered", "read", "odd"]),
        st.sampled_from(["sms", "whatsapp", "pigeon"]),
        final=st.booleans(),
        smsId=st.sampled_from([None, "sms-1", "sms-2"]),
        verificationCode=st.sampled_from([None, "493817"]),
    ),
    st.sampled_from([b"", b"{", b"[]", b'{"verificationCode": 493817', b'{"status": "sent", "n": 1e999}']),
)
STEPS = st.one_of(
    st.tuples(st.just("call back"), st.sampled_from(["own", "source", "stranger"]), st.lists(BODIES, max_size=3)),
    st.tuples(st.just("track"), st.sampled_from(["sent", "delivered", "pending"]), st.booleans()),
    st.tuples(st.just("fold"), st.none(), st.none()),
)


@given(st.lists(STEPS, max_size=6))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_any_history_a_replay_changes_no_row(database: Database, steps: list[tuple[str, Any, Any]]) -> None:
    (source,) = sources.named(database) or [sources.add(database, "shop", NOW)]
    targets = {"own": add_message(database), "source": source.id, "stranger": new_id(NOW)}
    for step, what, more in steps:
        if step == "call back":
            come(database, targets[what], *more)
        elif step == "track":
            track_all(database, what, more)
        else:
            counting.fold(database)
    before = snapshot(database)
    replayed = replaying.replay(database)
    assert (replayed.moved, replayed.messages) == ({}, 0)
    assert snapshot(database) == before


def track_all(database: Database, word: str, is_under_another_id: bool) -> None:
    for row in all_rows(database, Message):
        with database.transaction() as session:
            held = merging.lock(session, row.id)
            assert held is not None
            sms_id = f"a-{row.id}" if is_under_another_id else row.sms_id
            merging.merge(session, held, [Fact(at=LATER, word=word, sms_id=sms_id, cost_iqd=80, cost_from="tracking")])


def test_replays_beside_callbacks_leave_the_fold_of_all_that_came(database: Database) -> None:
    targets = [new_id(NOW + timedelta(milliseconds=number)) for number in range(16)]
    source = sources.add(database, "shop", NOW)
    for target in targets:
        come(database, target, callback("sent"), callback("failed", final=True))  # orphans, so far
    for target in targets:
        add_message(database, id=target)
    words = ("delivered", "sent", "odd")
    coming = [arrival(target, callback(word), LATER) for target in targets for word in words]
    coming += [arrival(source.id, callback(word, smsId=f"sms-{n}"), LATER) for n in range(16) for word in words]
    random.Random(3).shuffle(coming)
    in_threads(
        *(receive_some(database, coming[place::4]) for place in range(4)),
        *(lambda: [replaying.replay(database) for _ in range(3)] for _ in range(2)),
    )
    replaying.replay(database)
    assert {row.verdict for row in all_rows(database, Callback)} == {"accepted"}
    for row in all_rows(database, Message):
        assert (row.status, from_json(row.delivery)) == ("delivered", fold_of_stored(database, row.id))
    assert counted(database) == recounted(database)
    before = snapshot(database)
    replaying.replay(database)
    assert snapshot(database) == before


def receive_some(database: Database, arrivals: list[receiving.Arrival]) -> Callable[[], None]:
    def receive() -> None:
        for start in range(0, len(arrivals), 5):
            receiving.receive(database, arrivals[start : start + 5])

    return receive


def in_threads(*work: Callable[[], object]) -> None:
    with ThreadPoolExecutor(len(work)) as pool:
        for done in [pool.submit(each) for each in work]:
            done.result(60)


on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)  # the command ends with its process


@pytest.fixture
def shell(store_url: str, tmp_path: Path) -> Callable[..., Result]:
    environment = {"DATABASE_URL": store_url, "WASL_DATA_DIR": str(tmp_path), "WASL_SECRET_KEYS": SECRET_KEY}
    return lambda *arguments: CliRunner(env=environment).invoke(main, ["replay", *arguments], catch_exceptions=False)


@on_sqlite
def test_the_command_says_what_changed(database: Database, shell: Callable[..., Result]) -> None:
    target = new_id(NOW - timedelta(days=1000))
    receiving.receive(database, [arrival(target, callback("read"), NOW - timedelta(days=1000))])
    add_message(database, id=target)
    assert shell("--quarantined").stdout == "0 callbacks looked at, 0 messages changed\n"
    assert shell("--orphans").stdout == "1 callbacks looked at, 1 messages changed\n1 orphan → accepted\n"
    assert json.loads(shell("--json").stdout) == {"lookedAt": 1, "moved": [], "messagesChanged": 0}


@on_sqlite
def test_a_day_of_the_command_begins_at_midnight_here(database: Database, shell: Callable[..., Result]) -> None:
    at = NOW.replace(year=2024, month=2, day=29, hour=21)  # midnight in Baghdad
    receiving.receive(database, [arrival(add_message(database), callback(), at)])
    assert json.loads(shell("--json", "--since", "2024-03-01").stdout)["lookedAt"] == 1
    assert json.loads(shell("--json", "--until", "2024-03-01").stdout)["lookedAt"] == 0
    assert json.loads(shell("--json", "--until", "2024-03-01 00:01").stdout)["lookedAt"] == 1
    assert shell("--since", "0001-01-01").exit_code == 2
