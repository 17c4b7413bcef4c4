"""Posts callbacks over real HTTP when they are due, tries again when refused, and knows when nothing is left to do.

One thread watches the clock; workers, started only when all others are busy, do the posting. What is posted and when is
decided elsewhere.
"""

import heapq
import itertools
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import httpx

# The provider gives a receiver 10 seconds. Not scaled by speed: the receiver's machine does not get faster with ours.
_ANSWER_WITHIN_S = 10.0
_RETRIES_AFTER_S = (1.0, 4.0, 16.0)
_MAX_WORKERS = 8
_STOP_WITHIN_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Letter:
    """One POST to make at `due_s` (time.monotonic). `tried` hears of each try: its HTTP status, or an error's name."""

    due_s: float
    url: str
    headers: dict[str, str]
    body: bytes
    tried: Callable[[int | None, str | None], None]
    first_try: threading.Event = field(default_factory=threading.Event)  # set when the first try is over
    not_before: threading.Event | None = None  # the first try of a letter posted earlier and due no later
    retries_done: int = 0


class Postman:
    """Takes letters from any thread. Daemon threads throughout: a receiver that hangs cannot hold up an exit."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._changed = threading.Condition()
        self._waiting: list[tuple[float, int, Letter]] = []
        self._order = itertools.count()  # letters due at the same moment leave in the order they came
        self._open = 0
        self._idle = 0
        self._stopping = False
        self._due: queue.SimpleQueue[Letter | None] = queue.SimpleQueue()
        self._workers: list[threading.Thread] = []
        # trust_env off: a proxy set in the environment must not see, or stop, callbacks to this machine.
        # Kept connections are short-lived: receivers close theirs after a few seconds, and a reset looks like a loss.
        limits = httpx.Limits(max_connections=_MAX_WORKERS, keepalive_expiry=1.0)
        self._client = httpx.Client(trust_env=False, timeout=_ANSWER_WITHIN_S, limits=limits)
        self._clock = threading.Thread(target=self._watch, name="simulator-clock", daemon=True)
        self._clock.start()

    def hold(self) -> None:
        """Say that letters will come: until `release`, the postman is not quiet."""
        with self._changed:
            self._open += 1

    def release(self) -> None:
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def post(self, letter: Letter) -> None:
        """Send the letter when it is due, and up to three times more while it is not answered with 2xx."""
        with self._changed:
            self._open += 1
            self._put(letter)

    def wait_until_quiet(self, timeout_s: float) -> bool:
        """Wait until every letter has been answered or given up; False when that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: self._open == 0, timeout_s)

    def stop(self) -> None:
        """Post nothing more and end the threads; a try in progress gets a moment to finish."""
        with self._changed:
            self._stopping = True
            self._waiting.clear()
            self._changed.notify_all()
        self._clock.join(_STOP_WITHIN_S)
        for _ in self._workers:
            self._due.put(None)
        give_up_s = time.monotonic() + _STOP_WITHIN_S
        for worker in self._workers:
            worker.join(max(0.0, give_up_s - time.monotonic()))
        if not any(worker.is_alive() for worker in self._workers):
            self._client.close()

    def _put(self, letter: Letter) -> None:
        heapq.heappush(self._waiting, (letter.due_s, next(self._order), letter))
        if self._waiting[0][2] is letter:
            self._changed.notify_all()

    def _watch(self) -> None:
        with self._changed:
            while not self._stopping:
                now_s = time.monotonic()
                while self._waiting and self._waiting[0][0] <= now_s:
                    self._hand_over(heapq.heappop(self._waiting)[2])
                self._changed.wait(self._waiting[0][0] - now_s if self._waiting else None)

    def _hand_over(self, letter: Letter) -> None:
        if self._idle > 0:
            self._idle -= 1
        elif len(self._workers) < _MAX_WORKERS:
            worker = threading.Thread(target=self._work, name="simulator-postman", daemon=True)
            self._workers.append(worker)
            worker.start()
        self._due.put(letter)

    def _work(self) -> None:
        while (letter := self._due.get()) is not None:
            try:
                # At a high speed two letters of one message are milliseconds apart, and workers would swap them at
                # random. The earlier one left the queue first, so some worker already has it: no deadlock.
                if letter.not_before is not None:
                    letter.not_before.wait(_ANSWER_WITHIN_S)
                if not self._stopping:
                    self._deliver(letter)
            finally:
                letter.first_try.set()
                with self._changed:
                    # With letters still queued this worker takes the next one at once: it is not idle.
                    self._idle += self._due.empty()

    def _deliver(self, letter: Letter) -> None:
        http_status, error = None, None
        try:
            http_status = self._client.post(letter.url, content=letter.body, headers=letter.headers).status_code
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as failure:
            error = type(failure).__name__
        letter.tried(http_status, error)
        letter.first_try.set()
        answered = http_status is not None and 200 <= http_status < 300
        with self._changed:
            if answered or letter.retries_done == len(_RETRIES_AFTER_S) or self._stopping:
                self._open -= 1
                self._changed.notify_all()
                return
            due_s = time.monotonic() + _RETRIES_AFTER_S[letter.retries_done] / self._speed
            self._put(replace(letter, due_s=due_s, retries_done=letter.retries_done + 1))
