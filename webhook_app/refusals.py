"""Requests refused at the callbacks' door: counted by cause and minute, with one sample each; never one row a request.

Whoever floods the door with wrong secrets must not reach the store or fill the log through it. So counting is a few
dictionary operations under a lock, and every few seconds a thread writes what was counted: one line, one transaction.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum, auto
from typing import Any

import structlog
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from . import logs
from .database import Database, StoreAway
from .models import Intake

WRITE_EVERY_S = 5.0
INTAKE_KEPT = timedelta(days=30)  # the worker forgets older counts
_MOST_KEPT = 500  # minutes of causes: an hour of the store's absence

log = structlog.get_logger()


class Cause(StrEnum):
    """Why a request was refused; in the store it is the name in lower case."""

    NO_SECRET = auto()
    WRONG_SECRET = auto()
    BAD_SIGNATURE = auto()
    BAD_ADDRESS = auto()  # the id in the URL is no id
    TOO_BIG = auto()
    CUT_SHORT = auto()
    OVERLOADED = auto()
    STORE_AWAY = auto()


@dataclass(kw_only=True)
class _Counted:
    """One row of `intake` in the making."""

    callbacks: int = 0
    sample: Mapping[str, str] | None = None


_Kept = dict[tuple[int, str], _Counted]  # by minute and cause


class Refusals:
    """One for each process; `writer` names its rows, so that no two processes write the same one."""

    def __init__(self, database: Database, writer: str, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._writer = writer
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: _Kept = {}
        self._untold: Counter[str] = Counter()
        self._sampled: dict[str, int] = {}  # the minute of each cause's last sample
        self._thread: threading.Thread | None = None
        self._counted = threading.Event()
        self._stopping = threading.Event()

    def count(self, cause: str, sample: Callable[[], Mapping[str, str]]) -> None:
        """Count one refusal; no I/O. `sample` tells of it without its secret; each cause asks for one a minute."""
        minute = int(self._clock() // 60)
        with self._lock:
            row = self._row(minute, cause)
            row.callbacks += 1
            self._untold[cause] += 1
            if self._sampled.get(cause) != minute:
                self._sampled[cause] = minute
                row.sample = row.sample or sample()
            if not self._counted.is_set():
                self._awaken()

    def flush(self) -> None:
        """Log what was counted and add it to the store; when that is away, the counts are kept for the next time."""
        with self._lock:
            kept, self._kept = self._kept, {}
            untold, self._untold = self._untold, Counter()
        if untold:
            log.warning("callback.refused", **untold)
        try:
            self._write(kept)
        except StoreAway:
            self._take_back(kept)

    def close(self) -> None:
        """Stop the thread and write the rest."""
        self._stopping.set()
        self._counted.set()
        if self._thread is not None:
            self._thread.join()
        self.flush()

    def _row(self, minute: int, cause: str) -> _Counted:
        """The row to count in. With too many waiting for the store, the cause's latest one takes what comes."""
        if len(self._kept) >= _MOST_KEPT and (minute, cause) not in self._kept:
            minute = max((kept for kept, of in self._kept if of == cause), default=minute)
        return self._kept.setdefault((minute, cause), _Counted())

    def _awaken(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="refusals", daemon=True)
            self._thread.start()
        self._counted.set()

    def _run(self) -> None:
        while self._counted.wait() and not self._stopping.wait(WRITE_EVERY_S):
            self._counted.clear()
            try:
                self.flush()
            except Exception as error:  # noqa: BLE001 - whatever it is, the counting goes on
                log.error("refusals.lost", error=type(error).__name__, where=logs.where(error))
            if self._kept:  # the store is away, or more came meanwhile
                self._counted.set()

    def _write(self, kept: _Kept) -> None:
        if not kept:
            return
        with self._database.transaction() as session:
            for (minute, cause), row in sorted(kept.items(), key=lambda item: item[0]):
                session.execute(self._upsert(minute, cause, row))

    def _upsert(self, minute: int, cause: str, row: _Counted) -> Any:
        insert = (sqlite_insert if self._database.is_sqlite else postgresql_insert)(Intake).values(
            minute=datetime.fromtimestamp(minute * 60, UTC),
            what=cause,
            writer=self._writer,
            callbacks=row.callbacks,
            sample=dict(row.sample or {}),
        )
        # The first sample of the minute stays: later ones come from further flushes of the same minute.
        return insert.on_conflict_do_update(
            index_elements=["minute", "what", "writer"],
            set_={"callbacks": Intake.callbacks + insert.excluded.callbacks},
        )

    def _take_back(self, kept: _Kept) -> None:
        with self._lock:
            for (minute, cause), taken in kept.items():
                row = self._row(minute, cause)
                row.callbacks += taken.callbacks
                row.sample = taken.sample or row.sample
