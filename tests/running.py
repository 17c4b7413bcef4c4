"""Wasl as it runs: `wasl serve` on a free port, for tests that need a real address."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket

import httpx

from .conftest import SECRET_KEY


@contextmanager
def serving(store_url: str, folder: Path, otpiq_url: str) -> Iterator[str]:
    """Yields the origin, e.g. "http://127.0.0.1:40123", once it is ready."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    origin = f"http://127.0.0.1:{port}"
    environment = {
        "DATABASE_URL": store_url,
        "WASL_DATA_DIR": str(folder),
        "WASL_SECRET_KEYS": SECRET_KEY,
        "WASL_PUBLIC_URL": origin,
        "OTPIQ_BASE_URL": otpiq_url,
        "OTPIQ_API_KEY": "sk_dev_test",
    }
    command = [sys.executable, "-m", "webhook_app", "serve", "--port", str(port)]
    with (folder / "serve.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            _wait_until_ready(f"{origin}/readyz")
            yield origin
        finally:
            server.terminate()
            server.wait(timeout=30)


def _wait_until_ready(url: str) -> None:
    give_up_at = time.monotonic() + 30
    while time.monotonic() < give_up_at:
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise TimeoutError(url)
