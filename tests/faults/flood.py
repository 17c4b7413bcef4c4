"""Ten thousand wrong secrets a second, beside 50 right ones a second: those are answered as if nothing were.

Full: 10 minutes, half on each store. The flood comes from a process of its own, over kept connections with several
requests under way on each; where the machine cannot refuse ten thousand a second, it gets as many as it can refuse.
"""

import asyncio
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from webhook_app.database import Database

from ..running import serving
from . import Stores, load, opened
from .checker import check

SECONDS = 300.0  # on each store
FLOOD_A_SECOND = 10_000
GOOD_A_SECOND = 50
_P99_S = 1.0
_CONNECTIONS = 32
_UNDER_WAY = 8  # on each
_TICK_S = 0.01


def run(share: float, stores: Stores) -> Iterator[str]:
    for name, url in stores.items():
        with opened(url) as database:
            yield f"{name}: {_run(database, url, SECONDS * share)}"


def _run(database: Database, url: str, seconds: float) -> str:
    record = load.Record()
    good = int(seconds * GOOD_A_SECOND)
    cast = load.prepare(database, good)
    with tempfile.TemporaryDirectory() as folder:
        with serving(Path(folder), DATABASE_URL=url) as (_server, port):
            command = [sys.executable, "-m", __name__, str(port), str(seconds + 1)]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as flood:
                time.sleep(1)  # it takes a moment to begin
                load.post(port, load.traffic(cast, good), record, rate=GOOD_A_SECOND, fresh=True, again=False)
                told, _nothing = flood.communicate()
        load.take_back(database, Path(folder))
        log = (Path(folder) / "serve.log").read_text().splitlines()
    refused = json.loads(told)
    assert set(refused) == {"401"}, f"the flood was answered {refused}"
    assert set(record.answers) == {"200"}, f"good ones were answered {dict(record.answers)}"
    assert record.took(0.99) < _P99_S, f"good ones took {record.took(0.99):.2f} s at the 99th percentile"
    lines = Counter(line.partition("event=")[2].split(" ", 1)[0] for line in log)
    refusals = sum(times for event, times in lines.items() if "refused" in event)
    assert refusals <= seconds + 2, f"{refusals} lines about refusals in {seconds:.0f} s"
    checked = check(database, record.attempted, record.acknowledged)
    return (
        f"{refused['401'] / (seconds + 1):.0f} a second refused for {seconds:.0f} s, {refusals} log lines; beside them "
        f"{good} good ones, p50 {record.took(0.5) * 1000:.0f} ms, p99 {record.took(0.99) * 1000:.0f} ms; {checked}"
    )


async def flood(port: int, seconds: float) -> Counter[str]:
    """Ask with wrong secrets, and return the answers by status."""
    lines = [_Line(port) for _ in range(_CONNECTIONS)]
    began_s, sent = time.monotonic(), 0
    while (gone_s := time.monotonic() - began_s) < seconds:
        for line in lines:
            wanted = min(line.free, int(gone_s * FLOOD_A_SECOND) - sent)
            if wanted > 0:
                await line.send(wanted)
                sent += wanted
        await asyncio.sleep(_TICK_S)
    return sum((line.answers for line in lines), Counter())


class _Line(asyncio.Protocol):
    """One connection with a few requests under way, made again when it was closed."""

    def __init__(self, port: int) -> None:
        self.answers: Counter[str] = Counter()
        self.free = _UNDER_WAY
        self._port = port
        self._transport: asyncio.Transport | None = None
        self._rest = b""

    async def send(self, requests: int) -> None:
        if self._transport is None:
            await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._port)
        assert self._transport is not None
        self._transport.write(b"".join(random.choices(_WRONG, k=requests)))
        self.free -= requests

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._rest, self.free = transport, b"", _UNDER_WAY

    def data_received(self, data: bytes) -> None:
        *answers, self._rest = _STATUS.split(self._rest + data)
        self._rest = self._rest[-_STATUS_BYTES:]  # may be the first part of a status line
        self.answers.update(code.decode() for code in answers[1::2])
        self.free += len(answers) // 2

    def connection_lost(self, exc: Exception | None) -> None:
        self.answers["lost"] += _UNDER_WAY - self.free
        self._transport, self.free = None, _UNDER_WAY


def _wrong_request() -> bytes:
    body = b'{"smsId": "sms-1", "isFinal": true, "channel": "sms", "status": "delivered"}'
    return (
        f"POST /callbacks/otpiq/{uuid4()} HTTP/1.1\r\nHost: wasl\r\nX-OTPIQ-Webhook-Secret: {uuid4().hex}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


_WRONG = [_wrong_request() for _ in range(1_000)]
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_STATUS_BYTES = len(b"HTTP/1.1 200")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(flood(int(sys.argv[1]), float(sys.argv[2])))))
