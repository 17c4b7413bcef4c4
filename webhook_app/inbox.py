"""The inbox: authentic callbacks wait here for the commit that makes them durable, many in one transaction.

Whoever puts a callback in is given a future. One writer thread takes all that has come, lets `receiving` store it in
one transaction, and only then tells in each future what became of it. What the store cannot take goes to the spool, and
from there into the store when it is back. When neither takes it, nobody is told that it was taken.

    put -> queue -> _write -> _gather -> _store: receiving.receive ... COMMIT -> its future, and so the answer
                                      -> _spool: one append ... fsync         -> the answer, and _drain later
                 -> _watch: has waited too long -> the same
"""

import base64
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from queue import Empty, SimpleQueue
from uuid import UUID

import structlog

from . import counting, logs, receiving
from .database import Crossed, Database, StoreAway
from .otpiq import without_codes
from .receiving import Arrival, SpoolPlace
from .spool import Spool

MOST_IN_FLIGHT = 512  # of at most 64 KiB each
_MOST_AT_ONCE = 64
# While others are under way, waiting a moment for the next saves it a transaction of its own; once enough share one,
# the next saves little. Measured with 64 connections on 2 cores: without it batches are of 13 and cost a sixth more
# CPU; twice as long, or for 64 of them, a tenth fewer come in.
_LINGER_S, _GAP_S, _ENOUGH = 0.004, 0.002, 20
_PATIENCE_S = 3.5  # whoever has to be told to come again hears it within 5 s
_LOOK_EVERY_S = 0.25
_APPEND_WITHIN_S = 1.0
_TRY_AGAIN_S = 1.0
_FOLD_EVERY = 2_000  # callbacks

log = structlog.get_logger()


class Overloaded(Exception):
    """As many callbacks are under way as may be: this one should come again."""


class NotDurable(Exception):
    """Neither the store nor the spool took the callback: it should come again."""


@dataclass(kw_only=True)
class _Waiting:
    """A callback, and what whoever waits for it will hear."""

    arrival: Arrival
    outcome: "Future[str]" = field(default_factory=Future)
    since_s: float = field(default_factory=time.monotonic)
    _unclaimed: threading.Lock = field(default_factory=threading.Lock)

    def claim(self) -> bool:
        """Whoever is first, the writer or the watch over those who wait too long, says what becomes of it."""
        return self._unclaimed.acquire(blocking=False)

    def tell(self, outcome: "str | NotDurable") -> None:
        """By whoever has the claim."""
        if isinstance(outcome, NotDurable):
            self.outcome.set_exception(outcome)
        else:
            self.outcome.set_result(outcome)


