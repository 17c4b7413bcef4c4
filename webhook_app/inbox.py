"""The inbox: authentic callbacks wait here for the commit that makes them durable, many in one transaction.

A request's thread puts its callback in and waits. One writer thread takes all that has come, lets `receiving` store it
in one transaction, and only then tells those who wait what became of it. What the store cannot take goes to the spool,
and from there into the store when it is back. When neither takes it, nobody is told that it was taken.

    put -> queue -> _write -> _gather -> _store: receiving.receive ... COMMIT -> the answer
                                      -> _spool: one append ... fsync         -> the answer, and _drain later
"""

import base64
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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

MOST_IN_FLIGHT = 64
_MOST_AT_ONCE = 64
# While others are under way, waiting a moment for the next saves it a transaction of its own. Measured with 64
# connections on 2 cores: 2 ms made batches of 14, these make them of 20 and more, and a fifth more a second.
_LINGER_S, _GAP_S = 0.008, 0.004
_PATIENCE_S = 3.5  # whoever has to be told to come again hears it within 5 s
_TRY_AGAIN_S = 1.0
_FOLD_EVERY = 2_000  # callbacks

log = structlog.get_logger()


class Overloaded(Exception):
    """As many callbacks are under way as may be: this one should come again."""


class NotDurable(Exception):
    """Neither the store nor the spool took the callback: it should come again."""


@dataclass(kw_only=True)
class _Waiting:
    """A callback, and the request that waits to hear what became of it."""

    arrival: Arrival
    outcome: "SimpleQueue[str | NotDurable]" = field(default_factory=SimpleQueue)
    _unclaimed: threading.Lock = field(default_factory=threading.Lock)

    def claim(self) -> bool:
        """Whoever is first, the writer or the request that waited too long, says what becomes of it."""
        return self._unclaimed.acquire(blocking=False)


class Inbox:
    """One for each process; its threads start with the first callback, so that none is lost in a fork."""

    def __init__(self, database: Database, spool: Spool) -> None:
        self._database = database
        self._spool = spool
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._in_flight = 0
        self._writer: threading.Thread | None = None
        self._drainer: threading.Thread | None = None
        self._storing_since_s: float | None = None  # time.monotonic(), as all of these
        self._store_away = False
        self._try_again_at_s = 0.0
        self._unfolded = 0

    @contextmanager
    def room(self) -> Iterator[None]:
        """One of the places for callbacks under way. Raises Overloaded at once when none is free."""
        with self._lock:
            if self._in_flight >= MOST_IN_FLIGHT:
                raise Overloaded
            self._in_flight += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1

    def put(self, arrival: Arrival) -> str:
        """Return the verdict once the callback is durable; `spooled` when the spool has it. Raises NotDurable."""
        if self._is_stuck():
            return self._spool_one(arrival)
        self._start()
        waiting = _Waiting(arrival=arrival)
        self._queue.put(waiting)
        try:
            outcome = waiting.outcome.get(timeout=_PATIENCE_S)
        except Empty:
            if waiting.claim():
                # The store hangs. It may yet take this one: the arrival's id tells that it is the same.
                return self._spool_one(arrival)
            outcome = waiting.outcome.get()
        if isinstance(outcome, NotDurable):
            raise outcome
        return outcome

    def close(self) -> None:
        """End the writer when it has stored what is queued."""
        self._queue.put(None)

    def take_up(self) -> None:
        """Begin to take into the store what a process before us left in the spool."""
        if not self._spool.is_empty():
            self._start_draining()

    def _start(self) -> None:
        if self._writer is None or not self._writer.is_alive():
            with self._lock:
                if self._writer is None or not self._writer.is_alive():
                    self._writer = threading.Thread(target=self._write, name="inbox", daemon=True)
                    self._writer.start()

    def _write(self) -> None:
        while batch := self._gather():
            self._storing_since_s = time.monotonic()
            try:
                self._take_in(batch)
            except Exception as fault:  # noqa: BLE001 - everybody waits for this thread: it lives on, and they hear of it
                log.error("inbox.fault", error=type(fault).__name__, where=logs.where(fault))
                for one in batch:
                    one.claim()
                _answer(batch, NotDurable())
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
        while time.monotonic() < wait_until_s:
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

    def _take_in(self, batch: Sequence[_Waiting]) -> None:
        if self._may_try_the_store():
            try:
                self._store(batch)
                self._note_store(away=False)
                return
            except StoreAway:
                self._note_store(away=True)
        batch = [one for one in batch if one.claim()]
        try:
            self._spool_all([one.arrival for one in batch])
            _answer(batch, "spooled")
        except NotDurable as neither:
            _answer(batch, neither)

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
            one.claim()
            one.outcome.put(verdict)

    def _set_aside(self, one: _Waiting, fault: Exception) -> None:
        outcome: str | NotDurable = "quarantined"
        try:
            _set_aside(self._database, one.arrival, fault)
        except StoreAway:
            raise
        except Exception as another:  # noqa: BLE001 - not even that: a store that is broken in some way of its own
            log.error("inbox.fault", error=type(another).__name__, where=logs.where(another))
            try:
                outcome = self._spool_one(one.arrival)
            except Exception:  # noqa: BLE001
                outcome = NotDurable()
        one.claim()
        one.outcome.put(outcome)

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

    def _spool_one(self, arrival: Arrival) -> str:
        self._spool_all([arrival])
        return "spooled"

    def _spool_all(self, arrivals: Sequence[Arrival]) -> None:
        try:
            self._spool.append([_to_record(arrival) for arrival in arrivals])
        except OSError as error:
            log.error("spool.failed", error=error.strerror)
            raise NotDurable from None
        log.warning("callbacks.spooled", spooled=len(arrivals))
        self._start_draining()

    def _start_draining(self) -> None:
        with self._lock:
            if self._drainer is None:
                self._drainer = threading.Thread(target=self._drain, name="spool", daemon=True)
                self._drainer.start()

    def _drain(self) -> None:
        while True:
            try:
                with self._lock:
                    if self._spool.is_empty():
                        self._drainer = None
                        return
                time.sleep(_TRY_AGAIN_S)
                drain(self._database, self._spool)
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


def _answer(batch: Sequence[_Waiting], outcome: str | NotDurable) -> None:
    for one in batch:
        one.outcome.put(outcome)


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
