"""Messages that fell silent: when OTPIQ is asked about them by itself, by one worker and by many."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from webhook_app import figures, receiving, sending, sources, tracking
from webhook_app.database import Database
from webhook_app.models import Exchange, Message
from webhook_app.otpiq import Otpiq, RateLimited, parse_send
from webhook_app.sending import Asked
from webhook_app.simulator.misbehaviours import Misbehaviour, suffix_of
from webhook_app.simulator.server import Simulator
from webhook_app.stamp import Stamper
from webhook_app.status import Fact

from .conftest import SECRET_KEY
from .rows import NOW, PHONE, add_message, all_rows, arrival, callback, counted, get_message, recounted
from .scripted import Part, Scripted, answer

KEY = "sk_live_0123456789abcdef"


class Clock:
    """A time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **time: float) -> None:
        self.now += timedelta(**time)


class Worker:
    """What one worker has of its own: connections, and nothing else that the others could see."""

    def __init__(self, store_url: str, base_url: str, clock: Callable[[], datetime]) -> None:
        self.database = Database(store_url)
        self._otpiq = Otpiq(base_url, KEY, deadline_s=2.0)
        self._clock = clock

    def ask_next(self, per_minute: int = 60) -> float:
        return tracking.ask_next(self.database, self._otpiq, per_minute, self._clock)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hire(store_url: str, clock: Clock) -> Iterator[Callable[..., Worker]]:
    """Makes workers on machines of their own, whose clocks agree."""
    hired: list[Worker] = []

    def one(base_url: str, clock: Callable[[], datetime] = clock) -> Worker:
        hired.append(Worker(store_url, base_url, clock))
        return hired[-1]

    yield one
    for worker in hired:
        worker.database.engine.dispose()


Hire = Callable[..., Worker]


def known(**changes: Any) -> Callable[[bytes], list[Part]]:
    """An OTPIQ that knows every message asked about, and of each the same."""
    waiting = {"status": "pending", "isFinalStatus": False, "channelFlow": [], "cost": 60, "lastChannel": "sms"}
    return lambda request: answer(200, waiting | changes | {"smsId": sms_id_in(request), "phoneNumber": PHONE})


def sms_id_in(request: bytes) -> str:
    return request.split()[1].rpartition(b"/")[2].decode()


def asked_about(server: Scripted) -> list[str]:
    return [sms_id_in(request) for request in server.requests]


def limited(minutes: float) -> list[Part]:
    return answer(429, {"message": "rate limit", "waitMinutes": minutes, "maxRequests": 1, "timeWindowMinutes": 1})


def silent(database: Database, sms_id: str = "sms-1", at: datetime = NOW) -> UUID:
    """A message OTPIQ took at `at`, and never spoke of again."""
    return add_message(database, at, sms_id=sms_id, facts=[Fact(at=at, sms_id=sms_id)])


def test_a_silent_message_is_asked_about_at_growing_intervals_and_last_after_72_hours(
    database: Database, hire: Hire, clock: Clock
) -> None:
    message = silent(database)
    asked_at = []
    with Scripted(known()) as server:
        worker = hire(server.base_url)
        while (due_at := get_message(database, message).track_at) is not None and len(asked_at) < 20:
            clock.now = due_at
            worker.ask_next()
            asked_at.append(due_at - NOW)
    minutes = [1, 6, 21, 81, 441, 441 + 1440, 441 + 2880, 72 * 60]
    assert asked_at == [timedelta(minutes=minute) for minute in minutes]
    assert len(server.requests) == len(minutes) == get_message(database, message).tracked
    assert get_message(database, message).last_fact_at == NOW


def test_nobody_is_asked_before_the_time_has_come(database: Database, hire: Hire, clock: Clock) -> None:
    silent(database)
    with Scripted(known()) as server:
        worker = hire(server.base_url)
        clock.pass_(seconds=59)
        assert worker.ask_next() > 0
        assert server.requests == []
        clock.pass_(seconds=1)
        worker.ask_next()
        assert len(server.requests) == 1


def test_the_most_overdue_message_comes_first(database: Database, hire: Hire, clock: Clock) -> None:
    for hours in (1, 3, 2):
        silent(database, f"sms-{hours}", NOW - timedelta(hours=hours))
    with Scripted(known()) as server:
        worker = hire(server.base_url)
        for _turn in range(3):
            clock.pass_(seconds=worker.ask_next())
    assert asked_about(server) == ["sms-3", "sms-2", "sms-1"]


def test_what_it_learns_ends_the_asking(database: Database, hire: Hire, clock: Clock) -> None:
    message = silent(database)
    clock.pass_(hours=1)
    with Scripted(known(status="delivered", isFinalStatus=True)) as server:
        worker = hire(server.base_url)
        worker.ask_next()
        clock.pass_(hours=100)
        worker.ask_next()
    row = get_message(database, message)
    assert (row.status, row.track_at, row.charged_iqd, len(server.requests)) == ("delivered", None, 60, 1)
    assert counted(database) == recounted(database)


