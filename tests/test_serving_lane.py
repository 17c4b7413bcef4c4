"""A lane: every piece is worked on once, in order, by one thread at a time."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from webhook_app.serving.lane import Lane


def test_pieces_from_many_threads_are_each_worked_on_once_and_never_by_two_threads_at_once() -> None:
    done: list[tuple[int, int]] = []
    at_work = threading.Lock()

    def work(pieces: Sequence[tuple[int, int]]) -> None:
        assert at_work.acquire(blocking=False)
        time.sleep(0.0001)
        done.extend(pieces)
        at_work.release()

    def put_all(number: int) -> None:
        for place in range(500):
            lane.put((number, place))

    with ThreadPoolExecutor(8) as pool:
        lane = Lane(pool, work)
        with ThreadPoolExecutor(4) as putting:
            list(putting.map(put_all, range(4)))
    assert len(done) == 2_000
    for number in range(4):
        assert [place for of, place in done if of == number] == list(range(500))


def test_pieces_that_come_while_one_is_worked_on_are_taken_together() -> None:
    batches: list[list[int]] = []
    go_on = threading.Event()

    def work(pieces: Sequence[int]) -> None:
        batches.append(list(pieces))
        go_on.wait(10)

    with ThreadPoolExecutor(2) as pool:
        lane = Lane(pool, work)
        lane.put(0)
        while not batches:
            time.sleep(0.001)
        for piece in (1, 2, 3):
            lane.put(piece)
        go_on.set()
    assert batches == [[0], [1, 2, 3]]


def test_after_a_rest_it_works_on() -> None:
    done: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        lane = Lane(pool, done.extend)
        for piece in range(3):
            lane.put(piece)
            while len(done) <= piece:
                time.sleep(0.001)
    assert done == [0, 1, 2]
