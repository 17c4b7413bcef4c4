"""Who is measured side by side: each a server of its own, with a store of its own where it stores."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from webhook_app import recounting
from webhook_app.database import Database
from webhook_app.models import Callback

from . import filling, load, traffic
from .servers import Processes, serving
from .slow_sync import SlowSync
from .stores import STORES, PostgreSql, opened, postgresql

_SPOOL_S = 20  # what was answered from the spool is in the store after that
_SETTLE_S = 0.3  # for what was under way when the load ended: it must not slow the next one


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is to be measured: `kind` is wasl or one of serve.KINDS, `store` one of STORES, or "" for the floor."""

    kind: str
    store: str = ""
    old_messages: int = 0  # that are in the store already
    workers: int | None = None

    @property
    def name(self) -> str:
        size = f", {self.old_messages:,} old" if self.old_messages else ""
        return f"{self.kind} {STORES.get(self.store, '')}".strip() + size


@dataclass(frozen=True, kw_only=True)
class Round:
    """One contender under load for some seconds."""

    answers: load.Answers
    cpu_us: float  # of the server's processes, for one callback
    store_cpu_us: float  # of PostgreSQL's
    syncs: float  # to disk, for one callback

    @property
    def a_second(self) -> float:
        return self.answers.answered / self.answers.seconds


@dataclass(kw_only=True)
class Contender:
    entry: Entry
    url: str
    port: int
    processes: Processes
    store_processes: Processes | None
    disk: SlowSync
    used: int = 0  # of the requests
    answered: int = 0
    rounds: list[Round] = field(default_factory=list)
    slow_rounds: list[Round] = field(default_factory=list)

    def meet(self, requests: Sequence[bytes], folder: Path, seconds: int) -> Round:
        """Take the next requests in for so long. The floor, which remembers nothing, may get the same ones again."""
        server_s, store_s, syncs = self._spent()
        answers = load.fire(self.port, requests[self.used :], folder, seconds, once=bool(self.entry.store))
        server_after_s, store_after_s, syncs_after = self._spent()
        time.sleep(_SETTLE_S)
        self.used += answers.used if self.entry.store else 0
        self.answered += answers.answered
        return Round(
            answers=answers,
            cpu_us=(server_after_s - server_s) / answers.answered * 1e6,
            store_cpu_us=(store_after_s - store_s) / answers.answered * 1e6,
            syncs=(syncs_after - syncs) / answers.answered,
        )

    def _spent(self) -> tuple[float, float, int]:
        return self.processes.cpu_s(), self.store_processes.cpu_s() if self.store_processes else 0.0, self.disk.syncs

    def check(self) -> None:
        """Raise when an answered callback is not in the store, or was not counted."""
        if not self.entry.store:
            return
        with opened(self.url) as database:
            give_up_at_s = time.monotonic() + _SPOOL_S
            while (stored := _stored(database)) < self.answered:
                if time.monotonic() > give_up_at_s:
                    raise load.LoadFailed(f"{self.entry.name}: {self.answered} callbacks answered, {stored} stored")
                time.sleep(0.5)
            counted = recounting.recount(database, check_only=True)
            if self.entry.kind != "uncounted" and counted.differences:
                raise load.LoadFailed(f"{self.entry.name}: the counts are not those of the messages")


def _stored(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).where(Callback.verdict == "accepted")) or 0


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder that PostgreSQL, which as root runs as another user, can enter too."""
    with tempfile.TemporaryDirectory(prefix="wasl-bench-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def started(entries: Sequence[Entry], messages: Sequence[dict[str, Any]], folder: Path) -> Iterator[list[Contender]]:
    """Serve each, with the messages in its store."""
    with ExitStack() as stack:
        shared = None
        if any(entry.store == "postgresql" for entry in entries):
            disk = SlowSync(folder, "postgresql")
            shared = stack.enter_context(postgresql(folder, disk.environment)), disk
        yield [stack.enter_context(_started(entry, shared, messages, folder)) for entry in entries]


@contextmanager
def _started(
    entry: Entry, shared: tuple[PostgreSql, SlowSync] | None, messages: Sequence[dict[str, Any]], folder: Path
) -> Iterator[Contender]:
    name = f"{entry.kind}_{entry.store}_{entry.old_messages}"
    url, disk, store_processes = f"sqlite:///{folder / name}.db", SlowSync(folder, name), None
    environment = disk.environment
    if entry.store == "postgresql":
        assert shared is not None
        url, disk, store_processes = shared[0].database(name), shared[1], shared[0].processes
    if entry.store:
        with opened(url) as database:
            filling.fill(database, entry.old_messages)
            traffic.store(database, messages)
    with serving(entry.kind, name, url, folder, environment, entry.workers) as (processes, port):
        yield Contender(
            entry=entry, url=url, port=port, processes=processes, store_processes=store_processes, disk=disk
        )
