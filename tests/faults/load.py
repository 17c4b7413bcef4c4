"""Load: callbacks as OTPIQ would post them, over many connections of real HTTP, and a record of what was answered.

`prepare` puts messages and sources into an empty store, `traffic` tells their stories, `post` (or `posting`, beside
something else) posts them. What breaks a post - a reset, a refusal, a 5xx, no answer within 10 s - leaves the callback
"attempted, unknown", and it is posted again until it is answered, as by a provider that retries.
"""

import asyncio
import hashlib
import json
import random
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count as count_up
from pathlib import Path
from typing import Any
from uuid import UUID

from webhook_app import counting, inbox, merging, sources, status
from webhook_app.database import Database
from webhook_app.ids import new_id
from webhook_app.models import Message
from webhook_app.otpiq import without_codes
from webhook_app.spool import Spool
from webhook_app.stamp import Stamper
from webhook_app.status import Status

from ..conftest import SECRET_KEY
from .checker import Pair

PATIENCE_S = 10.0  # what OTPIQ gives a receiver
_PAUSE_S = 0.1  # before the same is posted again
_GIVE_UP_S = 60.0  # a callback that is not answered for so long, however often it is posted, ends the run
_STAMPER = Stamper((SECRET_KEY,), "http://127.0.0.1")
_STORIES: Sequence[Sequence[tuple[str, str, bool]]] = (
    (("sent", "sms", False), ("delivered", "sms", True)),
    (("failed", "whatsapp", False), ("sent", "sms", False), ("delivered", "sms", True)),
    (("sent", "whatsapp", False), ("delivered", "whatsapp", False), ("read", "whatsapp", True)),
    (("failed", "whatsapp", False), ("failed", "telegram", False), ("sent", "sms", False), ("failed", "sms", True)),
    (("sent", "sms", True),),
)
_FACTS_A_STORY = sum(map(len, _STORIES)) / len(_STORIES)


@dataclass(frozen=True, kw_only=True)
class Posted:
    """One callback: the id in its URL and its body."""

    target_id: UUID
    raw: bytes

    @property
    def pair(self) -> Pair:
        return self.target_id, hashlib.sha256(without_codes(self.raw)).hexdigest()

    def request(self, *, fresh: bool = False) -> bytes:
        """The whole HTTP request; `fresh`: on a connection for itself."""
        return (
            f"POST /callbacks/otpiq/{self.target_id} HTTP/1.1\r\nHost: wasl\r\n"
            f"X-OTPIQ-Webhook-Secret: {_STAMPER.issue(self.target_id).secret}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(self.raw)}\r\n"
            f"Connection: {'close' if fresh else 'keep-alive'}\r\n\r\n"
        ).encode() + self.raw


@dataclass(kw_only=True)
class Record:
    """What was posted and what came back; grows while `posting`."""

    attempted: Counter[Pair] = field(default_factory=Counter)
    acknowledged: Counter[Pair] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)  # "200", or what broke: "ConnectionResetError", …
    answered: int = 0  # with 2xx, for who waits for progress
    # One entry each for every 2xx: when, by time.monotonic(), and how long after it was due to be posted.
    answered_at_s: "array[float]" = field(default_factory=lambda: array("d"))
    took_s: "array[float]" = field(default_factory=lambda: array("d"))

    def took(self, share: float) -> float:
        """The time within which `share` of the posts were answered, in seconds."""
        return percentile(self.took_s, share)


def percentile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@dataclass(frozen=True, kw_only=True)
class Cast:
    """Whom a run's callbacks are about."""

    messages: Sequence[UUID]
    sources: Sequence[UUID]


def prepare(database: Database, callbacks: int) -> Cast:
    """Messages of ours, enough for a run of so many callbacks, and two sources."""
    now = datetime.now(UTC)
    wanted = int(callbacks / _FACTS_A_STORY) + 1
    made: list[UUID] = []
    while len(made) < wanted:
        made += _sent(database, now, min(5_000, wanted - len(made)))
    return Cast(messages=made, sources=[sources.add(database, name, now).id for name in ("the shop", "the clinic")])


def _sent(database: Database, now: datetime, number: int) -> list[UUID]:
    """`merging.add`, for many at once."""
    messages = [
        Message(
            id=new_id(now),
            created_at=now,
            asked_by="key:load",
            is_sample=False,
            phone="9647701234567",
            phone_end="4567",
            carrier="asiacell",
            sms_type="verification",
            provider="auto",
            send_state=Status.ACCEPTED,
        )
        for _ in range(number)
    ]
    with database.transaction() as session:
        for message in messages:
            merging.derive(message, status.NOTHING)
        session.add_all(messages)
        session.flush()
        counting.append(session.connection(), [(None, merging.columns_of(message)) for message in messages])
    return [message.id for message in messages]


