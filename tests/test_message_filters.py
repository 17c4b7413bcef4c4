"""What lists of messages are narrowed to: the right ones, all of them, and never more work than is promised."""

import itertools
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, event, insert

from webhook_app import figures, recounting, sources
from webhook_app.database import Database
from webhook_app.figures import NO_CHANNEL, Filter, messages, understand
from webhook_app.ids import new_id
from webhook_app.models import Message
from webhook_app.phone import mask
from webhook_app.status import NOTHING, OUTCOMES, to_json

from .rows import NOW, PHONE, add_message, all_rows, may_be_charged
from .test_figures import queries

BAGHDAD = ZoneInfo("Asia/Baghdad")
REASON = "Recipient is not on WhatsApp"
# The first of these that is asked for is looked up.
INDEXES = {
    "like": "phone_id",
    "source_id": "source_id_id",
    "at_risk": "at_risk",
    "is_repeat": "repeat",
    "carrier": "carrier_status_id",
    "channel": "channel_status_id",
    "sms_type": "sms_type_status_id",
}


@pytest.fixture
def mixed(database: Database) -> list[Message]:
    """A hundred messages that differ in everything that can be asked for, newest first."""
    rng = random.Random(4)
    shop = sources.add(database, "shop", NOW).id
    rows = []
    for number in range(100):
        at = NOW - timedelta(minutes=number)
        status = rng.choice(["delivered", "failed", "failed", "rejected", "sent"])
        rows.append(
            {
                "id": new_id(at),
                "created_at": at,
                "asked_by": "key:checkout",
                "is_sample": False,
                "phone": rng.choice([PHONE, "9647501234567"]),
                "carrier": rng.choice(["korek", "zain"]),
                "channel": rng.choice(["sms", "whatsapp", None]),
                "sms_type": rng.choice(["verification", "custom"]),
                "source_id": rng.choice([None, shop]),
                "sender_id": rng.choice([None, "MyShop"]),
                "send_state": "rejected" if status == "rejected" else rng.choice(["accepted", "unconfirmed"]),
                "is_repeat": rng.random() < 0.3,
                "charged_iqd": rng.choice([None, 80]) if status != "rejected" else None,
                "status": status,
                "closed": status != "sent",
                "reason": rng.choice([REASON, "Absent", "x" * 300]) if status == "failed" else None,
                "outcome": {"kind": rng.choice(["credit", "sender"])} if status == "rejected" else None,
                "delivery": to_json(NOTHING),
                "path": "" if status != "sent" else None,
            }
        )
    with database.transaction() as session:
        session.execute(insert(Message), rows)
    recounting.recount(database)
    return all_rows(database, Message)[::-1]


def fits(row: Message, filter_: Filter, like: str | None) -> bool:
    """The slow, obvious reading of a filter."""
    word = row.reason[:200] if row.reason else f"send:{row.outcome['kind']}" if row.outcome else None
    given = {
        "status": row.status,
        "outcome": next(name for name, statuses in OUTCOMES.items() if row.status in statuses),
        "carrier": row.carrier,
        "channel": row.channel or NO_CHANNEL,
        "sms_type": row.sms_type,
        "source_id": row.source_id,
        "sender_id": row.sender_id,
        "reason": word,
        "is_repeat": row.is_repeat and row.closed and row.status != "rejected",
        "at_risk": may_be_charged(row),
    }
    asked = {name: value for name, value in asdict(filter_).items() if value not in (None, False) and name in given}
    return all(given[name] == value for name, value in asked.items()) and like in (None, row.phone)


def combinations(rows: list[Message]) -> list[Filter]:
    source_id = next(row.source_id for row in rows if row.source_id)
    choices = {
        "status": "failed",
        "outcome": "failed",
        "carrier": "korek",
        "channel": NO_CHANNEL,
        "sms_type": "custom",
        "source_id": source_id,
        "sender_id": "MyShop",
        "reason": REASON,
        "like": rows[0].id,
        "is_repeat": True,
        "at_risk": True,
    }
    pairs = itertools.chain.from_iterable(itertools.combinations(choices, many) for many in (1, 2, 3))
    more = [Filter(reason="send:credit"), Filter(reason="x" * 200), Filter(channel="sms", outcome="waiting")]
    return [Filter(**{name: choices[name] for name in names}) for names in pairs] + more