def test_a_message_with_a_final_word_and_a_cost_or_without_an_smsid_is_never_asked_about(
    database: Database, hire: Hire, clock: Clock
) -> None:
    add_message(database, sms_id="sms-1", facts=[Fact(at=NOW, word="delivered", channel="sms", cost_iqd=60)])
    failed = Fact(at=NOW, word="failed", channel="sms", is_final=True, cost_iqd=60)
    add_message(database, sms_id="sms-2", facts=[failed])
    add_message(database, send_state="rejected")
    add_message(database, facts=[Fact(at=NOW, word="sent", channel="sms")])
    clock.pass_(hours=100)
    with Scripted(known()) as server:
        hire(server.base_url).ask_next()
    assert server.requests == []


def test_a_callback_that_comes_while_otpiq_is_asked_ends_the_asking(
    database: Database, hire: Hire, clock: Clock
) -> None:
    message = silent(database)
    clock.pass_(minutes=1)

    def deliver_first(request: bytes) -> list[Part]:
        receiving.receive(database, [arrival(message, callback("delivered", final=True), clock.now)])
        return list(known()(request))

    with Scripted(deliver_first) as server:
        hire(server.base_url).ask_next()
    row = get_message(database, message)
    assert (row.status, row.track_at, len(server.requests)) == ("delivered", None, 1)


@pytest.mark.parametrize("script", [answer(404, {"message": "SMS not found"}), answer(500, {"message": "oops"})])
def test_an_answer_that_does_not_help_is_stored_and_counts(
    database: Database, hire: Hire, clock: Clock, script: list[Part]
) -> None:
    message = silent(database)
    clock.pass_(minutes=1)
    with Scripted(script) as server:
        hire(server.base_url).ask_next()
    row = get_message(database, message)
    assert (row.tracked, row.track_at) == (1, clock.now + timedelta(minutes=5))
    assert [exchange.kind for exchange in all_rows(database, Exchange)] == ["tracking"]


def test_what_a_delivered_message_cost_is_asked_when_its_send_did_not_tell(
    database: Database, hire: Hire, clock: Clock
) -> None:
    message = add_message(database, sms_id="sms-1", facts=[Fact(at=NOW, word="delivered", channel="sms")])
    clock.pass_(minutes=1)
    with Scripted(known(status="delivered", isFinalStatus=True)) as server:
        worker = hire(server.base_url)
        worker.ask_next()
        clock.pass_(hours=1)
        worker.ask_next()
    row = get_message(database, message)
    assert (row.charged_iqd, row.track_at, len(server.requests)) == (60, None, 1)


def test_a_source_s_message_learns_number_carrier_and_cost_by_itself(
    database: Database, hire: Hire, clock: Clock
) -> None:
    source = sources.add(database, "shop", NOW)
    receiving.receive(database, [arrival(source.id, callback("sent"))])
    clock.pass_(minutes=1)
    with Scripted(known(status="sent")) as server:
        hire(server.base_url).ask_next()
    (row,) = all_rows(database, Message)
    assert (row.phone, row.phone_end, row.carrier, row.charged_iqd) == (PHONE, PHONE[-4:], "asiacell", 60)
    assert counted(database) == recounted(database)


def test_an_unconfirmed_send_whose_smsid_could_be_read_is_settled_by_itself(
    database: Database, hire: Hire, simulator: Simulator
) -> None:
    asked_at = datetime.now(UTC) - timedelta(minutes=5)
    phone = "9647701230" + suffix_of(Misbehaviour.CUT_ANSWER)
    request = parse_send({"phoneNumber": phone, "smsType": "verification", "verificationCode": "493817"})
    stamper = Stamper((SECRET_KEY,), "http://127.0.0.1:9")
    otpiq = Otpiq(simulator.base_url, KEY)
    sent = sending.send(database, otpiq, stamper, request, Asked(by="key:checkout"), lambda: asked_at)
    assert sent.state == "unconfirmed"
    hire(simulator.base_url, lambda: datetime.now(UTC)).ask_next()
    row = get_message(database, sent.message_id)
    assert row.status != "unconfirmed"
    assert (row.at_risk_iqd, row.charged_iqd) == (0, simulator.ledger.sends[0].cost_iqd)


def test_for_ever_silent_is_shown_as_no_report_and_asked_about_no_more(
    database: Database, hire: Hire, clock: Clock
) -> None:
    message = silent(database)
    with Scripted(known(status="sent")) as server:
        worker = hire(server.base_url)
        for _quarter in range(4 * 4):
            clock.pass_(hours=6)
            worker.ask_next()
        asked = len(server.requests)
        clock.pass_(days=30)
        worker.ask_next()
    detail = figures.find_detail(database, message, clock.now)
    assert detail is not None
    assert (detail.row.status, detail.row.no_report) == ("sent", True)
    assert len(server.requests) == asked


