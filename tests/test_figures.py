import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, insert

from webhook_app import figures, receiving, sources
from webhook_app.database import Database
from webhook_app.figures import Filter
from webhook_app.ids import new_id
from webhook_app.models import BalanceReading, Message
from webhook_app.stamp import Stamper
from webhook_app.status import NOTHING, Fact, Status, to_json

from .rows import NOW, PHONE, add_message, all_rows, arrival, callback

BAGHDAD = ZoneInfo("Asia/Baghdad")
DELIVERED = {"delivered", "read"}
FAILED = {"failed", "rejected", "throttled", "unsent"}


def fill(database: Database, messages: int, *, apart: timedelta = timedelta(minutes=1)) -> list[Message]:
    """Messages backwards from NOW, of every state, carrier and type."""
    rng = random.Random(messages)
    shop = sources.add(database, "shop", NOW).id
    for number in range(messages):
        at = NOW - number * apart
        word, channel = rng.choice(["sent", "failed", "delivered", "read"]), rng.choice(["sms", "whatsapp"])
        said = [Fact(at=at, word=word, channel=channel, is_final=rng.random() < 0.5, cost_iqd=rng.choice([60, 80]))]
        add_message(
            database,
            at,
            facts=said if rng.random() < 0.7 else [],
            send_state=rng.choice([Status.ACCEPTED, Status.UNCONFIRMED, Status.REJECTED, Status.UNSENT]),
            carrier=rng.choice(["zain", "korek", "asiacell"]),
            sms_type=rng.choice(["verification", "custom"]),
            source_id=shop if rng.random() < 0.2 else None,
            estimate_iqd=80,
        )
    return all_rows(database, Message)[::-1]


