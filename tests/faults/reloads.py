"""A rolling reload (HUP to gunicorn's master) under load: no request fails, on fresh connections or on kept ones.

Full: 50 reloads, half on each store. gunicorn forks new workers, then tells the old ones to stop; those accept nothing
more, answer what they have, and what still comes over a kept connection within 2 s with `Connection: close`. Until
the new ones are there the listening socket, which all of them share, keeps who knocks waiting.
"""

import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from webhook_app.database import Database

from ..running import group_of, serving
from . import Stores, load, opened
from .checker import check

RELOADS = 25  # on each store
_WORKERS = 2
_A_SECOND = 75  # over each kind of connection
_RELOADED_WITHIN_S = 30.0
_PAUSE_S = 0.5  # between a reload and the next
_ENDLESS = 10**9


def run(share: float, stores: Stores) -> Iterator[str]:
    for name, url in stores.items():
        with opened(url) as database:
            yield f"{name}: {_run(database, url, max(1, round(RELOADS * share)))}"


def _run(database: Database, url: str, reloads: int) -> str:
    enough = threading.Event()
    fresh, kept = load.Record(), load.Record()
    cast = load.prepare(database, reloads * 500)

    def traffic(seed: int) -> Iterator[load.Posted]:
        return takewhile(lambda _posted: not enough.is_set(), load.traffic(cast, _ENDLESS, seed))

    with tempfile.TemporaryDirectory() as folder:
        with (
            serving(Path(folder), "--workers", str(_WORKERS), DATABASE_URL=url) as (master, port),
            load.posting(port, traffic(1), fresh, rate=_A_SECOND, fresh=True, again=False),
            load.posting(port, traffic(2), kept, rate=_A_SECOND, connections=8, again=False),
        ):
            try:
                slowest_s = max(_reload(master.pid) for _ in range(reloads))
            finally:
                enough.set()
        load.take_back(database, Path(folder))
    for kind, record in (("fresh", fresh), ("kept", kept)):
        assert set(record.answers) == {"200"}, f"over {kind} connections: {dict(record.answers)}"
    checked = check(database, fresh.attempted + kept.attempted, fresh.acknowledged + kept.acknowledged)
    return (
        f"{reloads} reloads, the slowest {slowest_s:.1f} s; over fresh connections {_told(fresh)}, "
        f"over kept ones {_told(kept)}; {checked}"
    )


def _reload(master: int) -> float:
    """Reload, and return how many seconds it took until only new workers were there."""
    time.sleep(_PAUSE_S)
    began_s, old = time.monotonic(), set(group_of(master)) - {master}
    os.kill(master, signal.SIGHUP)
    while old.intersection(members := group_of(master)) or len(members) <= _WORKERS:
        assert time.monotonic() - began_s < _RELOADED_WITHIN_S, "the old workers are still there"
        time.sleep(0.05)
    return time.monotonic() - began_s


def _told(record: load.Record) -> str:
    return f"{record.answered} answered, p99 {record.took(0.99):.2f} s, slowest {max(record.took_s):.2f} s"
