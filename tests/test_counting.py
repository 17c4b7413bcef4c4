import random
import threading
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from webhook_app import counting, merging, receiving
from webhook_app.database import Database
from webhook_app.models import Delta, Message, PartDelta, SlotCellTally, SlotPartTally, SlotTally, Tally
from webhook_app.status import Fact, Status

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
    slot_of,
)


def fill(database: Database, messages: int = 30) -> None:
    """Messages of several hours, states and prices, each moved on a step or two."""
    rng = random.Random(11)
    for number in range(messages):
        at = NOW + timedelta(minutes=7 * number)
        said = [Fact(at=at, cost_iqd=rng.choice([60, 80])), Fact(at=at, word=rng.choice(["sent", "delivered"]))]
        state = rng.choice([Status.ACCEPTED, Status.UNCONFIRMED, Status.REJECTED])
        carrier = rng.choice(["zain", "korek"])
        facts = said if state == Status.ACCEPTED else []
        add_message(database, at, facts=facts, send_state=state, estimate_iqd=80, carrier=carrier)


def fold_all(database: Database) -> int:
    moved = 0
    while done := counting.fold(database):
        moved += done
    return moved


def test_a_new_message_is_counted_once(database: Database) -> None:
    add_message(database)
    assert counted(database) == recounted(database)
    assert [amounts[0] for amounts in counted(database).values()] == [1]


def test_a_message_that_moves_is_taken_from_where_it_was(database: Database) -> None:
    message = add_message(database)
    receiving.receive(database, [arrival(message, callback("sent"))])
    assert {key[1]: amounts[0] for key, amounts in counted(database).items()} == {"sent": 1}


def test_a_change_that_counts_nothing_new_writes_no_delta(database: Database) -> None:
    message = add_message(database)
    before = len(all_rows(database, Delta))
    with database.transaction() as session:
        held = merging.lock(session, message)
        assert held is not None
        merging.merge(session, held, reference="order-1")
    assert len(all_rows(database, Delta)) == before


def test_an_open_message_costs_no_part(database: Database) -> None:
    message = add_message(database, facts=[Fact(at=NOW, word="failed", channel="whatsapp")])
    receiving.receive(database, [arrival(message, callback("sent"))])
    assert all_rows(database, PartDelta) == []


def test_a_closed_message_is_counted_by_its_path_and_time_once(database: Database) -> None:
    message = add_message(database)
    for word in ("sent", "delivered", "delivered", "sent"):
        receiving.receive(database, [arrival(message, callback(word), NOW + timedelta(seconds=8))])
    assert [(row.part, row.word, row.messages) for row in all_rows(database, PartDelta)] == [
        ("path", "sms:delivered", 1),
        ("took", "", 1),
    ]
    assert parts_counted(database) == parts_recounted(database)


def test_a_closed_message_that_hears_more_is_counted_where_it_belongs_then(database: Database) -> None:
    message = add_message(database, facts=[Fact(at=NOW, cost_iqd=80)])
    for word, channel in (("failed", "sms"), ("delivered", "sms"), ("read", "whatsapp")):
        raw = callback(word, channel, final=True, **({"reason": "Refused"} if word == "failed" else {}))
        receiving.receive(database, [arrival(message, raw, NOW + timedelta(seconds=8))])
        assert parts_counted(database) == parts_recounted(database)
    assert {(key[1], key[4]) for key in parts_counted(database)} == {
        ("path", "whatsapp:read sms:delivered"),
        ("took", ""),
    }


def test_a_refused_send_is_counted_by_its_kind_until_a_callback_says_otherwise(database: Database) -> None:
    message = add_message(database, send_state=Status.REJECTED, outcome={"kind": "credit"})
    assert {(key[1], key[4]) for key in parts_counted(database)} == {("reason", "send:credit")}
    receiving.receive(database, [arrival(message, callback("sent"))])
    assert parts_counted(database) == {}


def test_messages_of_a_batch_are_counted_together(database: Database) -> None:
    messages = [add_message(database) for _ in range(20)]
    receiving.receive(database, [arrival(message, callback("delivered")) for message in messages])
    assert [row.messages for row in all_rows(database, PartDelta)] == [20, 20]


