"""The one reader of counts: what it says is what a slow, obvious look at every message says."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from itertools import combinations, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from webhook_app import counting, receiving, sources
from webhook_app.database import Database
from webhook_app.figures import tallies
from webhook_app.models import COUNT_SUMS, PART_KEY, PART_SUMS, CellTally, HourTally, Message, PartTally
from webhook_app.status import Fact, Status

from .rows import (
    NOW,
    add_message,
    all_rows,
    arrival,
    callback,
    counted,
    hour_of,
    may_be_charged,
    parts_counted,
    parts_recounted,
    recounted,
    slot_of,
)

Named = Callable[[datetime], datetime | None]  # what an hour is called; None: it is not asked for
Began = Callable[[datetime], datetime]  # when what is counted together began

HOUR, SLOT = timedelta(hours=1), timedelta(minutes=5)
ALWAYS = (NOW - 1000 * HOUR, NOW + 1000 * HOUR)
TOLD = st.tuples(
    st.sampled_from(["sent", "failed", "delivered", "read", "held"]),
    st.sampled_from(["sms", "whatsapp", "telegram", "pigeon"]),
    st.booleans(),
    st.integers(-5, 100_000).map(lambda seconds: seconds / 7),
    st.sampled_from([None, "", "No such number", "لا يوجد واتساب", "x" * 300]),
)
STORY = st.fixed_dictionaries(
    {
        "hours": st.integers(0, 75),
        "told": st.lists(TOLD, max_size=4),
        "provider": st.sampled_from([None, "auto", "whatsapp-sms", "sms", "smoke"]),
        "carrier": st.sampled_from(["zain", "korek"]),
        "send_state": st.sampled_from(
            [Status.ACCEPTED, Status.REJECTED, Status.THROTTLED, Status.UNSENT, Status.UNCONFIRMED]
        ),
        "kind": st.sampled_from([None, "credit", "not_sent"]),
        "cost_iqd": st.sampled_from([None, 0, 80]),
        "is_sample": st.booleans(),
        "folds": st.booleans(),
    }
)


def live(database: Database, story: dict[str, Any], at: datetime, now: datetime | None = None) -> None:
    """A message as the story tells it."""
    cost = [Fact(at=at, cost_iqd=story["cost_iqd"])] if story["cost_iqd"] is not None else []
    columns = {name: story[name] for name in ("provider", "carrier", "send_state", "is_sample")}
    outcome = {"kind": story["kind"]} if story["kind"] else None
    message = add_message(database, at, facts=cost, outcome=outcome, estimate_iqd=60, **columns)
    for word, channel, is_final, after_s, reason in story["told"]:
        body = callback(word, channel, final=is_final, **({} if reason is None else {"reason": reason}))
        receiving.receive(database, [arrival(message, body, at + timedelta(seconds=after_s))])
    if story["folds"]:
        counting.fold(database, now)


@given(
    st.lists(STORY, max_size=4),
    st.lists(st.integers(-2, 80), min_size=2, max_size=6, unique=True).map(sorted),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happened_the_counts_are_those_of_the_messages(
    database: Database, stories: list[dict[str, Any]], hours: list[int]
) -> None:
    for story in stories:
        live(database, story, NOW + story["hours"] * HOUR)
    assert counted(database) == recounted(database)
    assert parts_counted(database) == parts_recounted(database)
    messages, parts = all_rows(database, Message), parts_recounted(database)
    edges = [NOW + each * HOUR for each in hours]
    whole = (edges[0], edges[-1])
    with database.reading() as session:
        assert tallies.hours(session, *whole) == slow_hours(messages, hours_from(*whole))
        assert tallies.days(session, edges) == slow_hours(messages, spans_of(edges))
        assert tallies.charged_iqd(session, *whole) == sum(
            row.charged_iqd or 0 for row in messages if hours_from(*whole)(hour_of(row.created_at))
        )
        for by in some_of("hour", "carrier", "channel", "status"):
            assert tallies.cells(session, *whole, *by) == slow_cells(messages, by, hours_from(*whole)), by
            assert tallies.day_cells(session, edges, *by) == slow_cells(messages, by, spans_of(edges)), by
        for by in some_of("hour", "carrier", "channel", "word", "place"):
            for part in ("took", "path", "reason"):
                found = tallies.parts(session, part, *whole, *by)
                assert found == slow_parts(parts, part, by, hours_from(*whole)), (part, by)


@given(
    st.lists(st.tuples(STORY, st.integers(0, 20), st.sampled_from([0, 0.001, 150, 299.999])), max_size=5),
    st.lists(st.integers(-1, 22), min_size=2, max_size=6, unique=True).map(sorted),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happened_the_last_hours_are_counted_by_five_minutes(
    database: Database, stories: list[tuple[dict[str, Any], int, float]], slots: list[int]
) -> None:
    now = NOW + timedelta(hours=1, minutes=35)
    for story, slot, second in stories:
        live(database, story, NOW + slot * SLOT + timedelta(seconds=second), now)
    messages, parts = all_rows(database, Message), parts_recounted(database, slot_of)
    edges = [NOW + each * SLOT for each in slots]
    within = hours_from(edges[0], edges[-1])
    with database.reading() as session:
        assert tallies.days(session, edges, by_slot=True) == slow_hours(messages, spans_of(edges), slot_of)
        for by in some_of("carrier", "channel", "status"):
            found = tallies.cells(session, edges[0], edges[-1], *by, by_slot=True)
            assert found == slow_cells(messages, by, within, slot_of), by
        for part, words in (("took", ("carrier", "place")), ("path", ("channel", "word")), ("reason", ("word",))):
            for by in some_of(*words):
                found_parts = tallies.parts(session, part, edges[0], edges[-1], *by, by_slot=True)
                assert found_parts == slow_parts(parts, part, by, within), (part, by)
                found_parts = tallies.day_parts(session, part, edges, "hour", *by, by_slot=True)
                assert found_parts == slow_parts(parts, part, ("hour", *by), spans_of(edges)), (part, by)


def some_of(*names: str) -> Iterable[tuple[str, ...]]:
    return (chosen for count in range(len(names) + 1) for chosen in combinations(names, count))


def hours_from(start: datetime, end: datetime) -> Named:
    return lambda hour: hour if start <= hour < end else None


def spans_of(edges: list[datetime]) -> Named:
    return lambda hour: next((start for start, end in pairwise(edges) if start <= hour < end), None)


def slow_hours(messages: list[Message], named: Named, began: Began = hour_of) -> list[tallies.HourCount]:
    said = [
        (said_of(row) | {"hour": named(began(row.created_at))}, amounts_of(row) | {"samples": int(row.is_sample)})
        for row in messages
    ]
    return [tallies.HourCount(**found) for found in summed(said, ("hour", "status"))]


def slow_cells(
    messages: list[Message], by: tuple[str, ...], named: Named, began: Began = hour_of
) -> list[tallies.CellCount]:
    said = [(said_of(row) | {"hour": named(began(row.created_at))}, amounts_of(row)) for row in messages]
    return [tallies.CellCount(**found) for found in summed(said, by)]


def said_of(row: Message) -> dict[str, Any]:
    return {"carrier": row.carrier, "channel": row.channel or "", "status": row.status}


def amounts_of(row: Message) -> dict[str, int]:
    risked = row.estimate_iqd or 0 if may_be_charged(row) else 0
    return dict(zip(COUNT_SUMS, (1, row.charged_iqd or 0, risked), strict=True))


def slow_parts(
    parts: Mapping[tuple[Any, ...], tuple[int, ...]], part: str, by: tuple[str, ...], named: Named
) -> list[tallies.PartCount]:
    said = [
        (dict(zip(PART_KEY, key, strict=True)) | {"hour": named(key[0])}, dict(zip(PART_SUMS, sums, strict=True)))
        for key, sums in parts.items()
    ]
    return [tallies.PartCount(**found) for found in summed([each for each in said if each[0]["part"] == part], by)]


def summed(said: Iterable[tuple[dict[str, Any], dict[str, int]]], by: tuple[str, ...]) -> list[dict[str, Any]]:
    """Added up by some of what is said; without the hours that are not asked for."""
    found: dict[tuple[Any, ...], dict[str, int]] = {}
    for words, adds in said:
        if words["hour"] is not None:
            sums = found.setdefault(tuple(words[name] for name in by), dict.fromkeys(adds, 0))
            sums.update({name: sums[name] + adds[name] for name in adds})
    return [dict(zip(by, key, strict=True)) | sums for key, sums in sorted(found.items())]


@pytest.mark.parametrize("folds", [False, True])
def test_a_range_begins_with_its_first_hour_and_ends_before_its_last(database: Database, folds: bool) -> None:
    for number in range(4):
        add_message(database, NOW + number * HOUR, facts=[Fact(at=NOW + 5 * HOUR, word="delivered")])
    if folds:
        counting.fold(database)
    with database.reading() as session:
        hours = tallies.hours(session, NOW + HOUR, NOW + 3 * HOUR)
        cells = tallies.cells(session, NOW + HOUR, NOW + 3 * HOUR, "hour")
        parts = tallies.parts(session, "took", NOW + HOUR, NOW + 3 * HOUR, "hour")
    for found in (hours, cells, parts):
        assert [each.hour for each in found] == [NOW + HOUR, NOW + 2 * HOUR]


def test_what_all_messages_have_left_is_not_told(database: Database) -> None:
    message = add_message(database)
    counting.fold(database)
    receiving.receive(database, [arrival(message, callback("sent"))])
    counting.fold(database)
    with database.reading() as session:
        assert [(each.status, each.messages) for each in tallies.hours(session, *ALWAYS)] == [("sent", 1)]


def test_nothing_is_counted_in_an_empty_store(database: Database) -> None:
    with database.reading() as session:
        assert (tallies.hours(session, *ALWAYS), tallies.cells(session, *ALWAYS)) == ([], [])
        assert tallies.parts(session, "path", *ALWAYS, "word") == []


def test_a_fallback_is_counted_with_what_it_took_and_cost(database: Database, at: Callable[[float], datetime]) -> None:
    message = add_message(database, at(0), facts=[Fact(at=at(0), cost_iqd=80)])
    for word, channel, second in (("failed", "whatsapp", 31.9), ("sent", "sms", 33), ("delivered", "sms", 36)):
        raw = callback(word, channel, final=word == "delivered")
        receiving.receive(database, [arrival(message, raw, at(second))])
    with database.reading() as session:
        (path,) = tallies.parts(session, "path", *ALWAYS, "word")
    assert path.word == "whatsapp:failed sms:delivered"
    assert (path.messages, path.seconds, path.charged_iqd) == (1, 31, 80)


def test_how_long_another_programs_message_took_is_not_known(database: Database) -> None:
    source = sources.add(database, "shop", NOW)
    receiving.receive(database, [arrival(source.id, callback("delivered", final=True))])
    with database.reading() as session:
        assert tallies.parts(session, "took", *ALWAYS) == []
        assert [each.word for each in tallies.parts(session, "path", *ALWAYS, "word")] == ["sms:delivered"]


# Seconds to deliver


@given(st.lists(st.floats(0, 10**6), min_size=1, max_size=60), st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.95, 1.0]))
@example([0.5] * 3, 0.5)
@example([0.0], 0.95)
def test_a_percentile_lies_in_the_bucket_of_the_exact_one(seconds: list[float], share: float) -> None:
    counts: dict[int, int] = defaultdict(int)
    for each in seconds:
        counts[counting.bucket_of(each)] += 1
    exact = next(each for place, each in enumerate(sorted(seconds), 1) if place >= share * len(seconds))
    low, high = counting.bucket_edges(counting.bucket_of(exact))
    found = tallies.percentile_s(counts, share)
    assert found is not None
    assert low <= found <= high * (1 + 1e-9)


def test_a_percentile_lies_further_in_its_bucket_the_more_of_it_are_within() -> None:
    low, high = counting.bucket_edges(12)
    assert tallies.percentile_s({12: 4}, 0.5) == pytest.approx((low + high) / 2)
    assert tallies.percentile_s({3: 1, 12: 4}, 0.2) == pytest.approx(counting.bucket_edges(3)[1])


def test_of_nothing_there_is_no_percentile() -> None:
    assert tallies.percentile_s({}, 0.5) is None
    assert tallies.percentile_s({4: 0}, 0.5) is None


def test_each_bucket_begins_where_the_one_before_ends_and_is_longer_by_a_fifth() -> None:
    edges = [counting.bucket_edges(bucket) for bucket in range(60)]
    assert edges[0] == (0.0, 0.5)
    for (_, end), (start, next_end) in pairwise(edges):
        assert (start, next_end) == (end, pytest.approx(1.2 * end))


@given(st.floats(0, 10**7))
def test_seconds_lie_in_the_bucket_they_are_counted_in(seconds: float) -> None:
    low, high = counting.bucket_edges(counting.bucket_of(seconds))
    assert low < seconds <= high or seconds == low == 0


def test_no_time_is_too_long_to_be_counted() -> None:
    assert counting.bucket_edges(counting.bucket_of(10.0**12))[1] > 86_400 * 365
    assert counting.bucket_of(-3.0) == 0


def test_a_month_is_read_by_its_days(database: Database, at: Callable[[float], datetime]) -> None:
    """In Baghdad; elsewhere some hours more at each end."""
    midnight = datetime(2026, 11, 1, tzinfo=ZoneInfo("Asia/Baghdad"))
    for number in range(48):
        add_message(database, midnight + number * HOUR, facts=[Fact(at=at(0), word="delivered")])
    counting.fold(database)
    with database.transaction() as session:
        for model in (HourTally, CellTally, PartTally):
            session.execute(delete(model))
    edges = [midnight + number * 24 * HOUR for number in range(3)]
    with database.reading() as session:
        assert [each.messages for each in tallies.days(session, edges)] == [24, 24]
        assert [each.messages for each in tallies.cells(session, edges[0], edges[2], "status")] == [48]
        assert [each.messages for each in tallies.parts(session, "path", edges[0], edges[2], "word")] == [48]


def test_what_is_summed_up_is_few_rows_whatever_is_sent(database: Database) -> None:
    rng = random.Random(5)
    for number in range(60):
        carrier, sender_id = rng.choice(["zain", "korek"]), f"Shop{number}"
        add_message(database, facts=[Fact(at=NOW, word="delivered")], carrier=carrier, sender_id=sender_id)
    counting.fold(database)
    with database.reading() as session:
        assert len(tallies.hours(session, *ALWAYS)) == 1
        assert len(tallies.cells(session, *ALWAYS, "hour", "carrier", "channel", "status")) == 2
