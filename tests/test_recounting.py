"""`wasl db recount`: counting in SQL comes to what is counted message by message, and puts right what does not."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update

from webhook_app import counting, receiving, recounting, sources
from webhook_app.cli import main
from webhook_app.database import Database
from webhook_app.models import (
    CellTally,
    DayCellTally,
    DayPartTally,
    DayTally,
    Delta,
    HourTally,
    Message,
    PartDelta,
    PartTally,
    SlotCellTally,
    SlotPartTally,
    SlotTally,
    Tally,
)
from webhook_app.recounting import Recount
from webhook_app.status import Fact, Status

from .conftest import SECRET_KEY
from .rows import (
    NOW,
    add_message,
    all_rows,
    arrival,
    callback,
    counted,
    parts_counted,
    parts_recounted,
    recounted,
)

BROKEN = 3 + 4 * 2  # by `break_counts`

LATER = NOW + timedelta(hours=1, minutes=59)

ANYTHING = st.fixed_dictionaries(
    {
        "after": st.timedeltas(timedelta(0), timedelta(hours=3)),
        "facts": st.lists(
            st.builds(
                Fact,
                at=st.just(NOW),
                word=st.sampled_from(["sent", "failed", "delivered", "pending"]),
                channel=st.sampled_from([None, "sms", "whatsapp"]),
                is_final=st.booleans(),
                reason=st.sampled_from([None, "Refused", "لا يوجد واتساب", "é🙂" * 150]),
                cost_iqd=st.sampled_from([None, 0, 80, 10**11]),
            ),
            max_size=2,
        ),
        "send_state": st.sampled_from([Status.ACCEPTED, Status.SENDING, Status.UNCONFIRMED, Status.REJECTED]),
        "outcome": st.sampled_from([None, {}, {"kind": None}, {"kind": "credit"}]),
        "estimate_iqd": st.sampled_from([None, 0, 80]),
        "sender_id": st.sampled_from([None, "", "MyShop", "متجري"]),
        "carrier": st.sampled_from(["zain", "other"]),
        "is_sample": st.booleans(),
        "is_repeat": st.booleans(),
        "is_of_source": st.booleans(),
    }
)


def break_counts(database: Database) -> None:
    """One count too high by two, one gone, one that nothing speaks for: three, and what the two are summed up to."""
    counting.fold(database)
    first, second, *_ = (row for row in all_rows(database, Tally) if row.messages)
    stray = {name: getattr(first, name) for name in (*counting.COUNT_KEY, *counting.COUNT_SUMS)}
    with database.transaction() as session:
        session.execute(update(Tally).where(Tally.id == first.id).values(messages=first.messages + 2))
        session.execute(delete(Tally).where(Tally.id == second.id))
        session.execute(insert(Delta), [stray | {"hour": NOW - timedelta(days=400)}])


def add_a_few(database: Database) -> None:
    for number, word in enumerate(["sent", "delivered", "failed", "read"]):
        facts = [Fact(at=NOW, word=word, channel="sms", cost_iqd=80)]
        add_message(database, NOW + timedelta(minutes=17 * number), facts=facts)


@given(st.lists(ANYTHING, max_size=5), st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_counts_in_sql_are_the_ones_appended_with_each_message(
    database: Database, messages: list[dict[str, Any]], folds: bool
) -> None:
    (source,) = sources.named(database) or [sources.add(database, "shop", NOW)]
    for columns in messages:
        of = source.id if columns["is_of_source"] else None
        rest = {name: value for name, value in columns.items() if name not in ("after", "is_of_source")}
        add_message(database, NOW + columns["after"], source_id=of, **rest)
    if folds:
        counting.fold(database)
    assert recounting.recount(database) == Recount(messages=len(all_rows(database, Message)), differences=())
    assert parts_counted(database) == parts_recounted(database)


def test_counts_that_are_gone_are_made_anew_from_the_messages(database: Database) -> None:
    add_a_few(database)
    source = sources.add(database, "shop", NOW)
    add_message(database, source_id=source.id, sms_id="1", sender_id="MyShop", is_sample=True)
    add_message(database, send_state=Status.UNCONFIRMED, estimate_iqd=80)
    with database.transaction() as session:
        session.execute(delete(Delta))
        session.execute(delete(PartDelta))
    assert recounting.recount(database).messages == 6
    assert counted(database) == recounted(database)
    assert parts_counted(database) == parts_recounted(database) != {}
    assert recounting.recount(database).differences == ()


def test_what_differed_is_told_and_put_right(database: Database) -> None:
    add_a_few(database)
    break_counts(database)
    told = [found for found in recounting.recount(database).differences if found.counts == "tally"]
    assert sorted(difference.short["messages"] for difference in told) == [-2, -1, 1]
    assert sorted(difference.short["charged_iqd"] for difference in told) == [-80, 0, 80]
    assert counted(database) == recounted(database)
    counting.fold(database)
    assert recounting.recount(database) == Recount(messages=4, differences=())


@pytest.mark.parametrize(
    ("model", "counts", "name"),
    [
        (HourTally, "hour_tally", "messages"),
        (DayTally, "day_tally", "at_risk_iqd"),
        (CellTally, "cell_tally", "charged_iqd"),
        (DayCellTally, "day_cell_tally", "messages"),
        (PartDelta, "part_tally", "messages"),
        (PartDelta, "part_tally", "charged_iqd"),
        (DayPartTally, "day_part_tally", "seconds"),
    ],
)
def test_a_count_of_each_kind_that_is_off_is_found_and_put_right(
    database: Database, model: Any, counts: str, name: str
) -> None:
    add_a_few(database)
    counting.fold(database)
    add_a_few(database)
    with database.transaction() as session:
        row = session.scalars(select(model).limit(1)).one()
        setattr(row, name, getattr(row, name) + 3)
    # Long after, when no slot is kept: those of an hour that is off are looked at by themselves.
    (found,) = recounting.recount(database, now=NOW + timedelta(days=1)).differences
    assert (found.counts, found.short) == (counts, dict.fromkeys(found.short, 0) | {name: -3})
    for _ in range(2):
        assert recounting.recount(database, now=NOW + timedelta(days=1)) == Recount(messages=8, differences=())
        assert parts_counted(database) == parts_recounted(database)
        counting.fold(database, NOW + timedelta(days=1))


@pytest.mark.parametrize("model", [Tally, HourTally, DayTally, CellTally, DayCellTally, PartTally, DayPartTally])
def test_a_tally_that_is_gone_is_made_anew(database: Database, model: Any) -> None:
    add_a_few(database)
    counting.fold(database)
    with database.transaction() as session:
        session.execute(delete(model))
    assert recounting.recount(database).differences
    assert recounting.recount(database).differences == ()
    counting.fold(database)
    assert recounting.recount(database).differences == ()


SLOTS = [(SlotTally, "at_risk_iqd"), (SlotCellTally, "messages"), (SlotPartTally, "seconds")]


@pytest.mark.parametrize(("model", "name"), SLOTS)
def test_a_slot_that_is_off_is_found_and_put_right(database: Database, model: Any, name: str) -> None:
    add_a_few(database)
    counting.fold(database, LATER)
    add_a_few(database)
    with database.transaction() as session:
        row = session.scalars(select(model).limit(1)).one()
        setattr(row, name, getattr(row, name) + 3)
    (found,) = recounting.recount(database, now=LATER).differences
    assert (found.counts, found.short) == (model.__tablename__, dict.fromkeys(found.short, 0) | {name: -3})
    for _ in range(2):
        assert recounting.recount(database, now=LATER) == Recount(messages=8, differences=())
        counting.fold(database, LATER)


@pytest.mark.parametrize("model", [model for model, _name in SLOTS])
@pytest.mark.parametrize("repair", [recounting.recount, recounting.recount_slots])
def test_slots_that_are_gone_are_made_anew(database: Database, model: Any, repair: Callable[..., object]) -> None:
    add_a_few(database)
    counting.fold(database, LATER)
    with database.transaction() as session:
        session.execute(delete(model))
    assert recounting.recount(database, check_only=True, now=LATER).differences
    repair(database, now=LATER)
    assert recounting.recount(database, now=LATER).differences == ()


def test_what_older_code_counted_is_put_into_slots(database: Database) -> None:
    add_a_few(database)
    with database.transaction() as session:
        for model in (Delta, PartDelta):
            session.execute(update(model).values(slot=None))
    assert {each.counts for each in recounting.recount(database, now=LATER).differences} == {
        "slot_tally",
        "slot_cell_tally",
        "slot_part_tally",
    }
    counting.fold(database, LATER)
    assert recounting.recount(database, now=LATER).differences == ()


def test_nothing_differs_at_any_moment(database: Database) -> None:
    """While slots are filled, are forgotten, and get what comes too late for them; whoever's clock is a bit off."""
    messages = []
    for minutes in range(0, 7 * 60, 13):
        now = NOW + timedelta(minutes=minutes)
        facts = [Fact(at=now, word="failed", channel="whatsapp", is_final=True, cost_iqd=80)]
        messages.append(add_message(database, now, facts=facts))
        receiving.receive(database, [arrival(messages[minutes // 26], callback("delivered"), now)])
        for other in (now, now - timedelta(minutes=14), now + timedelta(minutes=14)):
            assert recounting.recount(database, now=other).differences == ()
        if minutes % 4:
            counting.fold(database, now)


def test_what_older_code_closed_is_counted_in_the_pictures_too(database: Database) -> None:
    add_a_few(database)
    with database.transaction() as session:
        session.execute(update(Message).values(path=None, fallback_s=None, took_bucket=None))
        session.execute(delete(PartDelta))
    assert recounting.recount(database, check_only=True).differences == ()
    assert parts_counted(database) == {}
    assert recounting.recount(database).differences == ()
    assert parts_counted(database) == parts_recounted(database) != {}


def test_a_message_that_is_held_is_derived_another_time(database: Database) -> None:
    add_a_few(database)
    with database.transaction() as session:
        session.execute(update(Message).values(path=None, fallback_s=None, took_bucket=None))
        session.execute(delete(PartDelta))
    if not database.is_sqlite:  # where writers take turns
        with database.transaction() as session:
            session.execute(select(Message).with_for_update())
            assert recounting.derive_again(database) == 0
    assert recounting.derive_again(database) == 2
    assert recounting.derive_again(database) == 0


def test_a_check_changes_nothing(database: Database) -> None:
    add_a_few(database)
    break_counts(database)
    before = counted(database)
    told = recounting.recount(database, check_only=True)
    assert (told.messages, len(told.differences)) == (4, BROKEN)
    assert counted(database) == before


def test_recounts_at_once_put_right_once(database: Database) -> None:
    add_a_few(database)
    break_counts(database)
    in_threads(*[lambda: recounting.recount(database)] * 8)
    assert counted(database) == recounted(database)


def test_a_recount_beside_writers_and_folders_finds_no_more_than_is_wrong(database: Database) -> None:
    messages = [add_message(database, NOW + timedelta(hours=number)) for number in range(12)]
    break_counts(database)
    found: list[int] = []

    def write(word: str) -> Callable[[], None]:
        def of_each() -> None:
            for message in messages:
                receiving.receive(database, [arrival(message, callback(word, final=word == "read"))])

        return of_each

    def recount_again_and_again() -> None:
        for _ in range(10):
            found.append(len(recounting.recount(database).differences))
            counting.fold(database)

    in_threads(*map(write, ("sent", "failed", "delivered", "read")), recount_again_and_again)
    assert found == [BROKEN - 2] + [0] * 9  # what two are summed up to by the day is one
    assert counted(database) == recounted(database)
    assert parts_counted(database) == parts_recounted(database)


def test_a_recount_of_slots_beside_writers_and_folders_puts_right_what_is_wrong_and_no_more(database: Database) -> None:
    messages = [add_message(database, NOW + timedelta(minutes=9 * number)) for number in range(12)]
    counting.fold(database, LATER)
    with database.transaction() as session:
        session.execute(delete(SlotTally))

    def write(word: str) -> Callable[[], None]:
        def of_each() -> None:
            for message in messages:
                receiving.receive(database, [arrival(message, callback(word, final=word == "read"))])

        return of_each

    def recount_again_and_again() -> None:
        for number in range(10):
            found.append(len(recounting.recount(database, now=LATER).differences))
            counting.fold(database, LATER + timedelta(minutes=7 * number))

    found: list[int] = []
    in_threads(*map(write, ("sent", "failed", "delivered", "read")), recount_again_and_again)
    assert found == [12] + [0] * 9


def test_a_recount_waits_for_no_writer_and_no_writer_for_it(database: Database) -> None:
    add_a_few(database)
    with database.transaction() as session:
        session.execute(update(Message).values(reference="held"))
        done = threading.Thread(target=recounting.recount, args=(database,))
        done.start()
        done.join(5)
        assert not done.is_alive()


def in_threads(*work: Callable[[], object]) -> None:
    with ThreadPoolExecutor(len(work)) as pool:
        for done in [pool.submit(each) for each in work]:
            done.result(60)


on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)  # the command ends with its process


@pytest.fixture
def shell(store_url: str, tmp_path: Path) -> Callable[..., Result]:
    environment = {"DATABASE_URL": store_url, "WASL_DATA_DIR": str(tmp_path), "WASL_SECRET_KEYS": SECRET_KEY}
    return lambda *arguments: CliRunner(env=environment).invoke(main, arguments, catch_exceptions=False)


@on_sqlite
def test_the_command_says_how_many_were_counted(database: Database, shell: Callable[..., Result]) -> None:
    add_a_few(database)
    result = shell("db", "recount")
    assert (result.exit_code, result.stdout) == (0, "nothing differed: 4 messages counted\n")


@on_sqlite
def test_the_command_lists_what_differed_and_exits_1(database: Database, shell: Callable[..., Result]) -> None:
    add_a_few(database)
    break_counts(database)
    checked = shell("db", "recount", "--check")
    assert checked.exit_code == 1
    *lines, last = checked.stdout.splitlines()
    assert lines[0].startswith("tally  2025-10-18T09:00Z  ")
    assert lines[0].endswith("asiacell  sms  verification  –  –  messages -1  charged_iqd -80")
    assert lines[-1].startswith("day_cell_tally  ")
    assert len(lines) == BROKEN
    assert last == f"{BROKEN} counts differed: 4 messages counted"
    told = json.loads(shell("db", "recount", "--json").stdout)
    assert (told["messages"], len(told["differences"])) == (4, BROKEN)
    assert told["differences"][0]["counts"] == "tally"
    assert told["differences"][0]["short"] == {"messages": -1, "chargedIqd": -80, "atRiskIqd": 0}
    assert shell("db", "recount").exit_code == 0