@contextmanager
def queries(database: Database) -> Iterator[list[str]]:
    """The statements run inside the block."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield seen
    event.remove(database.engine, "before_cursor_execute", note)


# Paging


@pytest.mark.parametrize("filter_", [Filter(), Filter(status="delivered"), Filter(carrier="zain", sms_type="custom")])
def test_paging_skips_and_repeats_nothing_both_ways(database: Database, filter_: Filter) -> None:
    all_of_them = fill(database, 60)
    wanted = [
        row.id
        for row in all_of_them
        if filter_.status in (None, row.status)
        and filter_.carrier in (None, row.carrier)
        and filter_.sms_type in (None, row.sms_type)
    ]
    there = [figures.page(database, filter_, BAGHDAD, NOW, limit=7)]
    while there[-1].older:
        there.append(figures.page(database, filter_, BAGHDAD, NOW, before=there[-1].older, limit=7))
    back = [there[-1]]
    while back[-1].newer:
        back.append(figures.page(database, filter_, BAGHDAD, NOW, after=back[-1].newer, limit=7))
    assert [row.id for page in there for row in page.rows] == wanted
    assert [row.id for page in reversed(back) for row in page.rows] == wanted


def test_messages_that_come_in_meanwhile_move_no_page(database: Database) -> None:
    fill(database, 20)
    first = figures.page(database, Filter(), BAGHDAD, NOW, limit=5)
    expected = figures.page(database, Filter(), BAGHDAD, NOW, before=first.older, limit=5)
    for second in range(1, 4):
        add_message(database, NOW + timedelta(seconds=second))
    assert figures.page(database, Filter(), BAGHDAD, NOW, before=first.older, limit=5).rows == expected.rows


def test_an_empty_list_has_no_edges(database: Database) -> None:
    page = figures.page(database, Filter(), BAGHDAD, NOW)
    assert (page.rows, page.newer, page.older) == ((), None, None)


@pytest.mark.parametrize("count", [7, 8])
def test_the_last_page_has_no_older_one(database: Database, count: int) -> None:
    for second in range(count):
        add_message(database, NOW + timedelta(seconds=second))
    page = figures.page(database, Filter(), BAGHDAD, NOW, limit=7)
    assert (page.newer, page.older is None) == (None, count == 7)


@pytest.mark.parametrize("limit", [0, 1, 499, 500, 501, 5000])
def test_every_message_is_listed_up_to_the_limit(database: Database, limit: int) -> None:
    with database.transaction() as session:
        session.execute(insert(Message), [bare(second) for second in range(600)])
    rows = list(figures.every_message(database, Filter(), BAGHDAD, NOW, limit=limit))
    assert len(rows) == min(limit, 600)
    assert len({row.id for row in rows}) == len(rows)
    assert rows == sorted(rows, key=lambda row: row.id, reverse=True)


def bare(second: float, **columns: object) -> dict[str, object]:
    at = NOW - timedelta(seconds=second)
    usual = {"id": new_id(at), "created_at": at, "asked_by": "test", "is_sample": False, "carrier": "zain"}
    derived = {"send_state": "accepted", "status": "accepted", "closed": False, "delivery": to_json(NOTHING)}
    return usual | derived | {"sms_type": "custom"} | columns


@given(since=st.integers(-3, 1), days=st.integers(0, 3))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_days_are_baghdads_and_both_ends_belong(database: Database, since: int, days: int) -> None:
    if not all_rows(database, Message):
        fill(database, 48, apart=timedelta(hours=1, minutes=30))
    first = NOW.astimezone(BAGHDAD).date() + timedelta(days=since)
    last = first + timedelta(days=days)
    found = figures.page(database, Filter(since=first, until=last), BAGHDAD, NOW, limit=100)
    wanted = [
        row.id for row in all_rows(database, Message) if first <= row.created_at.astimezone(BAGHDAD).date() <= last
    ]
    assert [row.id for row in found.rows] == wanted[::-1]


def test_a_message_at_midnight_belongs_to_the_day_that_begins(database: Database) -> None:
    midnight = datetime(2026, 11, 21, 21, 0, tzinfo=UTC)  # 00:00 of the 22nd in Baghdad
    before, after = add_message(database, midnight - timedelta(milliseconds=1)), add_message(database, midnight)

    def listed(day: int) -> list[object]:
        filter_ = Filter(since=date(2026, 11, day), until=date(2026, 11, day))
        return [row.id for row in figures.page(database, filter_, BAGHDAD, NOW).rows]

    assert (listed(21), listed(22)) == ([before], [after])


# Tabs


def test_tabs_count_each_status_under_the_other_conditions(database: Database) -> None:
    rows = fill(database, 60)
    tabs = figures.tabs(database, Filter(status="sent", carrier="zain"), BAGHDAD)
    of_zain = [row.status for row in rows if row.carrier == "zain"]
    assert {tab.status: tab.count for tab in tabs} == {
        None: len(of_zain),
        **{str(name): of_zain.count(name) for name in Status},
    }


def test_a_tab_stops_counting_at_the_cap(database: Database) -> None:
    with database.transaction() as session:
        session.execute(insert(Message), [bare(number / 10) for number in range(10_010)])
    counts = {tab.status: tab.count for tab in figures.tabs(database, Filter(), BAGHDAD)}
    assert (counts[None], counts["accepted"], counts["failed"]) == (10_001, 10_001, 0)


# Search


@pytest.mark.parametrize(
    "query",
    [
        *("9647701234567", "0770 123 4567", "7701234567", "+964-770-123-4567", "٠٧٧٠١٢٣٤٥٦٧", "4567", "٤٥٦٧", " 4567 "),
        *("sms-42", "order-7", " order-7\n"),
    ],
)
def test_a_message_is_found_by_whatever_one_has(database: Database, query: str) -> None:
    wanted = add_message(database, sms_id="sms-42", reference="order-7")
    add_message(database, phone="9647801234568", phone_end="4568", sms_id="sms-43", reference="order-8")
    assert [row.id for row in figures.search(database, query, NOW).rows] == [wanted]


@pytest.mark.parametrize("form", [str, lambda id_: id_.hex, lambda id_: str(id_).upper()])
def test_a_message_is_found_by_our_id(database: Database, form: Callable[[object], str]) -> None:
    wanted = add_message(database)
    add_message(database)
    assert [row.id for row in figures.search(database, form(wanted), NOW).rows] == [wanted]


@pytest.mark.parametrize("query", ["", "   ", "%", "____", "1", "456", "sms-", "0'; --", "a\0b", "\ud800", "x" * 9000])
def test_what_matches_nothing_finds_nothing(database: Database, query: str) -> None:
    add_message(database, sms_id="sms-42", reference="order-7")
    assert figures.search(database, query, NOW).rows == ()


def test_a_search_pages_through_all_it_finds(database: Database) -> None:
    made = [add_message(database, NOW + timedelta(seconds=number)) for number in range(12)]
    made.append(
        add_message(database, NOW + timedelta(minutes=1), phone="9647801230000", phone_end="0000", sms_id=PHONE)
    )
    found = [figures.search(database, PHONE, NOW, limit=5)]
    while found[-1].older:
        found.append(figures.search(database, PHONE, NOW, before=found[-1].older, limit=5))
    assert [row.id for page in found for row in page.rows] == made[::-1]


# Overview


def test_a_bad_hour_stands_out(database: Database) -> None:
    for minute in range(120):
        at = NOW - timedelta(hours=3) + timedelta(minutes=minute)
        word = "failed" if 60 <= minute < 90 else "delivered"
        add_message(database, at, facts=[Fact(at=at, word=word, is_final=True)], carrier="korek")
    worst = figures.overview(database, figures.range_of("today", BAGHDAD, NOW)).worst
    assert worst is not None
    assert (worst.start, worst.failed, worst.delivered) == (NOW - timedelta(hours=2), 30, 30)


def test_a_store_without_messages_has_an_overview(database: Database) -> None:
    shown = figures.overview(database, figures.range_of("7d", BAGHDAD, NOW))
    assert (shown.messages, shown.delivered_percent, shown.spend_iqd, shown.worst) == (0, None, 0, None)


# One message, the frame, the sources


def test_the_timeline_tells_the_whole_story_in_order(database: Database, at: Callable[[float], datetime]) -> None:
    message = add_message(database, at(0))
    story = [("failed", "whatsapp", 30), ("sent", "sms", 31), ("delivered", "sms", 35)]
    for word, channel, second in story:
        receiving.receive(database, [arrival(message, callback(word, channel, final=word == "delivered"), at(second))])
    receiving.receive(database, [arrival(message, b"?", at(40)), arrival(message, b"?", at(41))])
    detail = figures.find_detail(database, message, at(60))
    assert detail is not None
    assert [(step.kind, step.word, step.gap_s, step.repeats) for step in detail.steps] == [
        ("asked", None, None, 0),
        ("callback", "failed", 30, 0),
        ("callback", "sent", 1, 0),
        ("callback", "delivered", 4, 0),
        ("callback", None, 5, 1),
    ]
    assert [(hop.channel, hop.outcome) for hop in detail.row.hops] == [("whatsapp", "failed"), ("sms", "delivered")]
    assert (detail.row.took_s, detail.closed) == (35, True)


def test_an_unknown_message_has_no_detail(database: Database) -> None:
    assert figures.find_detail(database, new_id(NOW), NOW) is None


@pytest.mark.parametrize(("hours", "no_report"), [(72, False), (72.1, True)])
def test_an_open_message_without_news_for_72_hours_is_labelled(
    database: Database, hours: float, no_report: bool
) -> None:
    add_message(database, NOW - timedelta(hours=hours + 5), facts=[Fact(at=NOW - timedelta(hours=hours), word="sent")])
    (row,) = figures.page(database, Filter(), BAGHDAD, NOW).rows
    assert (row.no_report, row.status) == (no_report, "sent")


def test_the_light_tells_whether_callbacks_come(database: Database) -> None:
    lights = [figures.frame(database, "live", NOW).light]
    message = add_message(database, NOW - timedelta(minutes=6))
    lights.append(figures.frame(database, "live", NOW).light)
    receiving.receive(database, [arrival(message, callback("sent"))])
    lights.append(figures.frame(database, "live", NOW).light)
    assert lights == ["none", "silent", "ok"]


def test_the_newest_balance_is_shown(database: Database) -> None:
    with database.transaction() as session:
        for minute, iqd in ((0, 900), (5, 700)):
            at = NOW + timedelta(minutes=minute)
            session.add(BalanceReading(id=new_id(at), at=at, iqd=iqd))
    assert figures.latest_balance_iqd(database) == figures.frame(database, "live", NOW).balance_iqd == 700


def test_sources_are_listed_with_what_came_in(database: Database, stamper: Stamper) -> None:
    shop, _other = sources.add(database, "shop", NOW), sources.add(database, "other", NOW)
    receiving.receive(database, [arrival(shop.id, callback("sent", smsId=f"sms-{n}"), NOW) for n in range(3)])
    other, row = figures.source_rows(database, stamper)
    assert (row.name, row.messages, row.last_message_at) == ("shop", 3, NOW)
    assert (other.name, other.messages, other.last_message_at) == ("other", 0, None)
    assert stamper.check(str(row.address.id), row.address.secret.encode())


# What it costs

QUESTIONS: dict[str, Callable[[Database], object]] = {
    "page": lambda database: figures.page(database, Filter(), BAGHDAD, NOW),
    "page of a status": lambda database: figures.page(database, Filter(status="delivered"), BAGHDAD, NOW),
    "tabs": lambda database: figures.tabs(database, Filter(), BAGHDAD),
    "search": lambda database: figures.search(database, "4567", NOW),
    "overview": lambda database: figures.overview(database, figures.range_of("30d", BAGHDAD, NOW)),
    "frame": lambda database: figures.frame(database, "live", NOW),
    "sources": lambda database: figures.source_rows(database, Stamper(("k" * 40,), "https://wasl.example.iq")),
    "detail": lambda database: figures.find_detail(database, all_rows(database, Message)[0].id, NOW),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_page_asks_as_often_for_many_messages_as_for_few(database: Database, question: str) -> None:
    fill(database, 40)
    QUESTIONS[question](database)  # a first connection asks more
    with queries(database) as few:
        QUESTIONS[question](database)
    shops = [sources.add(database, f"source {number}", NOW).id for number in range(30)]
    with database.transaction() as session:
        rows = [bare(n + 0.5, phone=PHONE, phone_end="4567", source_id=shops[n % 30]) for n in range(400)]
        session.execute(insert(Message), rows)
    with queries(database) as many:
        QUESTIONS[question](database)
    assert few
    assert len(many) == len(few)
    # SQLAlchemy writes "OFFSET 0" for SQLite.
    assert database.is_sqlite or not any("OFFSET" in statement for statement in many)


def test_a_night_with_few_failures_is_no_jump(database: Database) -> None:
    midnight = datetime(2026, 11, 21, 21, 5, tzinfo=UTC)
    for number in range(250):
        word = "failed" if number < 10 else "delivered"
        add_message(database, midnight, facts=[Fact(at=midnight, word=word, channel="sms", is_final=True)])
    shown = figures.overview(database, figures.range_of("today", BAGHDAD, midnight + timedelta(minutes=5)))
    assert (shown.messages, shown.worst) == (250, None)


def test_how_long_a_sources_message_took_is_not_known(database: Database) -> None:
    source = sources.add(database, "shop", NOW)
    receiving.receive(database, [arrival(source.id, callback("delivered", final=True))])
    (row,) = figures.page(database, Filter(), BAGHDAD, NOW).rows
    assert (row.status, row.took_s) == ("delivered", None)
