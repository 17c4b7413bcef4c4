"""Servers side by side, each a process group of its own on a free port, and what /proc says of them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..conftest import PUBLIC_URL, SECRET_KEY
from ..running import free_port, group_of, wait_until_ready

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, kw_only=True)
class Processes:
    """A leader, its children and its process group: gunicorn's arbiter and workers, or PostgreSQL's processes."""

    leader: int

    def cpu_s(self) -> float:
        """What all of them used so far, those that ended included."""
        return sum(sum(map(int, fields[11:15])) for _pid, fields in self._stats()) / _TICKS_A_SECOND

    def rss_bytes(self) -> list[int]:
        """Resident memory of each but the leader."""
        return [int(fields[21]) * _PAGE_BYTES for pid, fields in self._stats() if pid != self.leader]

    def _stats(self) -> Iterator[tuple[int, list[str]]]:
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = entry.read_text().rpartition(") ")[2].split()  # from the state on
            except OSError:
                continue
            pid, parent, group = int(entry.parent.name), int(fields[1]), int(fields[2])
            if self.leader in (pid, parent, group):
                yield pid, fields


@contextmanager
def serving(
    kind: str, name: str, store_url: str, folder: Path, environment: Mapping[str, str], workers: int | None = None
) -> Iterator[tuple[Processes, int]]:
    """One of `serve.KINDS`, or `wasl`: the program itself, as its users start it. Yields its processes and port."""
    port = free_port()
    program = ["webhook_app", "serve", "--port"] if kind == "wasl" else ["tests.benchmarks.serve", kind, "--port"]
    count = ["--workers", str(workers)] if workers else []
    (folder / name).mkdir(exist_ok=True)
    said = folder / name / "log"
    with said.open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", *program, str(port), *count],
            env={
                "PATH": os.environ["PATH"],
                "DATABASE_URL": store_url,
                "WASL_DATA_DIR": str(folder / name),
                "WASL_SECRET_KEYS": SECRET_KEY,
                "WASL_PUBLIC_URL": PUBLIC_URL,
                **environment,
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        try:
            wait_until_ready(server, port)
        except AssertionError as error:
            error.add_note(said.read_text()[-2_000:])
            raise
        yield Processes(leader=server.pid), port
    finally:
        for member in group_of(server.pid):
            os.kill(member, signal.SIGKILL)
        server.wait()