def test_a_change_that_is_rolled_back_is_not_counted(database: Database) -> None:
    message = add_message(database)
    before = counted(database)
    try:
        with database.transaction() as session:
            held = merging.lock(session, message)
            assert held is not None
            merging.merge(session, held, [Fact(at=NOW, word="delivered")])
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert counted(database) == before == recounted(database)


def test_a_fold_moves_every_delta_and_changes_no_sum(database: Database) -> None:
    fill(database)
    before, parts = counted(database), parts_counted(database)
    deltas = all_rows(database, Delta) + all_rows(database, PartDelta)
    assert counting.fold(database) == len(deltas)
    assert all_rows(database, Delta) == all_rows(database, PartDelta) == []
    assert counted(database) == before == recounted(database)
    assert parts_counted(database) == parts == parts_recounted(database) != {}


def test_a_fold_sums_up_by_fewer_words_and_by_the_day(database: Database) -> None:
    for _ in range(2):
        fill(database, 200)
        counting.fold(database)
    for counts in (counting.MESSAGES, counting.PARTS):
        for model, key in counts.summed_up.items():
            assert_summed_up(database, model, key, counts)


def assert_summed_up(database: Database, model: Any, key: tuple[str, ...], counts: counting.Counts) -> None:
    sums: dict[tuple[Any, ...], list[int]] = {}
    for tally in all_rows(database, counts.tally):
        baghdads = tally.hour.astimezone(ZoneInfo("Asia/Baghdad")).replace(hour=0)
        place = tuple(baghdads if name == "day" else getattr(tally, name) for name in key)
        known = sums.setdefault(place, [0, 0, 0])
        known[:] = [total + getattr(tally, name) for total, name in zip(known, counts.sums, strict=True)]
    with database.reading() as session:
        found = {
            tuple(getattr(row, name) for name in key): [getattr(row, name) for name in counts.sums]
            for row in session.scalars(select(model))
        }
    assert found == {place: amounts for place, amounts in sums.items() if any(amounts)} != {}


def slots_counted(database: Database, counts: counting.Counts, model: Any) -> dict[tuple[Any, ...], tuple[int, ...]]:
    with database.reading() as session:
        rows = session.scalars(select(model)).all()
    key = counts.slots[model]
    found = {
        tuple(getattr(row, name) for name in key): tuple(getattr(row, name) for name in counts.sums) for row in rows
    }
    return {place: amounts for place, amounts in found.items() if any(amounts)}


def slots_recounted(
    database: Database, counts: counting.Counts, model: Any, since: datetime
) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """What the slots must be, from the messages themselves."""
    found: dict[tuple[Any, ...], tuple[int, ...]] = {}
    of = parts_recounted(database, slot_of) if counts is counting.PARTS else recounted(database, slot_of)
    names = ("slot", *counts.key[1:])
    for key, amounts in of.items():
        said = dict(zip(names, key, strict=True))
        if counts is counting.PARTS:
            said |= {"carrier": said["carrier"] if said["part"] == "took" else ""}
            said |= {"channel": said["channel"] if said["part"] == "path" else ""}
        if said["slot"] >= since:
            place = tuple(said[name] for name in counts.slots[model])
            found[place] = tuple(map(sum, zip(found.get(place, (0, 0, 0)), amounts, strict=True)))
    return found


@pytest.mark.parametrize(
    ("model", "counts"),
    [(model, counts) for counts in (counting.MESSAGES, counting.PARTS) for model in counts.slots],
    ids=lambda value: getattr(value, "__tablename__", ""),
)
def test_a_fold_counts_the_last_hours_by_five_minutes_and_forgets_those_before(
    database: Database, model: Any, counts: counting.Counts
) -> None:
    fill(database, 120)  # 14 hours
    for now, first in ((9.99, 6), (10, 7), (11.5, 8)):
        counting.fold(database, NOW + timedelta(hours=now))
        since = NOW + timedelta(hours=first)
        assert slots_counted(database, counts, model) == slots_recounted(database, counts, model, since) != {}
        fill(database, 110)  # many of them for hours that are no longer kept