class Inbox:
    """One for each process; its threads start with the first callback, so that none is lost in a fork."""

    def __init__(self, database: Database, spool: Spool) -> None:
        self._database = database
        self._spool_file = spool
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._waiting: deque[_Waiting] = deque()  # those in the queue or being stored, longest first; and some answered
        self._lock = threading.Lock()
        self._in_flight = 0
        self._writer: threading.Thread | None = None
        self._drainer: threading.Thread | None = None
        self._storing_since_s: float | None = None  # time.monotonic(), as all of these
        self._store_away = False
        self._try_again_at_s = 0.0
        self._hanging_append: Future[None] | None = None
        self._unfolded = 0

    def put(self, arrival: Arrival) -> "Future[str]":
        """The verdict once the callback is durable, `spooled` when the spool has it, or the exception NotDurable.

        Raises Overloaded at once when as many are under way as may be.
        """
        self._start()
        self._enter()
        waiting = _Waiting(arrival=arrival)
        waiting.outcome.add_done_callback(self._leave)
        if self._is_stuck():
            self._spool([waiting])
        else:
            self._waiting.append(waiting)
            self._queue.put(waiting)
        return waiting.outcome

    def close(self) -> None:
        """End the writer when it has stored what is queued."""
        self._queue.put(None)

    @property
    def store_is_away(self) -> bool:
        """Whether it did not take what was given to it last."""
        return self._store_away

    def take_up(self) -> None:
        """Begin to take into the store what a process before us left in the spool."""
        if not self._spool_file.is_empty():
            self._start_draining()

    def _enter(self) -> None:
        with self._lock:
            if self._in_flight >= MOST_IN_FLIGHT:
                raise Overloaded
            self._in_flight += 1

    def _leave(self, _outcome: "Future[str]") -> None:
        with self._lock:
            self._in_flight -= 1

    def _start(self) -> None:
        if self._writer is None or not self._writer.is_alive():
            with self._lock:
                if self._writer is None or not self._writer.is_alive():
                    self._writer = threading.Thread(target=self._write, name="inbox", daemon=True)
                    self._writer.start()
                    threading.Thread(target=self._watch, args=[self._writer], name="inbox watch", daemon=True).start()

    def _write(self) -> None:
        while batch := self._gather():
            self._storing_since_s = time.monotonic()
            try:
                self._store_or_spool(batch)
            except Exception as fault:  # noqa: BLE001 - everybody waits for this thread: it lives on, and they hear of it
                log.error("inbox.fault", error=type(fault).__name__, where=logs.where(fault))
                for one in batch:
                    if one.claim():
                        one.tell(NotDurable())
            finally:
                self._storing_since_s = None
            self._fold_when_many(len(batch))

    def _gather(self) -> list[_Waiting]:
        """All that is queued, and for a moment those on their way to the queue; nothing when it is closed."""
        first = self._queue.get()
        if first is None:
            return []
        batch, wait_until_s = [first], time.monotonic() + (_LINGER_S if self._in_flight > 1 else 0)
        self._take_queued(batch)
        while len(batch) < _ENOUGH and time.monotonic() < wait_until_s:
            time.sleep(_GAP_S)  # and not woken by each of them
            if not self._take_queued(batch):
                break
        return batch

    def _take_queued(self, batch: list[_Waiting]) -> bool:
        """Add those that have come; returns whether more may come soon: some did, and there is room."""
        before = len(batch)
        while len(batch) < _MOST_AT_ONCE:
            try:
                another = self._queue.get_nowait()
            except Empty:
                return len(batch) > before
            if another is None:
                self._queue.put(None)
                break
            batch.append(another)
        return False

    def _store_or_spool(self, batch: Sequence[_Waiting]) -> None:
        if self._may_try_the_store():
            try:
                self._store(batch)
                self._note_store(away=False)
                return
            except StoreAway:
                self._note_store(away=True)
        self._spool(batch)

    def _store(self, batch: Sequence[_Waiting]) -> None:
        """One transaction; if it fails, each by itself, so that one bad row costs only itself."""
        try:
            verdicts = receiving.receive(self._database, [one.arrival for one in batch])
        except Exception as fault:
            if isinstance(fault, StoreAway) and (len(batch) == 1 or not isinstance(fault, Crossed)):
                raise
            if len(batch) > 1:
                for one in batch:
                    self._store([one])
                return
            self._set_aside(batch[0], fault)
            return
        for one, verdict in zip(batch, verdicts, strict=True):
            if one.claim():
                one.tell(verdict)

    def _set_aside(self, one: _Waiting, fault: Exception) -> None:
        try:
            _set_aside(self._database, one.arrival, fault)
        except StoreAway:
            raise
        except Exception as another:  # noqa: BLE001 - not even that: a store that is broken in some way of its own
            log.error("inbox.fault", error=type(another).__name__, where=logs.where(another))
            self._spool([one])
            return
        if one.claim():
            one.tell("quarantined")

    def _watch(self, writer: threading.Thread) -> None:
        """The store hangs, and may yet take those who have waited too long: their ids tell that they are the same."""
        while writer.is_alive():
            time.sleep(_LOOK_EVERY_S)
            too_long_since_s = time.monotonic() - _PATIENCE_S
            overdue = []
            while self._waiting and (self._waiting[0].outcome.done() or self._waiting[0].since_s < too_long_since_s):
                overdue.append(self._waiting.popleft())
            self._spool(overdue)

    def _may_try_the_store(self) -> bool:
        """While it is away, whoever drains the spool finds out when it is back."""
        if not self._store_away:
            return True
        return self._drainer is None and time.monotonic() >= self._try_again_at_s

    def _note_store(self, *, away: bool) -> None:
        self._try_again_at_s = time.monotonic() + _TRY_AGAIN_S
        if away != self._store_away:
            self._store_away = away
            log.warning("store.away" if away else "store.back")

    def _is_stuck(self) -> bool:
        since_s = self._storing_since_s
        return since_s is not None and time.monotonic() - since_s > _PATIENCE_S

    def _spool(self, batch: Iterable[_Waiting]) -> None:
        """Those nobody has answered yet. All of them are told, whatever happens."""
        unanswered = [one for one in batch if one.claim()]
        if not unanswered:
            return
        outcome: str | NotDurable = "spooled"
        try:
            self._append([_to_record(one.arrival) for one in unanswered])
        except OSError as error:
            log.error("spool.failed", error=error.strerror or type(error).__name__)
            outcome = NotDurable()
        except Exception as fault:  # noqa: BLE001
            log.error("inbox.fault", error=type(fault).__name__, where=logs.where(fault))
            outcome = NotDurable()
        else:
            log.warning("callbacks.spooled", spooled=len(unanswered))
            self._start_draining()
        for one in unanswered:
            one.tell(outcome)

    def _append(self, records: Sequence[bytes]) -> None:
        """Raises OSError, also when the disk neither takes nor refuses them in time. What it takes later is a repeat of
        what is sent again."""
        if self._hanging_append is not None and not self._hanging_append.done():
            raise TimeoutError
        appended: Future[None] = Future()
        threading.Thread(target=_run, args=[appended, self._spool_file.append, records], daemon=True).start()
        try:
            appended.result(_APPEND_WITHIN_S)
        except TimeoutError:
            self._hanging_append = appended
            appended.add_done_callback(lambda _appended: self._start_draining())
            raise

    def _start_draining(self) -> None:
        with self._lock:
            if self._drainer is None:
                self._drainer = threading.Thread(target=self._drain, name="spool", daemon=True)
                self._drainer.start()

    def _drain(self) -> None:
        while True:
            try:
                with self._lock:
                    if self._spool_file.is_empty():
                        self._drainer = None
                        return
                time.sleep(_TRY_AGAIN_S)
                drain(self._database, self._spool_file)
                self._note_store(away=False)
            except StoreAway:
                continue
            except Exception as fault:  # noqa: BLE001 - what is left in the spool is tried again
                log.error("spool.fault", error=type(fault).__name__, where=logs.where(fault))
                time.sleep(_TRY_AGAIN_S)

    def _fold_when_many(self, callbacks: int) -> None:
        """So that unfolded deltas stay few also where no worker runs."""
        self._unfolded += callbacks
        if self._unfolded >= _FOLD_EVERY:
            self._unfolded = 0
            try:
                counting.fold(self._database)
            except Exception as fault:  # noqa: BLE001 - the next one will do it
                log.warning("fold.fault", error=type(fault).__name__)


