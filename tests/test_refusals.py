"""Refused requests: counted without any I/O, written and logged now and then, never lost while the store is away."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from webhook_app import refusals
from webhook_app.database import Database, StoreAway
from webhook_app.models import Intake
from webhook_app.refusals import Cause, Refusals

from .rows import NOW

MINUTE = NOW.timestamp()


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now_s = MINUTE

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def refused(database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Refusals]:
    """Its thread waits for an hour: what is written here was flushed by the test."""
    monkeypatch.setattr(refusals, "WRITE_EVERY_S", 3600.0)
    counting = Refusals(database, "me", clock)
    yield counting
    counting.close()


def sample() -> dict[str, str]:
    return {"User-Agent": "curl"}


def written(database: Database) -> dict[tuple[Any, ...], int]:
    with database.reading() as session:
        return {(row.minute, row.what, row.writer): row.callbacks for row in session.scalars(select(Intake))}


def test_refusals_are_counted_by_minute_and_cause(database: Database, refused: Refusals, clock: Clock) -> None:
    for cause, second in ((Cause.WRONG_SECRET, 0), (Cause.WRONG_SECRET, 59), (Cause.TOO_BIG, 59), (Cause.TOO_BIG, 60)):
        clock.now_s = MINUTE + second
        refused.count(cause, sample)
    refused.flush()
    assert written(database) == {
        (NOW, "wrong_secret", "me"): 2,
        (NOW, "too_big", "me"): 1,
        (NOW + timedelta(minutes=1), "too_big", "me"): 1,
    }


def test_later_ones_of_a_minute_are_added_to_its_row(database: Database, refused: Refusals) -> None:
    for _ in range(3):
        refused.count(Cause.NO_SECRET, sample)
        refused.flush()
    refused.flush()
    assert written(database) == {(NOW, "no_secret", "me"): 3}


def test_each_writer_has_rows_of_its_own(database: Database, refused: Refusals, clock: Clock) -> None:
    other = Refusals(database, "other", clock)
    for counting in (refused, other, other):
        counting.count(Cause.NO_SECRET, sample)
    for counting in (refused, other):
        counting.flush()
    other.close()
    assert written(database) == {(NOW, "no_secret", "me"): 1, (NOW, "no_secret", "other"): 2}


def test_a_sample_is_asked_for_once_a_minute_of_a_cause_and_the_first_is_kept(
    database: Database, refused: Refusals, clock: Clock
) -> None:
    asked: list[int] = []

    def numbered() -> dict[str, str]:
        asked.append(len(asked))
        return {"number": str(asked[-1])}

    for second in (0, 1, 61):
        clock.now_s = MINUTE + second
        refused.count(Cause.WRONG_SECRET, numbered)
        refused.flush()
    with database.reading() as session:
        samples = session.scalars(select(Intake.sample).order_by(Intake.minute)).all()
    assert samples == [{"number": "0"}, {"number": "1"}]
    assert asked == [0, 1]


def test_what_was_counted_while_the_store_was_away_is_written_later(database: Database, clock: Clock) -> None:
    away = Database("postgresql+psycopg://wasl@127.0.0.1:9/wasl")
    counting = Refusals(away, "me", clock)
    for _ in range(2):
        counting.count(Cause.STORE_AWAY, sample)
        counting.flush()
    with pytest.raises(StoreAway):
        away.ping()
    counting._database = database  # it is back
    counting.close()
    assert written(database) == {(NOW, "store_away", "me"): 2}


def test_memory_stays_bounded_and_no_count_is_lost_while_the_store_is_away_for_long(
    database: Database, refused: Refusals, clock: Clock
) -> None:
    for minute in range(2_000):
        clock.now_s = MINUTE + minute * 60
        refused.count(Cause.WRONG_SECRET, sample)
    refused.flush()
    counted = written(database)
    assert len(counted) == refusals._MOST_KEPT
    assert sum(counted.values()) == 2_000


def test_many_threads_lose_no_count(database: Database, refused: Refusals) -> None:
    def count() -> None:
        for _ in range(2_000):
            refused.count(Cause.WRONG_SECRET, sample)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        refused.flush()
    refused.flush()
    assert written(database) == {(NOW, "wrong_secret", "me"): 16_000}


def test_one_line_tells_of_all_that_was_refused_since_the_last(refused: Refusals) -> None:
    with capture_logs() as lines:
        for cause in (Cause.WRONG_SECRET, Cause.WRONG_SECRET, Cause.BAD_ADDRESS):
            refused.count(cause, sample)
        assert lines == []
        refused.flush()
        refused.flush()
    assert lines == [{"event": "callback.refused", "log_level": "warning", "wrong_secret": 2, "bad_address": 1}]


def test_the_thread_writes_by_itself_also_after_something_that_could_not_be_written(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "WRITE_EVERY_S", 0.01)
    counting = Refusals(database, "me", clock)
    with capture_logs() as lines:
        counting.count(Cause.TOO_BIG, lambda: {"not JSON": object()})  # type: ignore[dict-item]
        wait_for(lambda: any(line["event"] == "refusals.lost" for line in lines))
    counting.count(Cause.NO_SECRET, sample)
    wait_for(lambda: written(database) == {(NOW, "no_secret", "me"): 1})
    counting.close()


def wait_for(what: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 5
    while not what():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def test_closing_writes_the_rest_and_ends_the_thread(database: Database, clock: Clock) -> None:
    counting = Refusals(database, "me", clock)
    counting.count(Cause.CUT_SHORT, sample)
    counting.close()
    assert written(database) == {(NOW, "cut_short", "me"): 1}
    assert "refusals" not in [thread.name for thread in threading.enumerate()]


def test_ten_thousand_a_second_cost_next_to_nothing(refused: Refusals) -> None:
    started_s = time.thread_time()
    for _ in range(10_000):
        refused.count(Cause.WRONG_SECRET, sample)
    assert time.thread_time() - started_s < 0.2
