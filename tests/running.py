"""Wasl as it runs: `wasl serve`, that is gunicorn, on a free port, for tests that need a real address."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .conftest import SECRET_KEY


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(folder: Path, *arguments: str, **more: str) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """`wasl serve` in a process group of its own, ready to answer; whatever is left of it is killed in the end."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "WASL_DATA_DIR": str(folder),
        "WASL_SECRET_KEYS": SECRET_KEY,
        "WASL_PUBLIC_URL": f"http://127.0.0.1:{port}",
        **more,
    }
    command = [sys.executable, "-m", "webhook_app", "serve", "--port", str(port), *(arguments or ("--workers", "2"))]
    with (folder / "serve.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_until_ready(server, port)
        yield server, port
    finally:
        for member in group_of(server.pid):
            os.kill(member, signal.SIGKILL)
        server.wait()


def wait_until_ready(server: "subprocess.Popen[bytes]", port: int) -> None:
    give_up_at = time.monotonic() + 20
    while time.monotonic() < give_up_at and server.poll() is None:
        try:
            if b" 200 " in talk(port, b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")[:20]:
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("wasl serve did not start")


def talk(port: int, request: bytes) -> bytes:
    """Send the bytes as they are and return all that comes back until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


def group_of(leader: int) -> list[int]:
    """The living processes of the leader's group: gunicorn's arbiter and its workers."""
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _parent, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except OSError:
                continue
            if int(group) == leader and state != "Z":
                members.append(int(entry.name))
    return members
