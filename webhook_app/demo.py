"""`wasl demo`: a simulated OTPIQ, all of Wasl in front of it, sample history behind it and live traffic through it."""

import contextlib
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import click
import httpx

from . import accounts, sample, settings
from .cli.opening import open_rooms
from .serving import require_free
from .simulator.misbehaviours import Misbehaviour
from .simulator.plots import Rates, random_phone
from .simulator.server import Simulator

_START_WITHIN_S = 30
_STOP_WITHIN_S = 25
# What happens on any day; the rest is a number's last digits away.
_SOMETIMES = (
    Misbehaviour.CALLBACK_FIRST,
    Misbehaviour.REPEATED_CALLBACKS,
    Misbehaviour.REORDERED_CALLBACKS,
    Misbehaviour.FAILED,
    Misbehaviour.FALLBACK,
    Misbehaviour.CUT_ANSWER,
    Misbehaviour.BAD_SENDER,
    Misbehaviour.LATE_RECEIPT,
    Misbehaviour.LOST_CALLBACKS,
)
_EXAMPLE = '{"phoneNumber": "9647701234567", "smsType": "verification", "verificationCode": "1234"}'
_TEXTS = ("Your order is on its way.", "طلبك في الطريق إليك.", "داواکارییەکەت لە ڕێگادایە.")


def run(host: str, port: int, sample_count: int, rate_per_s: float) -> None:
    """Run until SIGINT, SIGTERM or SIGHUP; nothing is left behind. Raises PortTaken."""
    require_free(host, port)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: stopping.set())
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="wasl-demo-"))
        simulator = stack.enter_context(Simulator(rates=Rates(misbehave=0.08, among=_SOMETIMES)))
        origin = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        environment = {
            "WASL_DATA_DIR": folder,
            "WASL_PUBLIC_URL": origin,
            "OTPIQ_BASE_URL": simulator.base_url,
            "OTPIQ_API_KEY": f"sk_dev_{secrets.token_hex(16)}",
        }
        password, key = _prepare(environment, sample_count)
        log = stack.enter_context(Path(folder, "wasl.log").open("wb"))
        server = _start(stack, environment, log, "serve", "--host", host, "--port", str(port))
        worker = _start(stack, environment, log, "worker")
        if not _is_ready(origin, server, stopping):
            said = Path(log.name).read_text()
            raise click.ClickException(f"the demo did not start:\n{said[-2000:]}")
        click.echo(
            f"\n  Wasl is ready:  {origin}\n  Sign in:        demo / {password}\n\n"
            f"  Everything is simulated: nothing reaches a phone, nothing is charged.\n"
            f"  The simulator:  {simulator.origin} (what it does with which number)\n"
            f"  To send by API: curl {origin}/api/sms -H 'Authorization: Bearer {key}' \\\n"
            f"                    -H 'Content-Type: application/json' -d '{_EXAMPLE}'\n"
            f"  Stop with Ctrl-C; all of it is thrown away then.\n"
        )
        traffic = threading.Thread(target=_traffic, args=(origin, key, rate_per_s, stopping), daemon=True)
        traffic.start()
        while not stopping.wait(0.5):
            if server.poll() is not None or worker.poll() is not None:
                raise click.ClickException("the server or the worker has stopped by itself")
        traffic.join(timeout=2)


def _prepare(environment: dict[str, str], sample_count: int) -> tuple[str, str]:
    """The store with its history, a user and a key; returns the password and the key."""
    config = settings.load(environment)
    rooms = open_rooms(config)
    now = datetime.now(UTC)
    started_s = time.monotonic()
    if sample_count:
        click.echo(f"  Making {sample_count:,} sample messages …", nl=False)
        sample.fill(rooms.database, rooms.stamper, sample_count, config.time_zone, now)
        click.echo(f" {time.monotonic() - started_s:.1f} s")
    password = secrets.token_urlsafe(9)
    accounts.add_user(rooms.database, "demo", password, now)
    _id, key = accounts.add_key(rooms.database, "demo traffic", now)
    rooms.database.engine.dispose()
    return password, key


def _start(stack: ExitStack, environment: dict[str, str], log: BinaryIO, *command: str) -> "subprocess.Popen[bytes]":
    """`wasl <command>` in a session of its own, so that Ctrl-C reaches only us and we stop it in order."""
    arguments = [sys.executable, "-m", "webhook_app", *command]
    started = subprocess.Popen(arguments, env=environment, stderr=log, stdout=log, start_new_session=True)  # noqa: S603
    stack.callback(_stop, started)
    return started


def _stop(started: "subprocess.Popen[bytes]") -> None:
    started.terminate()
    try:
        started.wait(timeout=_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        started.kill()
        started.wait()


def _is_ready(origin: str, server: "subprocess.Popen[bytes]", stopping: threading.Event) -> bool:
    give_up_at = time.monotonic() + _START_WITHIN_S
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < give_up_at and server.poll() is None and not stopping.is_set():
            try:
                if client.get(f"{origin}/readyz", timeout=2).status_code == 200:
                    return True
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
    return stopping.is_set()


def _traffic(origin: str, key: str, rate_per_s: float, stopping: threading.Event) -> None:
    """What customers' programs would do: call the API now and then."""
    rng = random.Random()  # noqa: S311 - no secret
    headers = {"Authorization": f"Bearer {key}"}
    with (
        httpx.Client(base_url=origin, headers=headers, timeout=20, trust_env=False) as client,
        ThreadPoolExecutor(4) as pool,
    ):
        while rate_per_s and not stopping.wait(rng.expovariate(rate_per_s)):
            pool.submit(_call, client, _body(rng))
        pool.shutdown(wait=False, cancel_futures=True)


def _call(client: httpx.Client, body: dict[str, str]) -> None:
    with contextlib.suppress(httpx.HTTPError):  # the server may be stopping
        client.post("/api/sms", json=body)


def _body(rng: random.Random) -> dict[str, str]:
    if rng.random() < 0.15:
        return {
            "phoneNumber": random_phone(rng),
            "smsType": "custom",
            "customMessage": rng.choice(_TEXTS),
            "senderId": "MyShop",
        }
    return {
        "phoneNumber": random_phone(rng),
        "smsType": "verification",
        "verificationCode": f"{rng.randrange(10**6):06}",
        "provider": rng.choice(("auto", "auto", "whatsapp-sms", "sms")),
    }
