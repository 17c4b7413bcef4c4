"""The checker of the fault runs is worth something only if it can fail: each way a store can be wrong turns it red."""

from collections import Counter
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, select, text, update

from webhook_app import counting, receiving, status
from webhook_app.database import Database
from webhook_app.ids import new_id
from webhook_app.models import (
    Callback,
    CellTally,
    DayCellTally,
    DayPartTally,
    HourTally,
    Intake,
    Message,
    PartTally,
    SlotCellTally,
    SlotPartTally,
    SlotTally,
    Tally,
)

from .faults import load
from .faults.checker import Pair, check
from .rows import NOW, add_message, arrival

Posts = Counter[Pair]
on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


@pytest.fixture
def posted(database: Database) -> Posts:
    """A store with everything a run leaves behind: messages, a source's messages, repeats, orphans, unreadable ones."""
    came = list(load.traffic(load.prepare(database, 100), 100, seed=8))
    receiving.receive(database, [arrival(each.target_id, each.raw) for each in came])
    counting.fold(database)
    add_message(database)
    return Counter(each.pair for each in came)


def execute(database: Database, *statements: Any) -> None:
    with database.transaction() as session:
        for statement in statements:
            session.execute(statement)


def one(database: Database, model: Any, **having: Any) -> Any:
    with database.reading() as session:
        return session.scalars(select(model).filter_by(**having).limit(1)).one()


def test_a_store_that_is_right_passes(database: Database, posted: Posts) -> None:
    checked = check(database, posted, posted)
    assert (checked.callbacks, checked.repeats) == (len(posted), posted.total() - len(posted))


def test_what_was_sent_but_never_answered_may_be_stored_or_not(database: Database, posted: Posts) -> None:
    first = next(iter(posted))
    check(database, posted + Counter([(first[0], "never came")]), posted - Counter({first: posted[first]}))


def test_an_acknowledged_callback_that_is_not_stored_is_found(database: Database, posted: Posts) -> None:
    lost = Counter([(new_id(NOW), "0" * 64)])
    with pytest.raises(AssertionError, match="acknowledged, but not stored"):
        check(database, posted + lost, posted + lost)


def test_a_callback_nobody_sent_is_found(database: Database, posted: Posts) -> None:
    pair = next(iter(posted))
    fewer = posted - Counter({pair: posted[pair]})
    with pytest.raises(AssertionError, match="stored, but nobody sent it"):
        check(database, fewer, fewer)


@pytest.mark.parametrize("repeats", [-1, 1])
def test_a_repeat_that_was_counted_wrongly_is_found(database: Database, posted: Posts, repeats: int) -> None:
    again = max(posted, key=lambda pair: posted[pair])
    miscount = update(Callback).where(Callback.target_id == again[0], Callback.digest == again[1])
    execute(database, miscount.values(repeats=Callback.repeats + repeats))
    with pytest.raises(AssertionError, match="counted wrongly"):
        check(database, posted, posted)


@on_sqlite
def test_a_fact_that_is_stored_twice_is_found(database: Database, posted: Posts) -> None:
    # From PostgreSQL's store, which other tests use, the constraint would have to be taken.
    execute(
        database,
        text("CREATE TABLE copied AS SELECT * FROM callback"),
        text("DROP TABLE callback"),
        text("ALTER TABLE copied RENAME TO callback"),
        text("INSERT INTO callback SELECT * FROM callback LIMIT 1"),
    )
    with pytest.raises(AssertionError, match="stored twice"):
        check(database, posted, posted)


def test_a_body_that_was_changed_is_found(database: Database, posted: Posts) -> None:
    execute(database, update(Callback).where(Callback.verdict == "orphan").values(body=b"{}"))
    with pytest.raises(AssertionError, match="not the body that came"):
        check(database, posted, posted)


def test_a_callback_that_was_stored_but_not_merged_is_found(database: Database, posted: Posts) -> None:
    forgotten = status.to_json(status.NOTHING)
    hit = one(database, Callback, verdict="accepted").message_id
    execute(database, update(Message).where(Message.id == hit).values(delivery=forgotten))
    with pytest.raises(AssertionError, match="not the fold of its facts"):
        check(database, posted, posted)


def test_a_message_that_was_told_what_no_callback_says_is_found(database: Database, posted: Posts) -> None:
    invented = status.to_json(status.fold([status.Fact(at=NOW, word="read", channel="sms")]))
    untold = one(database, Message, status="accepted").id
    execute(database, update(Message).where(Message.id == untold).values(delivery=invented))
    with pytest.raises(AssertionError, match="not the fold of its facts"):
        check(database, posted, posted)


@pytest.mark.parametrize(
    "columns",
    [
        {"status": "sent"},
        {"closed": False},
        {"channel": "telegram"},
        {"reason": "none"},
        {"settled_at": None},
        {"last_fact_at": NOW + timedelta(days=1)},
        {"charged_iqd": 80},
        {"sms_id": "sms-other"},
        {"path": "sms:read"},
        {"fallback_s": 7},
        {"took_bucket": 70},
    ],
    ids=lambda columns: next(iter(columns)),
)
def test_a_headline_that_does_not_follow_is_found(database: Database, posted: Posts, columns: dict[str, Any]) -> None:
    delivered = one(database, Message, status="delivered").id
    execute(database, update(Message).where(Message.id == delivered).values(**columns))
    with pytest.raises(AssertionError, match=f"a headline that does not follow: {delivered}: {next(iter(columns))} is"):
        check(database, posted, posted)


