"""`wasl worker` as it runs: a process of its own, ended by signals, killed, and several at once."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from webhook_app import sending, tracking, worker
from webhook_app.database import Database, StoreAway
from webhook_app.models import Delta, Exchange, Message, Moment, Tally
from webhook_app.otpiq import Otpiq, parse_send
from webhook_app.sending import Asked
from webhook_app.simulator.misbehaviours import Misbehaviour, suffix_of
from webhook_app.simulator.server import Simulator
from webhook_app.stamp import Stamper
from webhook_app.status import Fact

from .conftest import SECRET_KEY
from .rows import add_message, all_rows, counted, get_message, recounted
from .running import free_port, group_of
from .scripted import Scripted, answer

KEY = "sk_dev_worker"
Process = subprocess.Popen[bytes]


def now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def running(folder: Path, *command: str, **environment: str) -> Iterator[Process]:
    """`wasl <command>`, ended if it still runs; what it says stands in `<command>.log`."""
    given = {"PATH": os.environ["PATH"], "WASL_DATA_DIR": str(folder), "WASL_SECRET_KEYS": SECRET_KEY, **environment}
    with (folder / f"{command[0]}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "webhook_app", *command], env=given, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        process.terminate()  # not killed: the demo has processes of its own to end
        process.wait(timeout=30)


def wait_until(holds: Callable[[], object]) -> None:
    give_up_at = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


def moments(database: Database) -> dict[str, datetime]:
    with database.reading() as session:
        return {moment.name: moment.at for moment in session.scalars(select(Moment))}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_ends_it_and_its_beat(
    database: Database, store_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    with running(tmp_path, "worker", DATABASE_URL=store_url, OTPIQ_API_KEY=KEY) as process:
        name = f"worker:{socket.gethostname()}:{process.pid}"
        wait_until(lambda: name in moments(database))
        assert abs(now() - moments(database)[name]) < timedelta(seconds=20)
        process.send_signal(number)
        assert process.wait(timeout=10) == 0
    assert name not in moments(database)
    assert "Traceback" not in (tmp_path / "worker.log").read_text()


def test_beats_of_those_that_died_are_forgotten_after_a_day(database: Database, store_url: str, tmp_path: Path) -> None:
    long_ago = now() - timedelta(hours=25)
    with database.transaction() as session:
        session.add(Moment(name="worker:gone:1", at=long_ago))
        session.add(Moment(name="worker:elsewhere:1", at=now() - timedelta(hours=23)))
        session.add(Moment(name="tracking", at=long_ago))
    with running(tmp_path, "worker", DATABASE_URL=store_url):
        wait_until(lambda: "worker:gone:1" not in moments(database))
    assert {"worker:elsewhere:1", "tracking"} <= set(moments(database))


def test_it_folds_the_counts_and_settles_sends_that_broke_off(
    database: Database, store_url: str, tmp_path: Path
) -> None:
    message = add_message(database, now() - timedelta(hours=1), send_state="sending", estimate_iqd=80)
    with running(tmp_path, "worker", DATABASE_URL=store_url):
        wait_until(lambda: get_message(database, message).status == "unconfirmed")
        wait_until(lambda: all_rows(database, Tally))
    assert counted(database) == recounted(database)


def test_without_a_key_otpiq_is_not_asked(database: Database, store_url: str, tmp_path: Path) -> None:
    an_hour_ago = now() - timedelta(hours=1)
    add_message(database, an_hour_ago, sms_id="sms-1", facts=[Fact(at=an_hour_ago)])
    with Scripted(answer(404, {})) as server:
        with running(tmp_path, "worker", DATABASE_URL=store_url, OTPIQ_BASE_URL=server.base_url):
            wait_until(lambda: not all_rows(database, Delta))
        assert server.requests == []
    assert "OTPIQ_API_KEY is not set" in (tmp_path / "worker.log").read_text()
    assert all_rows(database, Exchange) == []


def test_messages_whose_callbacks_were_lost_end_as_otpiq_knows_them(
    database: Database, store_url: str, tmp_path: Path
) -> None:
    """The simulator's …905, a few minutes later, with two workers."""
    phones = [f"964770123{number}{suffix_of(Misbehaviour.LOST_CALLBACKS)}" for number in range(6)]
    environment = {"DATABASE_URL": store_url, "OTPIQ_API_KEY": KEY, "WASL_TRACKS_PER_MINUTE": "600"}
    with Simulator(speed=1000, seed=7) as simulator:
        environment["OTPIQ_BASE_URL"] = simulator.base_url
        for phone in phones:
            send(database, simulator, phone, now() - timedelta(minutes=5))
        time.sleep(0.2)  # 200 s of the simulator's: every story has ended
        with running(tmp_path, "worker", **environment), running(tmp_path, "worker", **environment):
            wait_until(lambda: all(row.closed for row in all_rows(database, Message)))
        known = {entry.sms_id: (entry.planned.status, entry.planned.channel) for entry in simulator.ledger.sends}
    rows = all_rows(database, Message)
    assert {row.sms_id: (row.status, row.channel) for row in rows} == known
    assert "delivered" in {row.status for row in rows}
    assert {row.tracked for row in rows} == {1}
    assert counted(database) == recounted(database)