def traffic(cast: Cast, callbacks: int, seed: int = 1) -> Iterator[Posted]:
    """So many callbacks, the same for the same seed and cast: stories of messages and of a source's messages, out of
    order, a tenth of them repeats in place of others, here and there one for nobody or one that cannot be read."""
    rng = random.Random(seed)
    told = _told(cast, rng)
    left = callbacks
    while left:
        # Far enough apart that a story's callbacks meet in one batch, in two, and in different processes.
        window = [next(told) for _ in range(min(500, left))]
        window[: len(window) // 10] = rng.choices(window, k=len(window) // 10)
        rng.shuffle(window)
        yield from window
        left -= len(window)


def _told(cast: Cast, rng: random.Random) -> Iterator[Posted]:
    ours = iter(cast.messages)
    for number in count_up():
        story = rng.choice(_STORIES)
        place = rng.random()
        message = next(ours, None) if place < 0.85 else None
        target = message or rng.choice(cast.sources)
        for word, channel, final in story:
            yield Posted(target_id=target, raw=_body(f"sms-{number:x}", word, channel, final))
        if place > 0.97:
            yield Posted(target_id=UUID(int=rng.getrandbits(128)), raw=_body("sms-none", "sent", "sms", False))
            yield Posted(target_id=target, raw=f"not JSON, {number}".encode())


def _body(sms_id: str, word: str, channel: str, final: bool) -> bytes:
    body = {"smsId": sms_id, "deliveryReportType": "all", "isFinal": final, "channel": channel, "status": word}
    return json.dumps(body | ({"reason": "Carrier rejected the message"} if word == "failed" else {})).encode()


def post(port: int, callbacks: Iterable[Posted], record: Record, **how: Any) -> None:
    """Post them all; see `_post` for how. Returns when each was answered (or, without `again`, tried)."""
    # In a thread of its own: a test process may have an event loop already, such as a browser's.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(_post(port, iter(callbacks), record, **how))).result()


@contextmanager
def posting(port: int, callbacks: Iterable[Posted], record: Record, **how: Any) -> Iterator["Future[None]"]:
    """Post them beside the block, which may ask whether it is `done()`; waits for the rest in the end."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(post, port, callbacks, record, **how)
        yield running
        running.result()


def take_back(database: Database, data_dir: Path) -> None:
    """Take what a stopped Wasl left in its spool into the store, as the next one to start would."""
    inbox.drain(database, Spool(data_dir / "spool"))


async def _post(
    port: int,
    callbacks: Iterator[Posted],
    record: Record,
    *,
    connections: int = 64,
    rate: float | None = None,
    fresh: bool = False,
    again: bool = True,
) -> None:
    """Over so many connections at once; `rate` a second, or as fast as they are answered; `fresh`: a connection for
    each post; `again`: until it is answered."""
    began_s = time.monotonic()
    due_s = count_up() if rate is None else (began_s + number / rate for number in count_up())
    queue = zip(callbacks, due_s, strict=False)
    caller = _Caller(port=port, record=record, fresh=fresh, again=again, paced=rate is not None)
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(caller.work_off(queue))


@dataclass(frozen=True, kw_only=True)
class _Caller:
    port: int
    record: Record
    fresh: bool
    again: bool
    paced: bool

    async def work_off(self, queue: Iterator[tuple[Posted, float]]) -> None:
        """Post one after the other over one connection, made anew when it breaks."""
        line = _Line(self.port)
        for posted, due_s in queue:
            if self.paced:
                await asyncio.sleep(due_s - time.monotonic())
            # From when it was due: a post that had to wait for a free connection has waited for the server.
            since_s = due_s if self.paced else time.monotonic()
            request, pair = posted.request(fresh=self.fresh), posted.pair
            while not await self._try(line, request, pair, since_s) and self.again:
                assert time.monotonic() - since_s < _GIVE_UP_S, f"no 2xx for {_GIVE_UP_S:.0f} s"
                await asyncio.sleep(_PAUSE_S)
        line.close()

    async def _try(self, line: "_Line", request: bytes, pair: Pair, since_s: float) -> bool:
        record = self.record
        record.attempted[pair] += 1
        try:
            code = await line.ask(request)
        except (OSError, TimeoutError) as broken:
            line.close()
            record.answers[type(broken).__name__] += 1
            return False
        record.answers[str(code)] += 1
        if not 200 <= code < 300:
            return False
        now_s = time.monotonic()
        record.acknowledged[pair] += 1
        record.answered += 1
        record.answered_at_s.append(now_s)
        record.took_s.append(now_s - since_s)
        return True


class _Line(asyncio.Protocol):
    """One HTTP/1.1 connection with one request under way; asyncio's streams would cost twice as much."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._transport: asyncio.Transport | None = None
        self._came = b""
        self._answer: asyncio.Future[int] | None = None

    async def ask(self, request: bytes) -> int:
        """The answer's status. Raises OSError when the connection cannot be made or breaks, and TimeoutError."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE_S):
            if self._transport is None or self._transport.is_closing():
                await loop.create_connection(lambda: self, "127.0.0.1", self._port)
            assert self._transport is not None
            self._came, self._answer = b"", loop.create_future()
            self._transport.write(request)
            return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._came += data
        head, blank, body = self._came.partition(b"\r\n\r\n")
        if not blank or self._answer is None or self._answer.done():
            return
        lowered = head.lower()
        if len(body) < int(lowered.partition(b"content-length:")[2].split(maxsplit=1)[0]):
            return
        if b"connection: close" in lowered:
            self.close()
        self._answer.set_result(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionAbortedError("closed without an answer"))
