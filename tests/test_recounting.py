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
from sqlalchemy import delete, insert, update

from webhook_app import counting, receiving, recounting, sources
from webhook_app.cli import main
from webhook_app.database import Database
from webhook_app.models import Delta, Message, Tally
from webhook_app.recounting import Recount
from webhook_app.status import Fact, Status

from .conftest import SECRET_KEY
from .rows import NOW, add_message, all_rows, arrival, callback, counted, recounted

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
                cost_iqd=st.sampled_from([None, 0, 80, 10**11]),
            ),
            max_size=2,
        ),
        "send_state": st.sampled_from([Status.ACCEPTED, Status.SENDING, Status.UNCONFIRMED, Status.REJECTED]),
        "estimate_iqd": st.sampled_from([None, 0, 80]),
        "sender_id": st.sampled_from([None, "", "MyShop", "متجري"]),
        "carrier": st.sampled_from(["zain", "other"]),
        "is_sample": st.booleans(),
        "is_of_source": st.booleans(),
    }
)


def break_counts(database: Database) -> None:
    """One count too high by two, one gone, one that nothing speaks for."""
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


def test_counts_that_are_gone_are_made_anew_from_the_messages(database: Database) -> None:
    add_a_few(database)
    source = sources.add(database, "shop", NOW)
    add_message(database, source_id=source.id, sms_id="1", sender_id="MyShop", is_sample=True)
    add_message(database, send_state=Status.UNCONFIRMED, estimate_iqd=80)
    with database.transaction() as session:
        session.execute(delete(Delta))
    assert recounting.recount(database).messages == 6
    assert counted(database) == recounted(database)
    assert recounting.recount(database).differences == ()


def test_what_differed_is_told_and_put_right(database: Database) -> None:
    add_a_few(database)
    break_counts(database)
    told = recounting.recount(database)
    assert sorted(difference.short["messages"] for difference in told.differences) == [-2, -1, 1]
    assert sorted(difference.short["charged_iqd"] for difference in told.differences) == [-80, 0, 80]
    assert counted(database) == recounted(database)
    counting.fold(database)
    assert recounting.recount(database) == Recount(messages=4, differences=())


def test_a_check_changes_nothing(database: Database) -> None:
    add_a_few(database)
    break_counts(database)
    before = counted(database)
    told = recounting.recount(database, check_only=True)
    assert (told.messages, len(told.differences)) == (4, 3)
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
    assert found == [3] + [0] * 9
    assert counted(database) == recounted(database)


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
    assert lines[0].endswith("asiacell  sms  verification  –  –  messages -1  charged_iqd -80")
    assert len(lines) == 3
    assert last == "3 counts differed: 4 messages counted"
    told = json.loads(shell("db", "recount", "--json").stdout)
    assert (told["messages"], len(told["differences"])) == (4, 3)
    assert told["differences"][0]["short"] == {"messages": -1, "chargedIqd": -80, "atRiskIqd": 0}
    assert shell("db", "recount").exit_code == 0
