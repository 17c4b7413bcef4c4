"""The inbox on the real stores: many in one transaction, answered after it, and kept whatever the store does."""

import contextlib
import fcntl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import event, func, select, text

from webhook_app import inbox as inbox_module
from webhook_app.database import Database
from webhook_app.ids import new_id
from webhook_app.inbox import MOST_IN_FLIGHT, Inbox, NotDurable, Overloaded
from webhook_app.models import Callback, Intake
from webhook_app.receiving import Arrival
from webhook_app.spool import Spool

from .rows import NOW, add_message, all_rows, arrival, callback, counted, get_message, recounted

PATIENCE_S = 0.4  # until a locked store counts as away
NOBODY_LISTENS = "postgresql+psycopg://wasl@127.0.0.1:9/wasl"

Opening = Callable[[Database], Inbox]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def opened(spool: Spool) -> Iterator[Opening]:
    """An inbox over the store it is given; its threads have ended before the store closes."""
    inboxes: list[Inbox] = []

    def open_inbox(database: Database) -> Inbox:
        inboxes.append(Inbox(database, spool))
        return inboxes[-1]

    yield open_inbox
    for inbox in inboxes:
        inbox.close()
    wait_until(lambda: not threads("inbox", "spool"))


@pytest.fixture
def inbox(database: Database, opened: Opening) -> Inbox:
    return opened(database)


@pytest.fixture
def impatient(store_url: str) -> Iterator[Database]:
    """The store, for those to whom it is soon away."""
    database = Database(store_url, patience_s=PATIENCE_S)
    yield database
    database.engine.dispose()


def threads(*names: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name in names]


def wait_until(is_so: Callable[[], bool], within_s: float = 15) -> None:
    give_up_at = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


@contextlib.contextmanager
def locked(database: Database) -> Iterator[None]:
    """Nobody else stores a callback meanwhile."""
    with database.writing() as connection:
        if not database.is_sqlite:
            connection.execute(text("LOCK TABLE callback IN EXCLUSIVE MODE"))
        yield


def put_at_once(inbox: Inbox, arrivals: Sequence[Arrival]) -> list[str]:
    """Each from a thread of its own, in one moment; what each was told."""
    start = threading.Barrier(len(arrivals))

    def put(one: Arrival) -> str:
        start.wait()
        return inbox.put(one).result(20)

    with ThreadPoolExecutor(len(arrivals)) as pool:
        return list(pool.map(put, arrivals))


def stray(raw: bytes = b'{"status":"sent"}') -> Arrival:
    return arrival(new_id(NOW), raw)


def taken_in(database: Database) -> dict[str, int]:
    """What the store counted at the door."""
    with database.reading() as session:
        rows = session.execute(select(Intake.what, func.sum(Intake.callbacks)).group_by(Intake.what))
        return {what: int(callbacks) for what, callbacks in rows}


@contextlib.contextmanager
def commits(database: Database) -> Iterator[list[object]]:
    seen: list[object] = []

    def note(connection: object) -> None:
        seen.append(connection)

    event.listen(database.engine, "commit", note)
    yield seen
    event.remove(database.engine, "commit", note)


# Many at once


def test_each_of_many_at_once_hears_its_own_verdict(database: Database, inbox: Inbox) -> None:
    told: list[tuple[Arrival, str]] = []
    for place in range(16):
        message = add_message(database)
        told += [
            (arrival(message, callback("delivered", final=True, n=place)), "accepted"),
            (arrival(message, b"not JSON"), "quarantined"),
            (stray(), "orphan"),
        ]
        came_before = arrival(message, callback("sent", n=place))
        inbox.put(came_before).result(20)
        told.append((replace(came_before, id=new_id(NOW)), "repeat"))
    assert put_at_once(inbox, [each for each, _verdict in told]) == [verdict for _each, verdict in told]
    assert len(all_rows(database, Callback)) == 64
    assert counted(database) == recounted(database)


def test_of_the_same_body_from_many_at_once_one_is_new(database: Database, inbox: Inbox) -> None:
    message = add_message(database)
    verdicts = put_at_once(inbox, [arrival(message, callback()) for _ in range(32)])
    assert Counter(verdicts) == {"accepted": 1, "repeat": 31}
    assert [row.repeats for row in all_rows(database, Callback)] == [31]


def test_many_at_once_share_a_few_transactions(database: Database, inbox: Inbox) -> None:
    inbox.put(stray()).result(20)
    with commits(database) as seen:
        put_at_once(inbox, [stray() for _ in range(64)])
    assert 1 <= len(seen) <= 32
    assert len(all_rows(database, Callback)) == 65


def test_what_waited_for_the_transaction_before_it_shares_the_next(database: Database, inbox: Inbox) -> None:
    with locked(database):
        waiting = [inbox.put(stray())]
        time.sleep(0.1)  # the first has gone to the store by itself
        waiting += [inbox.put(stray()) for _ in range(32)]
    with commits(database) as seen:
        assert {each.result(20) for each in waiting} == {"orphan"}
    assert len(seen) <= 3