def _run(done: "Future[None]", work: Callable[[Sequence[bytes]], object], records: Sequence[bytes]) -> None:
    try:
        work(records)
        done.set_result(None)
    except BaseException as fault:  # noqa: BLE001 - told to whoever waits
        done.set_exception(fault)


def drain(database: Database, spool: Spool) -> None:
    """Take what waits in the spool into the store, each callback once. Raises StoreAway; what is left stays."""

    def take(name: str, end_bytes: int, records: list[bytes]) -> None:
        try:
            arrivals = [_from_record(record) for record in records]
            receiving.receive(database, arrivals, SpoolPlace(name=name, end_bytes=end_bytes))
        except StoreAway:
            raise
        except Exception:  # noqa: BLE001 - one of them is bad: each by itself
            for record in records:
                _take_back(database, spool, record)

    receiving.forget_places(database, spool.drain(take))


def _take_back(database: Database, spool: Spool, record: bytes) -> None:
    try:
        arrival = _from_record(record)
        try:
            receiving.receive(database, [arrival])
        except StoreAway:
            raise
        except Exception as fault:  # noqa: BLE001
            _set_aside(database, arrival, fault)
    except StoreAway:
        raise
    except Exception as fault:  # noqa: BLE001 - not to be read, or not to be stored: it must not stop the others
        log.error("spool.unreadable", error=type(fault).__name__, where=logs.where(fault))
        spool.lay_aside(record)


def _set_aside(database: Database, arrival: Arrival, fault: Exception) -> None:
    log.error("callback.fault", error=type(fault).__name__, where=logs.where(fault))
    receiving.set_aside(database, arrival, f"taking it in failed: {type(fault).__name__}")


def _to_record(arrival: Arrival) -> bytes:
    document = {
        "id": str(arrival.id),
        "target_id": str(arrival.target_id),
        "key": arrival.key,
        "raw": base64.b64encode(without_codes(arrival.raw)).decode(),
        "headers": dict(arrival.headers),
        "at": arrival.at.isoformat(),
    }
    return json.dumps(document).encode()


def _from_record(record: bytes) -> Arrival:
    document = json.loads(record)
    return Arrival(
        id=UUID(document["id"]),
        target_id=UUID(document["target_id"]),
        key=document["key"],
        raw=base64.b64decode(document["raw"]),
        headers=document["headers"],
        at=datetime.fromisoformat(document["at"]),
    )
