"""Sends while OTPIQ times out, resets, faults and cuts its answers, and the workers that send are killed.

Of 100 sends 5 are answered never, 2 with a reset, 2 with 500 (one of them sent all the same), 1 with half an answer;
every 500 sends a random worker of `wasl serve` gets `kill -9`. Callers repeat with the same Idempotency-Key until they
have an answer. By the simulator's ledger no message may be called twice, and what is said of each has to be honest.
Full: 1,000,000 sends, half on each store. Wasl waits for OTPIQ for 1 s here, not 9, or 50,000 time-outs took days.
"""

import contextlib
import http.client
import json
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from webhook_app import accounts, sending
from webhook_app.database import Database
from webhook_app.models import IN_PROGRESS, Message
from webhook_app.simulator.ledger import Entry, Ledger
from webhook_app.simulator.misbehaviours import Misbehaviour
from webhook_app.simulator.plots import Rates, Truth
from webhook_app.simulator.server import Simulator
from webhook_app.simulator.web import callback_body

from ..running import group_of, serving
from . import Stores, load, opened
from .checker import Pair, check

SENDS = 500_000  # on each store
_SENDS_A_KILL = 500
_CALLERS = 32
_TRIES, _AGAIN_AFTER_S = 10, 0.25  # longer than any send takes that is still alive
_DOUBTFUL = (
    *[Misbehaviour.NEVER_ANSWERS] * 5,
    *(Misbehaviour.PROVIDER_FAULT, Misbehaviour.FAULT_YET_SENT),
    Misbehaviour.CUT_EARLY,
)
_RATES = Rates(misbehave=len(_DOUBTFUL) / 100, among=_DOUBTFUL, reset=0.02, seed=12)
_SPEED = 50.0  # of the simulator: it says nothing for 1.2 s where it never answers
_IMPATIENT = "from webhook_app import sending\nsending.DEADLINE_S = 1.0\n"
_LONG_AFTER = timedelta(minutes=2)  # by then whoever was still sending is given up


def run(share: float, stores: Stores) -> Iterator[str]:
    for name, url in stores.items():
        with opened(url) as database:
            yield f"{name}: {_run(database, url, int(SENDS * share))}"


def _run(database: Database, url: str, sends: int) -> str:
    rng = random.Random(6)
    # Their last three digits ask for no misbehaviour: that is left to the rates.
    phones = [f"96477{n // 900:05d}{n % 900:03d}" for n in rng.sample(range(90_000_000), sends)]
    _id, key = accounts.add_key(database, "checkout", datetime.now(UTC))
    with (
        tempfile.TemporaryDirectory() as folder,
        Simulator(speed=_SPEED, rates=_RATES, credit_iqd=10**9) as simulator,
    ):
        with _serving(Path(folder), url, simulator) as (master, port):
            callers = _Callers(port=port, key=key)
            first = callers.send_all(phones, meanwhile=lambda: _kill_a_worker(master.pid, rng))
            assert simulator.wait_until_quiet(120)
            _give_up_abandoned(database)
            last = callers.send_all(phones)
            assert simulator.wait_until_quiet(120)
        load.take_back(database, Path(folder))
        ledger = simulator.ledger
    assert all(last), "asked again in the end, everyone is told what became of it"
    differing = [(one, other) for one, other in zip(first, last, strict=True) if one is not None and one != other]
    assert not differing, f"not the same answer for ever: {differing[:5]}"
    calls = Counter([entry.send.phone for entry in ledger.sends] + [str(call.phone) for call in ledger.refused])
    assert max(calls.values()) == 1, f"called twice: {[phone for phone, times in calls.items() if times > 1][:5]}"
    states = _honest_states(database, ledger)
    checked = check(database, *_posted(ledger), ledger.sends)
    return (
        f"{sends} sends, {sends // _SENDS_A_KILL} kills, answers {_listed(callers.answers)}; {len(ledger.sends)} taken,"
        f" {len(ledger.refused)} not, {sends - len(calls)} never called; messages {_listed(states)}; {checked}"
    )


@contextlib.contextmanager
def _serving(folder: Path, url: str, simulator: Simulator) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """`wasl serve`, but less patient: Python runs this file of ours first."""
    (folder / "sitecustomize.py").write_text(_IMPATIENT)
    provider = {"OTPIQ_BASE_URL": simulator.base_url, "OTPIQ_API_KEY": "sk_dev_sends"}
    with serving(folder, DATABASE_URL=url, PYTHONPATH=str(folder), **provider) as served:
        yield served


