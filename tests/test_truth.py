"""Our store against the simulator's ledger, message by message, with every misbehaviour switched on.

The suite runs a short tier; `make truth` runs 2,000 sends on each store and prints what it saw.
"""

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, select

from webhook_app import accounts, tracking
from webhook_app.database import Database
from webhook_app.models import Callback, Delta, Message, Tally
from webhook_app.otpiq import Otpiq, OtpiqError
from webhook_app.simulator.ledger import Entry
from webhook_app.simulator.plots import Rates, Truth, random_phone
from webhook_app.simulator.server import Simulator

from .running import serving

THREADS = 16
KEY = "sk_dev_truth"
MISBEHAVING = 0.5


@pytest.fixture
def sends(pytestconfig: pytest.Config) -> int:
    return int(pytestconfig.getoption("--sends"))


def test_the_store_equals_the_ledger_message_by_message(
    database: Database, store_url: str, tmp_path: Path, sends: int
) -> None:
    _id, key = accounts.add_key(database, "truth", datetime.now(UTC))
    with (
        Simulator(speed=20, rates=Rates(misbehave=MISBEHAVING, seed=11), credit_iqd=10**9) as simulator,
        serving(tmp_path, DATABASE_URL=store_url, OTPIQ_BASE_URL=simulator.base_url, OTPIQ_API_KEY=KEY) as (_, port),
    ):
        started_s = time.monotonic()
        answers = send_all(f"http://127.0.0.1:{port}", key, sends)
        assert simulator.wait_until_quiet(120)
        took_s = time.monotonic() - started_s
        entries = {message_id(entry): entry for entry in simulator.ledger.sends}
        tries = [attempt for entry in entries.values() for told in entry.attempts.values() for attempt in told]

        assert all(status < 500 or status == 502 for status in answers)
        assert len(entries) == len(simulator.ledger.sends), "a message was sent twice"
        assert len(entries) + len(simulator.ledger.refused) == sends, "a call was repeated"
        rows = read_rows(database)
        assert len(rows) == sends
        assert all(attempt.acknowledged for attempt in tries)
        assert count_callbacks(database) == len(tries), "a callback was lost"
        assert {i: told(rows[i]) for i in entries} == {i: expected(e.acknowledged) for i, e in entries.items()}

        # What nobody has told the cost of yet is at risk by its estimate, and nothing is missing from both.
        unpriced = [i for i in entries if rows[i].charged_iqd is None]
        assert all(rows[i].charged_iqd == entries[i].cost_iqd for i in entries if i not in unpriced)
        assert all(rows[i].send_state == "unconfirmed" for i in unpriced)
        assert sum(rows[i].at_risk_iqd > 0 for i in unpriced) >= len(unpriced) - THREADS  # the list was read meanwhile

        check_all_in_doubt(database, Otpiq(simulator.base_url, KEY), rows)
        rows = read_rows(database)
        assert {i: told(rows[i]) for i in entries} == {i: expected(e.planned) for i, e in entries.items()}
        assert {i: rows[i].charged_iqd for i in entries} == {i: e.cost_iqd for i, e in entries.items()}
        assert not any(rows[i].charged_iqd for i in rows.keys() - entries.keys()), "a refused message has a cost"
        assert tally(database) == Counter(row.status for row in rows.values())
    misbehaved = Counter(str(entry.plot.misbehaviour or "none") for entry in entries.values())
    print(f"\n{sends} sends in {took_s:.0f} s, {len(tries)} callbacks, answers {dict(Counter(answers))}")
    print(f"taken {len(entries)}, refused {len(simulator.ledger.refused)}; {dict(misbehaved)}")


def send_all(origin: str, key: str, sends: int) -> list[int]:
    rng = random.Random(5)
    phones = [random_phone(rng) for _ in range(sends)]
    with (
        httpx.Client(base_url=origin, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        return list(pool.map(lambda phone: send_one(client, phone), phones))


def send_one(client: httpx.Client, phone: str) -> int:
    body = {"phoneNumber": phone, "smsType": "verification", "verificationCode": "482913", "provider": "auto"}
    return client.post("/api/sms", json=body).status_code


def message_id(entry: Entry) -> UUID:
    assert entry.send.report is not None
    return UUID(entry.send.report.webhook_url.rsplit("/", 1)[1])


def read_rows(database: Database) -> dict[UUID, Message]:
    with database.reading() as session:
        return {message.id: message for message in session.scalars(select(Message))}


def count_callbacks(database: Database) -> int:
    with database.reading() as session:
        return int(session.scalar(select(func.sum(Callback.repeats + 1))) or 0)


def told(message: Message) -> tuple[str, str | None, str | None]:
    return message.status, message.channel, message.reason


def expected(truth: Truth | None) -> tuple[str, str | None, str | None]:
    if truth is None:  # every callback lost: only the answer is known
        return "accepted", None, None
    return truth.status, truth.channel, truth.reason


def check_all_in_doubt(database: Database, otpiq: Otpiq, rows: dict[UUID, Message]) -> None:
    """What "Check now" does, for every message that has no cost or no final word."""
    for row in rows.values():
        if row.sms_id and (row.charged_iqd is None or not row.closed):
            try:
                tracking.check(database, otpiq, row.id, lambda: datetime.now(UTC))
            except OtpiqError as error:
                raise AssertionError(f"{row.id}: {error.kind}") from error


def tally(database: Database) -> Counter[str]:
    found: Counter[str] = Counter()
    with database.reading() as session:
        for table in (Tally, Delta):
            sums = select(table.status, func.sum(table.messages)).group_by(table.status)
            found.update({status: int(count) for status, count in session.execute(sums)})
    return +found