def listed(database: Database, filter_: Filter, limit: int = 100) -> list[UUID]:
    return [row.id for row in figures.page(database, filter_, BAGHDAD, NOW, limit=limit).rows]


def test_every_combination_of_filters_finds_what_a_slow_look_finds(database: Database, mixed: list[Message]) -> None:
    for filter_ in combinations(mixed):
        like = mixed[0].phone if filter_.like else None
        wanted = [row for row in mixed if fits(row, filter_, like)]
        assert (filter_, listed(database, filter_)) == (filter_, [row.id for row in wanted])
        tabs = {tab.status: tab.count for tab in figures.tabs(database, filter_, BAGHDAD)}
        assert tabs[filter_.status] == len(wanted)


def test_a_rare_combination_is_looked_for_part_by_part_both_ways(
    database: Database, mixed: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "LOOKED_THROUGH", 6)
    filter_ = Filter(carrier="korek", sms_type="custom", sender_id="MyShop")
    there, pages = [figures.page(database, filter_, BAGHDAD, NOW, limit=5)], 1
    while there[-1].older:
        there.append(figures.page(database, filter_, BAGHDAD, NOW, before=there[-1].older, limit=5))
    back = [figures.page(database, filter_, BAGHDAD, NOW, after=UUID(int=0), limit=5)]
    while back[-1].newer:
        back.append(figures.page(database, filter_, BAGHDAD, NOW, after=back[-1].newer, limit=5))
    wanted = [row.id for row in mixed if fits(row, filter_, None)]
    assert len(there) > pages
    assert [row.id for page in there for row in page.rows] == wanted
    assert [row.id for page in reversed(back) for row in page.rows] == wanted


def test_a_page_says_how_far_it_looked(
    database: Database, mixed: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "LOOKED_THROUGH", 6)
    filter_ = Filter(sender_id="nobody's")
    page = figures.page(database, filter_, BAGHDAD, NOW)
    assert (page.rows, page.older, page.looked_to) == ((), mixed[5].id, mixed[5].created_at)
    assert figures.page(database, Filter(), BAGHDAD, NOW).looked_to is None


def test_a_count_that_did_not_look_at_all_of_them_says_so(
    database: Database, mixed: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "LOOKED_THROUGH", 6)
    every, *of_each = figures.tabs(database, Filter(sms_type="custom", carrier="korek"), BAGHDAD)
    assert every.looked_to is not None
    counted = [row for row in mixed if row.created_at >= every.looked_to]
    # All statuses over the same time: or what is rare would seem to be frequent.
    for tab in (every, *of_each):
        alike = [row for row in counted if row.carrier == "korek" and row.sms_type == "custom"]
        assert tab.count == sum(tab.status in (None, row.status) for row in alike)
        assert tab.looked_to == every.looked_to
    for whole in (Filter(carrier="korek"), Filter(sms_type="custom")):
        assert not [tab for tab in figures.tabs(database, whole, BAGHDAD) if tab.looked_to]


@pytest.mark.parametrize("channel", ["sms", NO_CHANNEL])
def test_of_a_carrier_and_a_channel_all_are_counted(
    database: Database, mixed: list[Message], monkeypatch: pytest.MonkeyPatch, channel: str
) -> None:
    monkeypatch.setattr(messages, "LOOKED_THROUGH", 6)
    cell = Filter(carrier="korek", channel=channel)
    since = NOW - timedelta(hours=1)
    for filter_ in (cell, replace(cell, outcome="failed"), replace(cell, since=since), replace(cell, until=since)):
        wanted = [row for row in mixed if fits(row, filter_, None) and is_within(row, filter_)]
        every = figures.tabs(database, filter_, BAGHDAD)[0]
        assert (every.count, every.looked_to) == (len(wanted), None)
    within_an_hour = replace(cell, since=since + timedelta(minutes=1))  # which no tally tells
    assert figures.tabs(database, within_an_hour, BAGHDAD)[0].looked_to


def is_within(row: Message, filter_: Filter) -> bool:
    since, until = filter_.since or NOW - timedelta(days=1), filter_.until or NOW + timedelta(days=1)
    assert isinstance(since, datetime)
    assert isinstance(until, datetime)
    return since <= row.created_at < until