def _kill_a_worker(master: int, rng: random.Random) -> None:
    workers = [pid for pid in group_of(master) if pid != master]
    if workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(rng.choice(workers), signal.SIGKILL)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a caller is told of its message."""

    message_id: str
    sms_id: str
    status: str


@dataclass(frozen=True, kw_only=True)
class _Callers:
    """Programs that send: each message under a key of its own, again until there is an answer to go by."""

    port: int
    key: str
    answers: Counter[str] = field(default_factory=Counter)

    def send_all(self, phones: Sequence[str], meanwhile: Callable[[], None] | None = None) -> list[Answer | None]:
        """The answer for each; None where it was still open. `meanwhile` is called every now and then."""

        def send(numbered: tuple[int, str]) -> Answer | None:
            number, phone = numbered
            if meanwhile and number % _SENDS_A_KILL == _SENDS_A_KILL // 2:
                meanwhile()
            return self._send(phone)

        with ThreadPoolExecutor(_CALLERS) as pool:
            return list(pool.map(send, enumerate(phones)))

    def _send(self, phone: str) -> Answer | None:
        body = {"phoneNumber": phone, "smsType": "verification", "verificationCode": "482913", "provider": "sms"}
        for _ in range(_TRIES):
            status, told = self._post(json.dumps(body), once=f"once-{phone}")
            self.answers[status] += 1
            if status == "200":
                return Answer(message_id=told["messageId"], sms_id=told["smsId"], status=told["status"])
            # 409: the same one is still being sent; 502: nothing left; 503: the store is away; else: the line broke.
            assert status in ("409", "502", "503") or not status.isdigit(), (status, told)
            time.sleep(_AGAIN_AFTER_S)
        return None

    def _post(self, body: str, *, once: str) -> tuple[str, dict[str, Any]]:
        """The status, or what broke, and what was told."""
        headers = {"Authorization": f"Bearer {self.key}", "Idempotency-Key": once}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as line:
            try:
                line.request("POST", "/api/sms", body, headers)
                answer = line.getresponse()
                return str(answer.status), json.loads(answer.read())
            except (OSError, http.client.HTTPException) as broken:
                return type(broken).__name__, {}


def _give_up_abandoned(database: Database) -> None:
    """What the next start and every send do, a while later."""
    later = datetime.now(UTC) + _LONG_AFTER
    before = -1
    while before != (before := _in_progress(database)):
        with database.transaction() as session:
            sending.settle_abandoned(session, later)


def _in_progress(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(Message).where(IN_PROGRESS)) or 0


def _honest_states(database: Database, ledger: Ledger) -> Counter[str]:
    """How many messages are in which state; none may claim what the ledger does not bear out."""
    entries = {_message_id(entry): entry for entry in ledger.sends}
    refused = {UUID(str(call.webhook_url).rsplit("/", 1)[1]) for call in ledger.refused}
    states: Counter[str] = Counter()
    with database.transaction() as session:  # PostgreSQL gives out rows by and by only within one
        for row in session.scalars(select(Message), execution_options={"yield_per": 1_000}):
            entry = entries.get(row.id)
            states[f"{row.send_state} ({row.status})"] += 1
            assert _is_honest(row, entry, was_refused=row.id in refused), f"{row.send_state}: {row.outcome}, {entry}"
            if entry is not None:
                told = (row.status, row.channel, row.reason)
                assert told in {_due(row, entry.acknowledged), _due(row, entry.sent)}, f"{told}, {entry}"
    return states


def _is_honest(row: Message, entry: Entry | None, *, was_refused: bool) -> bool:
    if row.send_state == "unsent":
        return entry is None and not was_refused
    if row.send_state == "accepted":
        return entry is not None and entry.plot.misbehaviour is None and not entry.plot.is_reset
    words = (row.outcome or {})["words"]
    in_doubt = was_refused or (entry is not None and (entry.plot.misbehaviour is not None or entry.plot.is_reset))
    # Else it was Wasl that could not know: it was killed, or had no answer in time from a busy machine.
    return row.send_state == "unconfirmed" and (in_doubt or "stopped during" in words or "no whole answer" in words)


def _due(row: Message, truth: Truth | None) -> tuple[str, str | None, str | None]:
    return (truth.status, truth.channel, truth.reason) if truth else (row.send_state, None, None)


def _posted(ledger: Ledger) -> tuple[Counter[Pair], Counter[Pair]]:
    """The callbacks the simulator posted, and those that were answered 2xx."""
    attempted: Counter[Pair] = Counter()
    acknowledged: Counter[Pair] = Counter()
    for entry in ledger.sends:
        for number, tries in entry.attempts.items():
            body = callback_body(entry, "all", entry.plot.events[number])
            pair = load.Posted(target_id=_message_id(entry), raw=json.dumps(body).encode()).pair
            attempted[pair] += len(tries)
            acknowledged[pair] += sum(one.acknowledged for one in tries)
    return attempted, +acknowledged


def _message_id(entry: Entry) -> UUID:
    assert entry.send.report is not None
    return UUID(entry.send.report.webhook_url.rsplit("/", 1)[1])


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{word} {times}" for word, times in counts.most_common())