def test_a_callback_at_another_message_is_found(database: Database, posted: Posts) -> None:
    other = add_message(database)
    moved = one(database, Callback, verdict="accepted").id
    execute(database, update(Callback).where(Callback.id == moved).values(message_id=other))
    with pytest.raises(AssertionError, match="another message's callback"):
        check(database, posted, posted)


def test_an_orphan_that_was_given_a_message_but_not_merged_is_found(database: Database, posted: Posts) -> None:
    message = one(database, Message).id
    execute(database, update(Callback).where(Callback.verdict == "orphan").values(message_id=message))
    with pytest.raises(AssertionError, match="an orphan that has a message"):
        check(database, posted, posted)


def test_an_accepted_callback_of_no_message_is_found(database: Database, posted: Posts) -> None:
    execute(database, update(Callback).where(Callback.verdict == "orphan").values(verdict="accepted"))
    with pytest.raises(AssertionError, match="accepted for no message"):
        check(database, posted, posted)


@pytest.mark.parametrize("name", ["messages", "charged_iqd", "at_risk_iqd"])
def test_a_tally_that_is_off_by_one_is_found(database: Database, posted: Posts, name: str) -> None:
    place = one(database, Tally).id
    execute(database, update(Tally).where(Tally.id == place).values({name: getattr(Tally, name) + 1}))
    with pytest.raises(AssertionError, match="counts that are not a recount"):
        check(database, posted, posted)


@pytest.mark.parametrize(
    ("model", "name", "wrong"),
    [
        (PartTally, "messages", "parts that are not a recount"),
        (PartTally, "seconds", "parts that are not a recount"),
        (HourTally, "messages", "a tally that is not summed up"),
        (CellTally, "charged_iqd", "a tally that is not summed up"),
        (DayCellTally, "messages", "a tally that is not summed up"),
        (DayPartTally, "seconds", "a tally that is not summed up"),
        (SlotTally, "at_risk_iqd", "slots that are not a recount"),
        (SlotCellTally, "messages", "slots that are not a recount"),
        (SlotPartTally, "charged_iqd", "slots that are not a recount"),
    ],
)
def test_a_tally_of_the_pictures_that_is_off_by_one_is_found(
    database: Database, posted: Posts, model: Any, name: str, wrong: str
) -> None:
    with database.transaction() as session:
        row = session.scalars(select(model).limit(1)).one()
        setattr(row, name, getattr(row, name) + 1)
    with pytest.raises(AssertionError, match=wrong):
        check(database, posted, posted)


@pytest.mark.parametrize("more", [-1, 1])
def test_an_intake_that_is_off_by_one_is_found(database: Database, posted: Posts, more: int) -> None:
    execute(database, update(Intake).where(Intake.what == "orphan").values(callbacks=Intake.callbacks + more))
    with pytest.raises(AssertionError, match="an intake that was miscounted"):
        check(database, posted, posted)


def test_a_tally_that_is_gone_is_found(database: Database, posted: Posts) -> None:
    execute(database, delete(Tally))
    with pytest.raises(AssertionError, match="counts that are not a recount"):
        check(database, posted, posted)


@on_sqlite
def test_a_row_that_points_at_nothing_is_found(database: Database, posted: Posts) -> None:
    with database.engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")  # the pragma does nothing within a transaction
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        connection.execute(update(Callback).where(Callback.verdict == "accepted").values(message_id=new_id(NOW)))
        connection.commit()
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")
    with pytest.raises(AssertionError, match="points at nothing"):
        check(database, posted, posted)


@on_sqlite
def test_a_damaged_file_is_found(database: Database, posted: Posts) -> None:
    # An index that no longer has what its table has: what a torn page looks like to SQLite.
    execute(
        database,
        text("PRAGMA writable_schema = ON"),
        text(
            "UPDATE sqlite_schema SET sql = replace(sql, 'phone_end, id', 'phone, id') WHERE name LIKE 'ix_%phone_end%'"
        ),
        text("PRAGMA writable_schema = RESET"),
    )
    with pytest.raises(AssertionError, match="damaged"):
        check(database, posted, posted)


def a_send(message_id: UUID) -> Any:
    """As much of the simulator's ledger entry as the checker looks at."""
    return SimpleNamespace(
        send=SimpleNamespace(report=SimpleNamespace(webhook_url=f"https://x/callbacks/{message_id}"))
    )


def test_a_message_that_was_sent_twice_is_found(database: Database, posted: Posts) -> None:
    message = one(database, Message).id
    assert check(database, posted, posted, [a_send(message)]).sends == 1
    with pytest.raises(AssertionError, match="sent twice"):
        check(database, posted, posted, [a_send(message), a_send(message)])


def test_a_send_of_a_message_that_is_not_stored_is_found(database: Database, posted: Posts) -> None:
    with pytest.raises(AssertionError, match="sent, but not stored"):
        check(database, posted, posted, [a_send(new_id(NOW))])


def test_of_a_store_that_is_wrong_everywhere_a_few_examples_are_shown(database: Database, posted: Posts) -> None:
    with pytest.raises(AssertionError, match=f"stored, but nobody sent it: {len(posted)} times in all") as raised:
        check(database, Counter(), Counter())
    assert len(str(raised.value).splitlines()) < 30