def test_one_alone_is_answered_without_delay(database: Database, inbox: Inbox) -> None:
    inbox.put(stray()).result(20)
    took = []
    for _ in range(5):
        began = time.monotonic()
        inbox.put(stray()).result(20)
        took.append(time.monotonic() - began)
    assert min(took) < 0.2


# Durable before answered


def test_nobody_is_answered_before_the_commit(database: Database, inbox: Inbox) -> None:
    with locked(database):
        waiting = [inbox.put(stray()) for _ in range(8)]
        time.sleep(0.5)
        assert not any(each.done() for each in waiting)
    assert {each.result(20) for each in waiting} == {"orphan"}


def test_whoever_is_answered_can_be_read_from_another_connection(
    database: Database, inbox: Inbox, store_url: str
) -> None:
    other = Database(store_url)

    def put_and_look(one: Arrival) -> bool:
        inbox.put(one).result(20)
        with other.reading() as session:
            return session.get(Callback, one.id) is not None

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(put_and_look, [stray() for _ in range(64)]))
    other.engine.dispose()


# One bad row


class BreaksWhenRead(bytes):
    """Stands for a body that today's code stumbles over."""

    def replace(self, *_: object) -> bytes:  # type: ignore[override]
        raise ZeroDivisionError


def unwritable() -> Arrival:
    """Stands for one that neither the store nor the spool takes, nor can it be set aside."""
    return replace(stray(), headers={"Odd": object()})  # type: ignore[dict-item]


def queued_together(database: Database, inbox: Inbox, arrivals: Sequence[Arrival]) -> list["Future[str]"]:
    """Put so that all but the first are in one batch, in this order."""
    with locked(database):
        waiting = [inbox.put(arrivals[0])]
        time.sleep(0.05)
        return waiting + [inbox.put(one) for one in arrivals[1:]]


def test_what_cannot_be_taken_in_is_set_aside_and_the_others_are_accepted(database: Database, inbox: Inbox) -> None:
    message = add_message(database)
    bad = replace(stray(), raw=BreaksWhenRead(b"odd"))
    good = [arrival(message, callback("sent", n=place)) for place in range(10)]
    verdicts = [each.result() for each in queued_together(database, inbox, [*good[:5], bad, *good[5:]])]
    assert verdicts == ["accepted"] * 5 + ["quarantined"] + ["accepted"] * 5
    (row,) = [row for row in all_rows(database, Callback) if row.verdict == "quarantined"]
    assert (row.id, row.note) == (bad.id, "taking it in failed: ZeroDivisionError")


def test_what_cannot_even_be_set_aside_costs_itself_alone(database: Database, inbox: Inbox) -> None:
    bad = unwritable()
    waiting = queued_together(database, inbox, [stray(), stray(), bad, stray(), stray()])
    told = [type(each.exception()).__name__ if each.exception() else each.result() for each in waiting]
    assert told == ["orphan", "orphan", "NotDurable", "orphan", "orphan"]


def test_the_writer_outlives_a_fault(inbox: Inbox) -> None:
    with pytest.raises(NotDurable):
        inbox.put(unwritable()).result(20)
    assert inbox.put(stray()).result(20) == "orphan"


# Room


def test_one_more_than_may_be_under_way_is_refused_at_once_until_a_place_is_free(
    database: Database, inbox: Inbox
) -> None:
    with locked(database):
        waiting = [inbox.put(stray()) for _ in range(MOST_IN_FLIGHT)]
        with pytest.raises(Overloaded):
            inbox.put(stray())
    assert {each.result(20) for each in waiting} == {"orphan"}
    assert inbox.put(stray()).result(20) == "orphan"


# The store is away


def test_what_comes_while_the_store_is_away_is_spooled_and_stored_once(
    database: Database, impatient: Database, opened: Opening, spool: Spool
) -> None:
    message, inbox = add_message(database), opened(impatient)
    before, late, new = (arrival(message, callback(word)) for word in ("sent", "failed", "delivered"))
    assert inbox.put(before).result(20) == "accepted"
    again = [replace(before, id=new_id(NOW)), replace(new, id=new_id(NOW))]
    with locked(database):
        assert put_at_once(inbox, [late, new, *again, stray()]) == ["spooled"] * 5
        assert inbox.put(stray()).result(20) == "spooled"
    wait_until(lambda: spool.is_empty() and not threads("spool"))
    assert (spool.waiting(), inbox.put(stray()).result(20)) == (0, "orphan")
    stored = {row.body: row.repeats for row in all_rows(database, Callback) if row.message_id == message}
    assert stored == {before.raw: 1, late.raw: 0, new.raw: 1}
    assert (get_message(database, message).status, len(all_rows(database, Callback))) == ("delivered", 6)
    assert sum(taken_in(database).values()) == 8
    assert taken_in(database)["repeat"] == 2
    assert counted(database) == recounted(database)


def test_while_the_store_is_known_to_be_away_nobody_waits_for_it(
    database: Database, impatient: Database, opened: Opening, spool: Spool
) -> None:
    inbox = opened(impatient)
    with locked(database):
        inbox.put(stray()).result(20)
        took = []
        for _ in range(5):
            began = time.monotonic()
            inbox.put(stray()).result(20)
            took.append(time.monotonic() - began)
        assert min(took) < PATIENCE_S / 2
    wait_until(lambda: spool.is_empty() and not threads("spool"))