def send(database: Database, simulator: Simulator, phone: str, at: datetime) -> None:
    request = parse_send({"phoneNumber": phone, "smsType": "verification", "verificationCode": "493817"})
    stamper = Stamper((SECRET_KEY,), "http://127.0.0.1:9")
    sending.send(database, Otpiq(simulator.base_url, KEY), stamper, request, Asked(by="key:checkout"), lambda: at)


def test_a_worker_that_died_leaves_its_message_to_the_others(
    database: Database, store_url: str, tmp_path: Path
) -> None:
    an_hour_ago = now() - timedelta(hours=1)
    message = add_message(database, an_hour_ago, sms_id="sms-1", facts=[Fact(at=an_hour_ago)])
    told = {"smsId": "sms-1", "status": "delivered", "isFinalStatus": True, "lastChannel": "sms"}
    with Scripted([2.5], answer(200, told)) as server:
        environment = {"DATABASE_URL": store_url, "OTPIQ_API_KEY": KEY, "OTPIQ_BASE_URL": server.base_url}
        with running(tmp_path, "worker", **environment) as process:
            wait_until(lambda: server.requests)
            process.kill()
        asked_at, otpiq = now(), Otpiq(server.base_url, KEY)
        tracking.ask_next(database, otpiq, 60, lambda: asked_at + timedelta(minutes=1))
        assert len(server.requests) == 1
        tracking.ask_next(database, otpiq, 60, lambda: asked_at + timedelta(minutes=2))
        assert len(server.requests) == 2
    assert get_message(database, message).status == "delivered"


def test_no_fault_ends_a_loop_and_a_lasting_one_is_one_line() -> None:
    stopping = threading.Event()
    faults = [StoreAway("locked"), StoreAway("locked"), ValueError("9647701234567")]

    def step() -> float:
        fault = faults.pop(0)
        if not faults:
            stopping.set()
        raise fault

    with capture_logs() as lines:
        worker.repeat("counts", step, stopping)
    assert [(line["loop"], line["error"]) for line in lines] == [("counts", "StoreAway"), ("counts", "ValueError")]
    assert "9647701234567" not in repr(lines)


def test_the_demo_brings_a_worker_and_takes_it_along(tmp_path: Path) -> None:
    arguments = ("demo", "--port", str(free_port()), "--messages", "0", "--rate", "0")
    with running(tmp_path, *arguments) as demo:
        wait_until(lambda: "Wasl is ready" in (tmp_path / "demo.log").read_text())
        started = children_of(demo.pid)
        assert sorted(command.split()[3] for command in started.values()) == ["serve", "worker"]
        demo.terminate()
        assert demo.wait(timeout=20) == 0
        assert [group_of(child) for child in started] == [[], []]


def children_of(parent: int) -> dict[int, str]:
    """The command lines of a process's own children."""
    pids = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return {int(pid): Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in pids}
