"""The power goes, at any moment: what was acknowledged is there when it comes back.

A run of callbacks is recorded, write by write and sync by sync; then, for many moments of it, the files that a cut may
leave are put together (`disk`), opened as after any start, and judged by the one checker.
"""

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webhook_app.database import sqlite_module
from webhook_app.simulator.ledger import Entry

from . import Stores, opened
from .checker import Pair, check
from .disk import Disk, Record, files_in, read_records
from .driver import Driver, Order, callback_request, driving, environment_of, own_store
from .load import Posted, prepare, take_back, traffic

CUTS = 10_000
_CALLBACKS = 300
_THREADS, _PROCESSES = 8, 2


def run(share: float, stores: Stores) -> Iterator[str]:
    cuts = int(CUTS * share / 2)
    for what, recorded in (("store", record), ("spool", record_spooling)):
        with tempfile.TemporaryDirectory(prefix="wasl-powercut-") as folder, driving(Path(folder)) as driver:
            recording = recorded(driver, stores["SQLite"], Path(folder), _CALLBACKS)
            cut(recording, Path(folder) / "left", cuts)
            yield f"{what}, {recording}: {cuts} cuts, all acknowledged ones were there"


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A run of callbacks: the disk as it was before, all that was done to it, and what was posted."""

    disk: Disk
    records: Sequence[Record]
    posted: Sequence[Posted]

    def __str__(self) -> str:
        kinds = Counter(record.kind for record in self.records)
        return f"{len(self.posted)} callbacks, {kinds['W']} writes, {kinds['S']} syncs"


def record(driver: Driver, url: str, folder: Path, callbacks: int, *, pragma: str = "") -> Recording:
    """Let two processes take callbacks into a copy of an empty SQLite store."""
    return _record(driver, *_prepare(url, folder, callbacks), pragma=pragma)


def record_spooling(driver: Driver, url: str, folder: Path, callbacks: int) -> Recording:
    """The same with the store locked by somebody else until all is answered: the spool takes it, and gives it back."""
    data, posted = _prepare(url, folder, callbacks)
    with locked(data / "wasl.db") as unlock:
        recording = _record(driver, data, posted, unlock, empties_spool=True)
    assert any("/spool/" in each.path for each in recording.records), "nothing was spooled"
    return recording


def _prepare(url: str, folder: Path, callbacks: int) -> tuple[Path, list[Posted]]:
    data = folder / "data"
    with opened(own_store(url, data)) as database:
        return data, list(traffic(prepare(database, callbacks), callbacks))


def _record(
    driver: Driver,
    data: Path,
    posted: Sequence[Posted],
    when_answered: Callable[[], None] = lambda: None,
    **how: Any,
) -> Recording:
    disk, written = Disk(data), data.with_name("record")
    order = Order(
        environment=environment_of(data),
        requests=[callback_request(one) for one in posted],
        folder=str(data),
        record_at=str(written),
        threads=_THREADS,
        processes=_PROCESSES,
        **how,
    )
    obeyed = driver.obey(order, when_answered)
    assert set(obeyed.statuses) == {200}, Counter(obeyed.statuses)
    records = list(read_records(written))
    _see_nothing_missed(disk, records, data)
    return Recording(disk=disk, records=records, posted=posted)


@contextmanager
def locked(path: Path) -> Iterator[Callable[[], None]]:
    """An SQLite file that somebody else writes to, all the time; until the function is called, or the block ends."""
    connection = sqlite_module().connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        yield lambda: connection.execute("ROLLBACK")
    finally:
        connection.close()


def _see_nothing_missed(disk: Disk, records: Sequence[Record], data: Path) -> None:
    """All that was recorded makes the files that are there, or the record is blind to some of it."""
    whole = deepcopy(disk)
    for each in records:
        whole.apply(each)
    assert whole.seen() == files_in(data), "the record does not make the files"


def cut(recording: Recording, folder: Path, cuts: int, seed: int = 1) -> None:
    """Cut the power so many times. Raises AssertionError at the first one after which the store is not right."""
    rng = random.Random(seed)
    moments = Counter(rng.randint(0, len(recording.records)) for _ in range(cuts))
    disk = deepcopy(recording.disk)
    attempted = Counter(posted.pair for posted in recording.posted)
    acknowledged: Counter[Pair] = Counter()
    for moment, each in enumerate((*recording.records, None)):
        for _ in range(moments[moment]):
            try:
                judge(disk.left(rng), folder, attempted, acknowledged)
            except Exception as error:
                raise AssertionError(f"after a cut at {moment} of {recording}") from error
        if each is not None:
            disk.apply(each)
            acknowledged.update(_acknowledged(each, recording.posted))


def _acknowledged(record: Record, posted: Sequence[Posted]) -> Iterator[Pair]:
    """What a note says was answered 2xx."""
    if record.kind == "N":
        place, status = record.path.split()
        if status.startswith("2"):
            yield posted[int(place)].pair


def judge(
    files: Mapping[str, bytes],
    folder: Path,
    attempted: Mapping[Pair, int],
    acknowledged: Mapping[Pair, int],
    ledger: Iterable[Entry] = (),
) -> None:
    """Start on what is left of an SQLite store, in `folder`, and let the checker look."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    with opened(f"sqlite:///{folder / 'wasl.db'}") as database:
        take_back(database, folder)
        check(database, attempted, acknowledged, ledger)
