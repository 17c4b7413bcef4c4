"""The order does not matter: every order of up to six callbacks, with repeats; 64 threads at once; 8 processes at once.

Everything goes through `receiving.receive`, in batches of 1 to 64. Each callback has a time of its own, in whatever
order and however often it comes, so that a message's state has to be the very same: the pure fold, which the checker
makes of what is stored. Full: 1,000,000 callbacks, half on each store; any share tells one story in all its orders.
"""

import itertools
import json
import multiprocessing
import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from webhook_app import receiving
from webhook_app.database import Crossed, Database, StoreAway
from webhook_app.ids import new_id
from webhook_app.receiving import Arrival

from ..rows import NOW, arrival
from . import Stores, load, opened
from .checker import Pair, check

CALLBACKS = 500_000  # of each store
THREADS, PROCESSES = 64, 8
_LENGTH = 6
_ORDERS = [order for length in range(1, _LENGTH + 1) for order in itertools.permutations(range(length))]
_CALLBACKS_OF_ORDERS = sum(len(order) + 1 for order in _ORDERS)
_TIMES = 4  # how often each callback comes in threads
_MOST_SHARED = 1_000  # messages that all processes tell of at once
_MAX_BATCH = 64
_WORDS = ("sent", "failed", "delivered", "read", "expired", "pending", "a word of their own")
_CHANNELS = ("sms", "whatsapp", "telegram", "pigeon", None)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Whom a callback is about: the id in its URL, and the smsId by which a source's message is known."""

    target_id: UUID
    sms_id: str


@dataclass(frozen=True, kw_only=True)
class Event:
    """What a callback says, and when."""

    says: dict[str, object]
    after: timedelta

    def of(self, subject: Subject) -> Arrival:
        raw = json.dumps({"smsId": subject.sms_id, "deliveryReportType": "all", **self.says}).encode()
        return arrival(subject.target_id, raw, NOW + self.after)


Story = Sequence[Event]


def run(share: float, stores: Stores) -> Iterator[str]:
    for name, url in stores.items():
        with opened(url) as database:
            yield f"{name}: {_run(database, url, int(CALLBACKS * share))}"


def _run(database: Database, url: str, callbacks: int) -> str:
    rng = random.Random(9)
    stories = max(1, callbacks * 7 // 10 // _CALLBACKS_OF_ORDERS)
    at_once = max(THREADS, callbacks // 5 // _TIMES // _LENGTH)
    shared = min(_MOST_SHARED, at_once)
    cast = load.prepare(database, callbacks=(stories * len(_ORDERS) + at_once + shared) * 3)
    messages = (Subject(target_id=message, sms_id="sms-1") for message in cast.messages)
    posted: Counter[Pair] = Counter()
    for _ in range(stories):
        posted += in_every_order(database, _story(rng), messages, rng)
    some = [*itertools.islice(messages, at_once), *_of_sources(cast.sources, at_once // 10), *_strangers(10)]
    posted += in_threads(database, _story(rng), some, rng)
    some = [*itertools.islice(messages, shared), *_of_sources(cast.sources, shared // 10, "again"), *_strangers(10)]
    posted += in_processes(database, url, _story(rng), some)
    checked = check(database, posted, posted)
    return (
        f"{stories} stories in {len(_ORDERS)} orders each, {at_once} messages told of by {THREADS} threads, {shared} by"
        f" {PROCESSES} processes; {checked}"
    )


def in_every_order(database: Database, story: Story, messages: Iterator[Subject], rng: random.Random) -> Counter[Pair]:
    """Tell the story's first 1, 2, … 6 callbacks in all their orders, to a message each, and one of them twice."""
    told: list[Arrival] = []
    for order in _ORDERS:
        message = next(messages)
        again = rng.randrange(len(order))
        later = rng.randint(again + 1, len(order))
        told += [story[place].of(message) for place in (*order[:later], order[again], *order[later:])]
    for batch in _batches(told, rng):
        _receive(database, batch)
    return _count(told)


def in_threads(database: Database, story: Story, subjects: Sequence[Subject], rng: random.Random) -> Counter[Pair]:
    """Every callback several times, in any order, by as many threads as a flood would keep busy."""
    told = _shuffled(story, subjects, rng, times=_TIMES)
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(_receive, database, batch) for batch in _batches(told, rng)]:
            done.result()
    return _count(told)


def in_processes(database: Database, url: str, story: Story, subjects: Sequence[Subject]) -> Counter[Pair]:
    """Every process tells everything, each in an order of its own, all at the same time."""
    database.engine.dispose()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    meet = context.Barrier(PROCESSES)
    with ProcessPoolExecutor(PROCESSES, context, _meet, (meet,)) as pool:
        told = [pool.submit(_tell, url, story, subjects, seed) for seed in range(PROCESSES)]
        return sum((done.result() for done in told), Counter[Pair]())


def _meet(barrier: threading.Barrier) -> None:
    barrier.wait(60)


def _tell(url: str, story: Story, subjects: Sequence[Subject], seed: int) -> Counter[Pair]:
    rng = random.Random(seed)
    told = _shuffled(story, subjects, rng, times=1)
    with opened(url) as database:
        for batch in _batches(told, rng):
            _receive(database, batch)
    return _count(told)


def _receive(database: Database, batch: Sequence[Arrival]) -> None:
    """Once more while the turn does not come: on a slow machine the last of 64 may have to wait for more than 5 s."""
    for tries_left in reversed(range(20)):
        try:
            receiving.receive(database, batch)
            return
        except StoreAway as away:
            if isinstance(away, Crossed) or not tries_left:
                raise


def _story(rng: random.Random) -> Story:
    """Six callbacks that differ, of all that can be said."""
    all_there_is = list(itertools.product(_WORDS, _CHANNELS, (False, True)))
    return [
        Event(
            says={
                "status": word,
                "channel": channel,
                "isFinal": final,
                "reason": rng.choice(("", "no signal", "gone")),
            },
            after=timedelta(seconds=rng.randrange(1_000)),
        )
        for word, channel, final in rng.sample(all_there_is, _LENGTH)
    ]


def _of_sources(sources: Sequence[UUID], count: int, prefix: str = "sms") -> list[Subject]:
    """Messages that are made by their first callback."""
    return [Subject(target_id=source, sms_id=f"{prefix}-{number}") for source in sources for number in range(count)]


def _strangers(count: int) -> list[Subject]:
    return [Subject(target_id=new_id(NOW), sms_id="sms-1") for _ in range(count)]


def _shuffled(story: Story, subjects: Sequence[Subject], rng: random.Random, *, times: int) -> list[Arrival]:
    told = [event.of(subject) for _ in range(times) for subject in subjects for event in story]
    rng.shuffle(told)
    return told


def _batches(told: Sequence[Arrival], rng: random.Random) -> Iterator[Sequence[Arrival]]:
    start = 0
    while start < len(told):
        size = rng.randint(1, _MAX_BATCH)
        yield told[start : start + size]
        start += size


def _count(told: Sequence[Arrival]) -> Counter[Pair]:
    return Counter(load.Posted(target_id=one.target_id, raw=one.raw).pair for one in told)
