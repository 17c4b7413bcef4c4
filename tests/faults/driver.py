"""A process to take the disk from: it puts requests to the real app, behind `disk.c`, in children made for each order.

Started by `Driver`, it has everything imported; an order forks, so that crash after crash costs milliseconds.
"""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import event, make_url

from webhook_app import create_app, settings
from webhook_app.database import sqlite_module
from webhook_app.stamp import Stamper
from webhook_app.web.callbacks import SECRET_HEADER

from ..conftest import SECRET_KEY, close
from .disk import Shim, library
from .load import Posted

_ROOT = Path(__file__).parents[2]
_ORIGIN = "http://127.0.0.1:9"  # nothing listens there
_DRAINED_WITHIN_S = 30.0
_STAMPER = Stamper((SECRET_KEY,), _ORIGIN)


@dataclass(frozen=True, kw_only=True)
class Request:
    path: str
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, kw_only=True)
class Order:
    """Requests to be made of an app with these settings. The fault comes at the `fail_at`-th call after its start."""

    environment: Mapping[str, str]
    requests: Sequence[Request]
    folder: str  # watched
    record_at: str = ""
    fail_at: int = 0
    fail_as: int = 0
    fails_on: bool = False
    threads: int = 1
    processes: int = 1
    empties_spool: bool = False  # before it stops
    pragma: str = ""  # of each SQLite connection, after our own: to see that the harness notices


@dataclass(frozen=True, kw_only=True)
class Answer:
    request: int  # its place in the order
    status: int
    retry_after: str | None
    body: str


@dataclass(kw_only=True)
class Obeyed:
    """What came of an order: the answers in the order they were given, and how it ended."""

    answers: list[Answer] = field(default_factory=list)
    calls: int = 0  # made in all, where no crash came first
    crashed: bool = False

    @property
    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers]


connect = sqlite_module().connect


def own_store(url: str, data: Path) -> str:
    """Make the folder `data`, with a copy of the SQLite store at `url` in it: nobody else may write where we watch."""
    data.mkdir(parents=True)
    if not url.startswith("sqlite"):
        return url
    # Not the file alone: the newest rows may stand in the write-ahead log beside it.
    with closing(connect(make_url(url).database or "")) as source, closing(connect(str(data / "wasl.db"))) as copy:
        source.backup(copy)
    return f"sqlite:///{data / 'wasl.db'}"


def environment_of(data: Path, **more: str) -> dict[str, str]:
    """Settings of an app whose folder is `data`; its provider is nowhere unless `more` says so."""
    return {
        "WASL_DATA_DIR": str(data),
        "WASL_SECRET_KEYS": SECRET_KEY,
        "WASL_PUBLIC_URL": _ORIGIN,
        "OTPIQ_BASE_URL": "http://127.0.0.1:9/api",
        "OTPIQ_API_KEY": "sk_live_0123456789abcdef",
        **more,
    }


def callback_request(posted: Posted) -> Request:
    stamp = _STAMPER.issue(posted.target_id)
    return Request(
        path=stamp.url.removeprefix(_ORIGIN),
        headers={SECRET_HEADER: stamp.secret, "Content-Type": "application/json"},
        body=posted.raw.decode(),
    )


class Driver:
    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self._process = process
        self._log = log

    def obey(self, order: Order, when_answered: Callable[[], None] = lambda: None) -> Obeyed:
        """Run one order in a child of its own, up to its end or its crash; `when_answered`: all of its requests."""
        orders, told_back = self._process.stdin, self._process.stdout
        assert orders is not None
        assert told_back is not None
        orders.write(json.dumps(asdict(order)) + "\n")
        orders.flush()
        obeyed = Obeyed()
        for line in told_back:
            told = json.loads(line)
            if "ended" in told:
                assert told["ended"] in (0, -signal.SIGKILL), self._log.read_text()[-3000:]
                obeyed.crashed = told["ended"] != 0
                return obeyed
            if "calls" in told:
                obeyed.calls += told["calls"]
            else:
                obeyed.answers.append(Answer(**told))
                if len(obeyed.answers) == len(order.requests):
                    when_answered()
        raise AssertionError(f"the driver is gone: {self._log.read_text()[-3000:]}")


@contextmanager
def driving(folder: Path) -> Iterator[Driver]:
    """A driver, with its log in the folder."""
    log = folder / "driver.log"
    environment = {"PATH": os.environ["PATH"], "LD_PRELOAD": str(library())}
    command = [sys.executable, "-m", "tests.faults.driver"]
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    with process:
        yield Driver(process, log)  # its orders end with the block, and so does it


def main() -> None:
    for line in sys.stdin:
        told = json.loads(line)
        order = Order(**told | {"requests": [Request(**request) for request in told["requests"]]})
        children = [_child(order, place) for place in range(order.processes)]
        ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        _say({"ended": next((code for code in ended if code), 0)})


def _child(order: Order, place: int) -> int:
    """Fork; the child does its share of the requests and never returns."""
    if child := os.fork():
        return child
    code = 1
    try:
        _obey(order, range(place, len(order.requests), order.processes))
        code = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(code)


def _obey(order: Order, places: Sequence[int]) -> None:
    """Start, answer, stop: a crash may come anywhere from the first request to the end of the stop."""
    shim = Shim()
    shim.watch(order.folder, order.record_at)
    app = create_app(settings.load(order.environment))
    if order.pragma:
        engine = app.extensions["wasl"].database.engine
        event.listen(engine, "connect", lambda connection, _: connection.execute(f"PRAGMA {order.pragma}"))
    shim.fail(order.fail_at, order.fail_as, on=order.fails_on)

    def ask(place: int) -> None:
        request = order.requests[place]
        answer = app.test_client().post(request.path, data=request.body, headers=dict(request.headers))
        shim.note(f"{place} {answer.status_code}")
        given = Answer(
            request=place,
            status=answer.status_code,
            retry_after=answer.headers.get("Retry-After"),
            body=answer.get_data(as_text=True),
        )
        _say(asdict(given))

    with ThreadPoolExecutor(order.threads) as pool:
        list(pool.map(ask, places))
    give_up_at = time.monotonic() + _DRAINED_WITHIN_S
    while order.empties_spool and not app.extensions["wasl"].spool.is_empty():
        assert time.monotonic() < give_up_at, "the spool was not drained"
        time.sleep(0.01)
    close(app)
    _say({"calls": shim.calls()})


def _say(words: dict[str, Any]) -> None:
    """One line in one write: several processes talk at once."""
    os.write(1, (json.dumps(words) + "\n").encode())


if __name__ == "__main__":
    main()