def test_a_late_fact_lifts_no_report_and_is_followed_by_asking(database: Database, hire: Hire, clock: Clock) -> None:
    message = silent(database)
    with Scripted(known()) as server:
        worker = hire(server.base_url)
        clock.pass_(hours=73)
        worker.ask_next()
        assert get_message(database, message).track_at is None
        receiving.receive(database, [arrival(message, callback("sent"), clock.now)])
        detail = figures.find_detail(database, message, clock.now)
        assert detail is not None
        assert not detail.row.no_report
        clock.pass_(minutes=1)
        worker.ask_next()
    assert len(server.requests) == 2


def test_check_now_changes_nothing_about_when_it_is_asked_by_itself(database: Database, clock: Clock) -> None:
    message = silent(database)
    before = get_message(database, message)
    with Scripted(known(status="sent")) as server:
        assert tracking.check(database, Otpiq(server.base_url, KEY), message, clock)
    row = get_message(database, message)
    assert (row.status, row.track_at, row.tracked) == ("sent", before.track_at, 0)


# Many workers


def at_once(workers: list[Worker], work: Callable[[Worker], object]) -> None:
    start = threading.Barrier(len(workers))

    def begin(worker: Worker) -> None:
        start.wait()
        work(worker)

    threads = [threading.Thread(target=begin, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)


def test_eight_workers_together_ask_no_faster_than_the_rate(database: Database, hire: Hire, clock: Clock) -> None:
    for number in range(8):
        silent(database, f"sms-{number}")
    clock.pass_(hours=1)
    with Scripted(known()) as server:
        workers = [hire(server.base_url) for _ in range(8)]
        for turns in (1, 2, 3, 4):
            at_once(workers, lambda worker: worker.ask_next(per_minute=30))
            clock.pass_(seconds=1.9)
            at_once(workers, lambda worker: worker.ask_next(per_minute=30))
            assert len(server.requests) == turns
            clock.pass_(seconds=0.1)


@pytest.mark.parametrize("crew", [2, 8])
def test_workers_at_once_never_ask_about_the_same_message_twice(database: Database, hire: Hire, crew: int) -> None:
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    for number in range(24):
        silent(database, f"sms-{number}", an_hour_ago)

    def work(worker: Worker) -> None:
        while (wait_s := worker.ask_next(per_minute=6000)) < 1:
            time.sleep(wait_s)

    with Scripted(lambda request: [0.05, *known()(request)]) as server:
        at_once([hire(server.base_url, lambda: datetime.now(UTC)) for _ in range(crew)], work)
    assert sorted(asked_about(server)) == sorted(f"sms-{number}" for number in range(24))
    assert {row.tracked for row in all_rows(database, Message)} == {1}


def test_a_429_is_obeyed_by_all_and_costs_nobody_its_place(database: Database, hire: Hire, clock: Clock) -> None:
    first, second = silent(database, "sms-1"), silent(database, "sms-2", NOW + timedelta(seconds=1))
    clock.pass_(hours=1)
    before = get_message(database, first).track_at
    with Scripted(limited(5), known()) as server:
        one, other = hire(server.base_url), hire(server.base_url)
        one.ask_next()
        assert (get_message(database, first).track_at, get_message(database, first).tracked) == (before, 0)
        clock.pass_(minutes=4, seconds=59)
        assert [one.ask_next(), other.ask_next()] == [1.0, 1.0]
        assert len(server.requests) == 1
        clock.pass_(seconds=1)
        clock.pass_(seconds=other.ask_next())
        one.ask_next()
    assert asked_about(server) == ["sms-1", "sms-1", "sms-2"]
    assert [get_message(database, message).tracked for message in (first, second)] == [1, 1]
    assert {exchange.outcome for exchange in all_rows(database, Exchange)} == {"ok"}


def test_an_odd_wait_does_not_end_all_asking(database: Database, hire: Hire, clock: Clock) -> None:
    silent(database)
    clock.pass_(hours=1)
    with Scripted(limited(10**11), known()) as server:
        worker = hire(server.base_url)
        worker.ask_next()
        clock.pass_(days=1)
        worker.ask_next()
    assert len(server.requests) == 2


def test_check_now_is_refused_without_a_call_while_otpiq_wants_a_pause(
    database: Database, hire: Hire, clock: Clock
) -> None:
    message = silent(database)
    clock.pass_(hours=1)
    with Scripted(limited(5), known()) as server:
        hire(server.base_url).ask_next()
        otpiq = Otpiq(server.base_url, KEY)
        with pytest.raises(RateLimited):
            tracking.check(database, otpiq, message, clock)
        assert len(server.requests) == 1
        clock.pass_(minutes=5)
        tracking.check(database, otpiq, message, clock)
    told = [(exchange.outcome, exchange.words) for exchange in all_rows(database, Exchange)]
    assert told == [("rate", "not asked: OTPIQ wants no question before 10:05 UTC"), ("ok", "pending")]


def test_a_429_to_check_now_makes_the_workers_wait(database: Database, hire: Hire, clock: Clock) -> None:
    message = silent(database)
    clock.pass_(hours=1)
    with Scripted(limited(5), known()) as server:
        with pytest.raises(RateLimited):
            tracking.check(database, Otpiq(server.base_url, KEY), message, clock)
        assert hire(server.base_url).ask_next() == 5 * 60
    assert len(server.requests) == 1
