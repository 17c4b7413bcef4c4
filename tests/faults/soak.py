"""A hundred callbacks a second for hours: memory, open files and the time to answer stay as they were.

Full: 2 hours on each store. Memory and open files are read of each worker every minute (every hundredth of a shorter
run); the first tenth is warm-up.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from webhook_app.database import Database

from ..running import group_of, serving
from . import Stores, load, opened
from .checker import check

SECONDS = 2 * 3600.0  # on each store
A_SECOND = 100
_MAX_GROWTH_MB = 5.0
_P99_GROWTH, _P99_SLACK_S = 2.0, 0.02  # of the last third's median minute over the first's


def run(share: float, stores: Stores) -> Iterator[str]:
    for name, url in stores.items():
        with opened(url) as database:
            yield f"{name}: {_run(database, url, SECONDS * share)}"


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """A worker at a moment."""

    pid: int
    mb: float
    files: int


def _run(database: Database, url: str, seconds: float) -> str:
    record = load.Record()
    callbacks, every_s = int(seconds * A_SECOND), min(60.0, seconds / 100)
    cast = load.prepare(database, callbacks)
    rounds: list[list[_Reading]] = []
    with tempfile.TemporaryDirectory() as folder:
        with (
            serving(Path(folder), DATABASE_URL=url) as (master, port),
            load.posting(port, load.traffic(cast, callbacks), record, rate=A_SECOND, again=False) as all_posted,
        ):
            while not all_posted.done():
                time.sleep(every_s)
                rounds.append([_read(pid) for pid in sorted(group_of(master.pid)) if pid != master.pid])
        load.take_back(database, Path(folder))
    assert set(record.answers) == {"200"}, f"answered {dict(record.answers)}"
    assert len({tuple(reading.pid for reading in workers) for workers in rounds}) == 1, "a worker died"
    warm = rounds[len(rounds) // 10 :]
    growth_mb = max(_growth([reading.mb for reading in worker]) for worker in zip(*warm, strict=True))
    more_files = max(_growth([reading.files for reading in worker]) for worker in zip(*warm, strict=True))
    p99s = _p99s(record, every_s)[len(rounds) // 10 :]
    third = max(1, len(p99s) // 3)
    before_s, after_s = statistics.median(p99s[:third]), statistics.median(p99s[-third:])
    told = (
        f"memory {growth_mb:+.1f} MB, open files {more_files:+.0f}, "
        f"p99 {before_s * 1000:.0f}, then {after_s * 1000:.0f} ms"
    )
    assert growth_mb <= _MAX_GROWTH_MB, told
    assert more_files <= 0, told
    assert after_s <= before_s * _P99_GROWTH + _P99_SLACK_S, told
    checked = check(database, record.attempted, record.acknowledged)
    return f"{callbacks} in {seconds:.0f} s: {told}; {checked}"


def _read(pid: int) -> _Reading:
    status = Path(f"/proc/{pid}/status").read_text()
    kb = int(status.partition("VmRSS:")[2].split(maxsplit=1)[0])
    return _Reading(pid=pid, mb=kb / 1024, files=len(os.listdir(f"/proc/{pid}/fd")))


def _growth(values: Sequence[float]) -> float:
    """From the first third to the last, median to median: a peak is no growth."""
    third = max(1, len(values) // 3)
    return statistics.median(values[-third:]) - statistics.median(values[:third])


def _p99s(record: load.Record, every_s: float) -> list[float]:
    """The 99th percentile of each stretch of the run."""
    stretches: dict[int, list[float]] = {}
    for at_s, took_s in zip(record.answered_at_s, record.took_s, strict=True):
        stretches.setdefault(int((at_s - record.answered_at_s[0]) / every_s), []).append(took_s)
    return [load.percentile(stretches[place], 0.99) for place in sorted(stretches)]
