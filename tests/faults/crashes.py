"""A crash, or an error of disk or line, at the n-th write or sync of one ingest and of one send, for every n.

Full: every n, each with a crash before it, a crash halfway through it, and errors that pass or stay. After each one
the store is judged as it was written and (SQLite) as only what was synced is there; then the same request comes again.
"""

import errno
import json
import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import select

from webhook_app import accounts, sending
from webhook_app.database import Database
from webhook_app.models import Message
from webhook_app.simulator.misbehaviours import Misbehaviour
from webhook_app.simulator.plots import random_phone
from webhook_app.simulator.server import Simulator
from webhook_app.status import Status

from . import Stores, opened
from .checker import Pair, check
from .disk import CRASH, CRASH_HALFWAY, Disk, read_records
from .driver import Driver, Obeyed, Order, Request, callback_request, driving, environment_of, own_store
from .load import Posted, prepare, take_back, traffic
from .powercut import judge

_MOST = 1_000  # calls; no request makes so many
_STEP = 3  # a part of the run takes every third call, from the first to the last
_OWN = 100  # callbacks about messages of ours; later ones come from sources


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens at the n-th call: a crash or an errno; `stays`: at every call after it, too."""

    how: int
    stays: bool = False

    def __str__(self) -> str:
        words = {CRASH: "crash before", CRASH_HALFWAY: "crash halfway"}
        return words.get(self.how, errno.errorcode.get(self.how, "")) + (" from then on" if self.stays else "")


_NONE = Fault(how=0)
CRASHES = (Fault(how=CRASH), Fault(how=CRASH_HALFWAY))
DISK_ERRORS = tuple(Fault(how=how, stays=stays) for how in (errno.EIO, errno.ENOSPC) for stays in (False, True))
LINE_ERRORS = (Fault(how=errno.ECONNRESET), Fault(how=errno.ECONNRESET, stays=True))


def run(share: float, stores: Stores) -> Iterator[str]:
    step = min(_STEP, round(1 / share))
    for name, url in stores.items():
        with site(url) as here:
            for fault in (*CRASHES, *(DISK_ERRORS if here.database.is_sqlite else LINE_ERRORS)):
                yield f"{name}, {fault}: ingest {ingests(here, fault, step)}; send {sends(here, fault, step)}"


@dataclass(kw_only=True)
class Site:
    """A store with all that was ever done to it, the simulator, and who makes the requests."""

    driver: Driver
    folder: Path
    database: Database
    environment: Mapping[str, str]
    simulator: Simulator
    key: str
    posts: Iterator[Posted]
    attempted: Counter[Pair] = field(default_factory=Counter)
    acknowledged: Counter[Pair] = field(default_factory=Counter)

    def ask(self, requests: Sequence[Request], at: int = 0, fault: Fault = _NONE) -> Obeyed:
        """Make the requests in a process of its own that meets the fault; nothing else has the store open."""
        self.database.engine.dispose()
        self._record.unlink(missing_ok=True)
        self._before = Disk(self._data)
        return self.driver.obey(
            Order(
                environment=self.environment,
                requests=requests,
                folder=str(self._data),
                record_at=str(self._record),
                fail_at=at,
                fail_as=fault.how,
                fails_on=fault.stays,
            )
        )

    def note(self, posted: Sequence[Posted], obeyed: Obeyed) -> None:
        self.attempted.update(one.pair for one in posted)
        self.acknowledged.update(posted[answer.request].pair for answer in obeyed.answers if answer.status == 200)

    def judge(self) -> None:
        """As it stands, and as a power cut at the end of the request would have left it."""
        ledger = self.simulator.ledger.sends
        take_back(self.database, self._data)
        check(self.database, self.attempted, self.acknowledged, ledger)
        if self.database.is_sqlite:
            records = list(read_records(self._record))
            answers = [place for place, record in enumerate(records) if record.kind == "N"]
            # What is synced after the last answer came too late for it.
            for record in records[: answers[-1] if answers else None]:
                self._before.apply(record)
            judge(self._before.left(), self.folder / "cut", self.attempted, self.acknowledged, ledger)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _record(self) -> Path:
        return self.folder / "record"


@contextmanager
def site(url: str) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="wasl-crashes-") as name, Simulator(seed=1, credit_iqd=10**9) as simulator:
        folder = Path(name)
        url = own_store(url, folder / "data")
        with opened(url) as database, driving(folder) as driver:
            _id, key = accounts.add_key(database, "crashes", datetime.now(UTC))
            yield Site(
                driver=driver,
                folder=folder,
                database=database,
                environment=environment_of(folder / "data", DATABASE_URL=url, OTPIQ_BASE_URL=simulator.base_url),
                simulator=simulator,
                key=key,
                posts=traffic(prepare(database, _OWN), 10**6),
            )


def ingests(site: Site, fault: Fault, step: int = 1) -> str:
    """One callback for each n, until one is through before the fault comes; then all of them once more."""
    posted: list[Posted] = []
    outcomes: Counter[str] = Counter()
    for at in range(1, _MOST, step):
        posted.append(one := next(site.posts))
        obeyed = site.ask([callback_request(one)], at, fault)
        site.note([one], obeyed)
        outcomes[_outcome(obeyed)] += 1
        site.judge()
        if not obeyed.crashed and obeyed.calls < at:
            break
    again = site.ask([callback_request(one) for one in posted])
    assert set(again.statuses) == {200}, f"{fault}: a callback was not taken when it came again"
    site.note(posted, again)
    site.judge()
    return _told(outcomes)


def sends(site: Site, fault: Fault, step: int = 1) -> str:
    """One send for each n, likewise; none reaches the provider twice, and none that did is called unsent."""
    rng = random.Random(str(fault))
    requests: list[Request] = []
    outcomes: Counter[str] = Counter()
    for at in range(1, _MOST, step):
        phone = random_phone(rng, Misbehaviour.LOST_CALLBACKS)
        requests.append(_send_request(site.key, phone, f"{fault} at {at}"))
        obeyed = site.ask(requests[-1:], at, fault)
        outcomes[_outcome(obeyed)] += 1
        site.judge()
        if not obeyed.crashed and obeyed.calls < at:
            break
    _settle(site.database)
    _see_honesty(site)
    again = site.ask(requests)
    assert set(again.statuses) == {200}, f"{fault}: {Counter(again.statuses)}"
    site.judge()
    _see_honesty(site)
    return _told(outcomes)


def _send_request(key: str, phone: str, once_key: str) -> Request:
    body = {"phoneNumber": phone, "smsType": "verification", "verificationCode": "482913", "provider": "sms"}
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": once_key, "Content-Type": "application/json"}
    return Request(path="/api/sms", headers=headers, body=json.dumps(body))


def _settle(database: Database) -> None:
    """A minute later the next send, or the next start, says what became of the abandoned ones."""
    with database.transaction() as session:
        sending.settle_abandoned(session, datetime.now(UTC) + timedelta(minutes=2))


def _see_honesty(site: Site) -> None:
    """Of every message so far: at most one call reached the provider, and where one did, nobody says it did not."""
    entries = site.simulator.ledger.sends
    phones = Counter(entry.send.phone for entry in entries)
    assert max(phones.values(), default=1) == 1, "one request, two messages"
    called = {UUID(entry.send.report.webhook_url.rsplit("/", 1)[1]) for entry in entries if entry.send.report}
    with site.database.reading() as session:
        sends = session.execute(select(Message.id, Message.send_state).where(Message.phone.in_(phones))).all()
    honest = {True: (Status.ACCEPTED, Status.UNCONFIRMED), False: (Status.UNSENT, Status.UNCONFIRMED)}
    for message_id, state in sends:
        assert state in honest[message_id in called], f"{message_id} is {state}, called: {message_id in called}"


def _outcome(obeyed: Obeyed) -> str:
    """What the caller saw; a 5xx only where it says when to come again."""
    if not obeyed.answers:
        return "no answer"
    (answer,) = obeyed.answers
    assert answer.status in (200, 502) or (answer.status, bool(answer.retry_after)) == (503, True), answer
    return f"{answer.status}, then a crash" if obeyed.crashed else str(answer.status)


def _told(outcomes: Counter[str]) -> str:
    return f"{outcomes.total()} times ({', '.join(f'{word}: {times}' for word, times in outcomes.items())})"