def test_what_comes_late_to_a_slot_that_is_forgotten_leaves_nothing_there(database: Database) -> None:
    message = add_message(database)
    counting.fold(database, NOW + timedelta(hours=3, minutes=59))
    assert len(all_slots(database)) == 2
    receiving.receive(database, [arrival(message, callback("delivered"))])
    counting.fold(database, NOW + timedelta(hours=4))
    assert all_slots(database) == []
    assert counted(database) == recounted(database)


def all_slots(database: Database) -> list[Any]:
    with database.reading() as session:
        return [row for model in (SlotTally, SlotCellTally, SlotPartTally) for row in session.scalars(select(model))]


def test_a_delta_of_older_code_is_of_no_slot(database: Database) -> None:
    add_message(database)
    with database.transaction() as session:
        session.execute(update(Delta).values(slot=None))
    counting.fold(database, NOW)
    assert all_slots(database) == []
    assert counted(database) == recounted(database)


def test_a_second_fold_adds_to_the_tally_that_stands(database: Database) -> None:
    fill(database)
    counting.fold(database)
    fill(database)
    counting.fold(database)
    assert counted(database) == recounted(database)
    assert all(row.messages >= 0 for row in all_rows(database, Tally))


def test_nothing_to_fold_is_nothing(database: Database) -> None:
    assert counting.fold(database) == 0
    assert all_rows(database, Tally) == []


def test_the_hour_is_the_one_the_message_was_asked_in(database: Database) -> None:
    add_message(
        database, NOW + timedelta(minutes=59, seconds=59), facts=[Fact(at=NOW + timedelta(hours=5), word="read")]
    )
    ((hour, status, *_),) = counted(database)
    assert (hour, status) == (NOW, "read")


def test_folds_at_once_move_each_delta_once(database: Database) -> None:
    fill(database)
    before, parts = counted(database), parts_counted(database)
    deltas = len(all_rows(database, Delta)) + len(all_rows(database, PartDelta))
    moved: list[int] = []
    start = threading.Barrier(6)

    def work() -> None:
        start.wait()
        moved.append(fold_all(database))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    fold_all(database)
    assert sum(moved) <= deltas
    assert all_rows(database, Delta) == all_rows(database, PartDelta) == []
    assert counted(database) == before == recounted(database)
    assert parts_counted(database) == parts == parts_recounted(database)


def test_folds_beside_writers_lose_nothing(database: Database) -> None:
    messages = [add_message(database, NOW + timedelta(minutes=number)) for number in range(12)]
    writing = threading.Event()
    writing.set()

    def keep_folding() -> None:
        while writing.is_set():
            counting.fold(database)

    def write(word: str) -> None:
        for message in messages:
            receiving.receive(database, [arrival(message, callback(word, final=word == "read"))])

    folders = [threading.Thread(target=keep_folding) for _ in range(2)]
    writers = [threading.Thread(target=write, args=(word,)) for word in ("sent", "failed", "delivered", "read")]
    for thread in (*folders, *writers):
        thread.start()
    for thread in writers:
        thread.join(60)
    writing.clear()
    for thread in folders:
        thread.join(60)
    assert counted(database) == recounted(database)
    fold_all(database)
    assert counted(database) == recounted(database)
    assert parts_counted(database) == parts_recounted(database)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(Status)[5:]),
            st.lists(st.sampled_from(["sent", "failed", "delivered", "read", "pending"]), max_size=3),
            st.booleans(),
        ),
        max_size=4,
    )
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_is_counted_as_a_recount_would(
    database: Database, stories: list[tuple[Status, list[str], bool]]
) -> None:
    for state, words, folds in stories:
        message = add_message(database, send_state=state, estimate_iqd=80)
        for word in words:
            receiving.receive(database, [arrival(message, callback(word))])
        if folds:
            counting.fold(database)
    assert counted(database) == recounted(database)
    assert sum(amounts[0] for amounts in counted(database).values()) == len(all_rows(database, Message))
