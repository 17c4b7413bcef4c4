"""`kill -9` of a random worker, of gunicorn's master or of the whole group, under load; then it is started again.

Full: 1,000 kills and 1,000,000 callbacks, half on each store. A kill comes at a random callback, so that it meets a
batch before, in and after its COMMIT, a worker that is just starting, and the answer on its way out.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from webhook_app.database import Database

from ..conftest import SECRET_KEY
from ..running import free_port, group_of
from . import Stores, load, opened
from .checker import check

KILLS = 500  # of each store
CALLBACKS = 500_000
_WORKERS = 2
_BACK_WITHIN_S = 30.0


def run(share: float, stores: Stores) -> Iterator[str]:
    for name, url in stores.items():
        with opened(url) as database:
            yield f"{name}: {_run(database, url, kills=int(KILLS * share), callbacks=int(CALLBACKS * share))}"


def _run(database: Database, url: str, *, kills: int, callbacks: int) -> str:
    record, rng = load.Record(), random.Random(3)
    cast = load.prepare(database, callbacks)
    victims = (["worker", "worker", "worker", "master", "group"] * kills)[:kills]
    rng.shuffle(victims)
    places = sorted(rng.sample(range(callbacks), kills))
    with tempfile.TemporaryDirectory() as folder:
        with (
            Killable(Path(folder), url) as wasl,
            load.posting(wasl.port, load.traffic(cast, callbacks), record) as all_posted,
        ):
            for victim, place in zip(victims, places, strict=True):
                while record.answered < place and not all_posted.done():
                    time.sleep(0.002)
                wasl.kill(victim, rng)
        load.take_back(database, Path(folder))
    checked = check(database, record.attempted, record.acknowledged)
    return (
        f"{kills} kills ({_listed(Counter(victims))}), back after at most {wasl.slowest_return_s:.1f} s; "
        f"{sum(record.attempted.values())} posts answered {_listed(record.answers)}; {checked}"
    )


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{word} {times}" for word, times in counts.most_common())


class Killable:
    """`wasl serve` on a port of its own, with a supervisor that starts it again when its master is dead."""

    def __init__(self, folder: Path, url: str) -> None:
        self.port = free_port()
        self.slowest_return_s = 0.0
        self._log = (folder / "serve.log").open("ab")
        self._masters: list[subprocess.Popen[bytes]] = []
        self._environment = {
            "PATH": os.environ["PATH"],
            "WASL_DATA_DIR": str(folder),
            "WASL_SECRET_KEYS": SECRET_KEY,
            "WASL_PUBLIC_URL": f"http://127.0.0.1:{self.port}",
            "DATABASE_URL": url,
        }

    def __enter__(self) -> "Killable":
        self._start()
        return self

    def __exit__(self, *_error: object) -> None:
        for master in self._masters:  # orphans of earlier ones, too
            _kill(*group_of(master.pid))
            master.wait()
        self._log.close()

    def kill(self, victim: str, rng: random.Random) -> None:
        """Kill a "worker", the "master" or the "group", and see to it that Wasl comes back."""
        master = self._masters[-1]
        if victim == "worker":
            _kill(rng.choice(_workers(master)))
            return
        _kill(*(group_of(master.pid) if victim == "group" else [master.pid]))
        master.wait()
        began_s = time.monotonic()
        self._start()
        self.slowest_return_s = max(self.slowest_return_s, time.monotonic() - began_s)

    def _start(self) -> None:
        """As a supervisor does: again and again, for a master's orphans hold the port until they notice its death."""
        give_up_at = time.monotonic() + _BACK_WITHIN_S
        while time.monotonic() < give_up_at:
            command = [sys.executable, "-m", "webhook_app", "serve", "--port", str(self.port)]
            master = subprocess.Popen(
                [*command, "--workers", str(_WORKERS)],
                env=self._environment,
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,
            )
            self._masters.append(master)
            while master.poll() is None and time.monotonic() < give_up_at:
                if Path(f"/proc/{master.pid}/task/{master.pid}/children").read_text():  # it has the port, and workers
                    return
                time.sleep(0.02)
        raise AssertionError(f"not back on its port within {_BACK_WITHIN_S:.0f} s")


def _workers(master: "subprocess.Popen[bytes]") -> list[int]:
    """Those that live; when the last kills were close together, it may take a moment until there is one."""
    while not (workers := [pid for pid in group_of(master.pid) if pid != master.pid]):
        assert master.poll() is None, "the master died by itself"
        time.sleep(0.02)
    return workers


def _kill(*pids: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