@pytest.fixture
def nowhere() -> Iterator[Database]:
    database = Database(NOBODY_LISTENS)
    yield database
    database.engine.dispose()


def test_with_neither_store_nor_spool_it_is_not_taken(tmp_path: Path, nowhere: Database, opened: Opening) -> None:
    (tmp_path / "spool").write_text("a file where the folder should be")
    inbox = opened(nowhere)
    for _ in range(2):
        with pytest.raises(NotDurable):
            inbox.put(stray()).result(20)


def test_a_fault_while_the_store_is_away_is_answered_too(nowhere: Database, opened: Opening) -> None:
    inbox = opened(nowhere)
    waiting = inbox.put(unwritable())
    assert isinstance(waiting.exception(6), NotDurable)


# The store hangs


def test_who_waited_too_long_is_spooled_and_the_late_commit_makes_no_second(
    database: Database, inbox: Inbox, spool: Spool
) -> None:
    message = add_message(database)
    first, second = (arrival(message, callback(word)) for word in ("sent", "delivered"))
    with locked(database):
        began = time.monotonic()
        assert inbox.put(first).result(20) == "spooled"
        assert 3 < time.monotonic() - began < 4.9
        began = time.monotonic()
        assert inbox.put(second).result(20) == "spooled"
        assert time.monotonic() - began < 3  # nobody queues behind what hangs
    wait_until(lambda: spool.is_empty() and not threads("spool"))
    stored = sorted((row.body, row.repeats) for row in all_rows(database, Callback))
    assert stored == sorted([(first.raw, 0), (second.raw, 0)])
    assert taken_in(database) == {"accepted": 2}
    assert counted(database) == recounted(database)
    assert get_message(database, message).status == "delivered"


def test_where_the_disk_hangs_too_everybody_is_told_to_come_again_in_time(
    database: Database, inbox: Inbox, spool: Spool, tmp_path: Path
) -> None:
    message = add_message(database)
    first, second = (arrival(message, callback(word)) for word in ("sent", "delivered"))
    spool.prepare()
    # Another program holds the file's lock, as a disk would that does not answer.
    with (tmp_path / "spool" / "current").open("a") as file, locked(database):
        fcntl.flock(file, fcntl.LOCK_EX)
        began = time.monotonic()
        with pytest.raises(NotDurable):
            inbox.put(first).result(20)
        assert time.monotonic() - began < 5
        took = []
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(NotDurable):
                inbox.put(second).result(20)
            took.append(time.monotonic() - began)
        assert min(took) < 0.5  # nobody waits for it a second time
    wait_until(lambda: spool.is_empty() and not threads("spool"))
    assert [inbox.put(one).result(20) for one in (first, second)] == ["repeat", "accepted"]


# From one process to the next


def test_it_ends_when_it_has_stored_what_is_queued(database: Database, inbox: Inbox) -> None:
    with locked(database):
        waiting = [inbox.put(stray()) for _ in range(5)]
        time.sleep(0.3)
        inbox.close()
    assert [each.result(20) for each in waiting] == ["orphan"] * 5
    wait_until(lambda: not threads("inbox"))


_LEAVING = f"""
import sys
from pathlib import Path
from uuid import UUID
from webhook_app import inbox as inbox_module
from webhook_app.database import Database
from webhook_app.inbox import Inbox
from webhook_app.spool import Spool
from tests.rows import arrival, callback
inbox = Inbox(Database({NOBODY_LISTENS!r}), Spool(Path(sys.argv[1])))
for word in ("sent", "delivered"):
    print(inbox.put(arrival(UUID(sys.argv[2]), callback(word))).result(20))
"""


def test_what_another_process_left_is_taken_up(
    database: Database, opened: Opening, spool: Spool, tmp_path: Path
) -> None:
    message = add_message(database)
    assert left_behind(tmp_path / "spool", message) == ["spooled", "spooled"]
    opened(database).take_up()
    wait_until(lambda: spool.is_empty() and not threads("spool"))
    assert [row.verdict for row in all_rows(database, Callback)] == ["accepted"] * 2
    assert get_message(database, message).status == "delivered"


def left_behind(folder: Path, message: UUID) -> list[str]:
    """By a process whose store is away, and that ends without draining."""
    command = [sys.executable, "-c", _LEAVING, str(folder), str(message)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return [line for line in ended.stdout.splitlines() if line == "spooled"]


def test_where_nothing_is_left_there_is_nothing_to_take_up(inbox: Inbox) -> None:
    inbox.take_up()
    assert not threads("spool")


def test_a_record_nobody_can_read_does_not_stop_those_behind_it(database: Database, spool: Spool) -> None:
    good = arrival(add_message(database), callback("delivered", final=True))
    spool.append([b'{"of": "another version"}', inbox_module._to_record(good)])
    inbox_module.drain(database, spool)
    assert [row.body for row in all_rows(database, Callback)] == [good.raw]
    assert (spool.waiting(), spool.laid_aside()) == (0, 1)