def test_what_excludes_itself_finds_nothing(database: Database, mixed: list[Message]) -> None:
    filter_ = Filter(status="delivered", outcome="failed")
    assert listed(database, filter_) == []
    assert figures.tabs(database, Filter(status="delivered", reason=REASON), BAGHDAD)[2].count == 0


def test_a_list_and_its_tabs_ask_a_fixed_number_of_questions(database: Database, mixed: list[Message]) -> None:
    for filter_ in combinations(mixed):
        with queries(database) as asked:
            figures.page(database, filter_, BAGHDAD, NOW)
            figures.tabs(database, filter_, BAGHDAD)
        assert len([statement for statement in asked if statement.startswith("SELECT")]) <= 6


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)  # the other one plans by what it has counted
def test_a_list_is_read_by_its_own_index_alone(database: Database, mixed: list[Message]) -> None:
    """Or a few messages to one number would be looked for among all that failed."""
    for filter_ in combinations(mixed):
        with plans(database) as planned:
            figures.page(database, filter_, BAGHDAD, NOW)
            figures.tabs(database, filter_, BAGHDAD)
        used = set(re.findall(r"message USING (?:COVERING )?INDEX ix_message_(\w+)", "\n".join(planned)))
        asked = [index for name, index in INDEXES.items() if getattr(filter_, name)]
        assert used == {next(iter(asked), "status_id")}, filter_


@contextmanager
def plans(database: Database) -> Iterator[list[str]]:
    """How SQLite goes about the questions asked inside the block."""
    seen: list[str] = []

    def note(
        connection: Connection, _cursor: object, statement: str, parameters: tuple[object, ...], *_: object
    ) -> None:
        if statement.startswith("SELECT"):
            seen.extend(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    yield seen
    event.remove(database.engine, "before_cursor_execute", note)


def test_messages_to_the_number_of_one_that_has_none_are_none(database: Database) -> None:
    nameless = add_message(database, phone=None, phone_end=None)
    assert listed(database, Filter(like=nameless)) == []
    assert listed(database, Filter(like=new_id(NOW))) == []


# A search


@pytest.mark.parametrize(
    ("typed", "number", "number_end"),
    [
        ("٠٧٧٠ ١٢٣ ٤٥٦٧", PHONE, None),
        ("+964 (770) 123-4567", PHONE, None),
        ("٤٥٦٧", None, "4567"),
        (" 4567 ", None, "4567"),
        ("45 67", None, "4567"),
        ("\u200f5665\u200f", None, "5665"),
        ("\u2068٤٠٠٠\u2069", None, "4000"),
        ("45x7", None, None),
        ("order-7", None, None),
    ],
)
def test_what_was_typed_is_understood(typed: str, number: str | None, number_end: str | None) -> None:
    search = understand(typed)
    assert (search.number, search.number_end, search.words) == (number, number_end, typed.strip())


def test_a_number_is_found_as_it_is_shown(database: Database) -> None:
    number, other = "9647701231906", "9647901231906"
    found = add_message(database, NOW, phone=number, phone_end="1906")
    add_message(database, NOW, phone=other, phone_end="1906")
    add_message(database, NOW, phone=None)
    for shown in (mask(number), f"\u2066{mask(number)}\u2069", mask(number).replace(" ", "")):
        assert [row.id for row in figures.search(database, shown, NOW).rows] == [found]
        assert figures.search_count(database, shown) == 1
    foreign = add_message(database, NOW, phone="12025550100", phone_end="0100")
    assert [row.id for row in figures.search(database, mask("12025550100"), NOW).rows] == [foreign]


def test_a_search_pages_both_ways_and_counts_each_message_once(database: Database) -> None:
    start = NOW - timedelta(hours=1)
    made = [add_message(database, start + timedelta(seconds=n), reference=PHONE) for n in range(12)]
    last = figures.search(database, PHONE, NOW, after=UUID(int=0), limit=5)
    assert [row.id for row in last.rows] == made[:5][::-1]
    middle = figures.search(database, PHONE, NOW, after=last.newer, limit=5)
    assert [row.id for row in middle.rows] == made[5:10][::-1]
    assert figures.search_count(database, PHONE) == 12
