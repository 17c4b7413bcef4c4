"""The overview's figures, each against a slow and obvious computation over the messages themselves."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from math import ceil
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert

from webhook_app import counting, figures, refusals, sample
from webhook_app.database import Database
from webhook_app.figures.overview_rows import Overview
from webhook_app.figures.ranges import Range
from webhook_app.models import Intake, Message
from webhook_app.otpiq.errors import InsufficientCredit
from webhook_app.stamp import Stamper
from webhook_app.status import Fact, Status

from .conftest import PUBLIC_URL, SECRET_KEY, empty
from .rows import NOW, add_message, all_rows, may_be_charged
from .test_figures import DELIVERED, FAILED, bare, queries

BAGHDAD = ZoneInfo("Asia/Baghdad")
# The last minute of a day in Baghdad, its first one, and some time in the middle of an hour.
NOWS = [
    datetime(2026, 11, 22, 20, 59, 30, tzinfo=UTC),
    datetime(2026, 11, 22, 21, 0, tzinfo=UTC),
    NOW.replace(minute=17),
]
COUNT = 1_200


def ranges(now: datetime) -> list[Range]:
    yesterday = now.astimezone(BAGHDAD).date() - timedelta(days=1)
    named = [figures.range_of(name, BAGHDAD, now) for name in figures.RANGES]
    return [*named, figures.own_range(yesterday - timedelta(days=8), yesterday, BAGHDAD, now)]


@dataclass(frozen=True)
class Fortnight:
    """Two weeks of sample traffic, and some of every fate at the edges of Baghdad's days and of the last hours: some of
    it is folded."""

    database: Database
    now: datetime
    rows: list[Message]


@pytest.fixture(scope="module", params=NOWS, ids=str)
def fortnight(request: pytest.FixtureRequest, lasting_database: Database) -> Iterator[Fortnight]:
    """Made once: nobody writes to it."""
    database, now = lasting_database, request.param
    sample.fill(database, Stamper((SECRET_KEY,), PUBLIC_URL), COUNT, BAGHDAD, now)
    midnight = datetime.combine(now.astimezone(BAGHDAD).date(), datetime.min.time(), BAGHDAD).astimezone(UTC)
    for days in (0, 1, 6, 7, 29, 30):
        for at in (midnight - timedelta(days=days, milliseconds=1), midnight - timedelta(days=days)):
            add_of_every_fate(database, min(at, now))
    for minutes in (0, 1, 55, 59, 60, 61, 115, 119, 120, 400):
        add_of_every_fate(database, now - timedelta(minutes=minutes))
        if minutes == 59:  # what comes after this is not folded, not even later
            counting.fold(database, now)
    yield Fortnight(database, now, all_rows(database, Message))
    empty(database)


def add_of_every_fate(database: Database, at: datetime) -> None:
    def fact(word: str, after_s: float, channel: str = "sms", **more: object) -> Fact:
        return Fact(at=at + timedelta(seconds=after_s), word=word, channel=channel, cost_iqd=80, **more)  # type: ignore[arg-type]

    failed = fact("failed", 20, "whatsapp", reason="Recipient is not on WhatsApp")
    add_message(database, at, facts=[failed, fact("delivered", 31.5, is_final=True)], carrier="korek")
    add_message(database, at, facts=[failed, fact("failed", 40, is_final=True)], carrier="zain")
    add_message(database, at, facts=[failed, fact("failed", 40, is_final=True, reason="x" * 300)], carrier="other")
    add_message(database, at, facts=[failed], estimate_iqd=80)
    add_message(database, at, facts=[fact("sent", 2, is_final=True)])
    add_message(database, at, send_state=Status.UNCONFIRMED, estimate_iqd=100)
    add_message(database, at, send_state=Status.REJECTED, outcome={"kind": InsufficientCredit.kind})
    add_message(database, at, send_state=Status.UNSENT, outcome={"kind": "not_sent"})


def within(rows: Iterable[Message], start: datetime, end: datetime) -> list[Message]:
    return [row for row in rows if start <= row.created_at < end]


def of(rows: Iterable[Message], statuses: set[str]) -> list[Message]:
    return [row for row in rows if row.status in statuses]


def percent(rows: list[Message]) -> float | None:
    delivered, failed = len(of(rows, DELIVERED)), len(of(rows, FAILED))
    return 100 * delivered / (delivered + failed) if delivered + failed else None


def took_s(rows: Iterable[Message]) -> list[float]:
    return sorted(
        (row.settled_at - row.created_at).total_seconds() for row in of(rows, DELIVERED) if row.settled_at is not None
    )


def is_percentile(told: float | None, seconds: list[float], share: float) -> bool:
    """Whether so many seconds is the percentile of these, but for the width of its bucket."""
    if not seconds or told is None:
        return not seconds and told is None
    exact = seconds[ceil(share * len(seconds)) - 1]
    return abs(counting.bucket_of(told) - counting.bucket_of(exact)) <= 1


def test_tiles_and_bars_equal_the_messages(fortnight: Fortnight) -> None:
    database, now, rows = fortnight.database, fortnight.now, fortnight.rows
    for range_ in ranges(now):
        shown, current = figures.overview(database, range_), within(rows, range_.start, range_.end)
        assert shown.messages == len(current)
        assert shown.delivered_percent == pytest.approx(percent(current))
        assert shown.spend_iqd == sum(row.charged_iqd or 0 for row in current)
        assert shown.at_risk_iqd == sum(row.estimate_iqd or 0 for row in current if may_be_charged(row))
        assert is_percentile(shown.p95_s, took_s(current), 0.95)
        assert shown.has_sample == any(row.is_sample for row in current)
        for bar, (start, end) in zip(shown.buckets, pairwise(range_.edges), strict=True):
            inside = within(rows, start, end)
            assert (bar.messages, bar.spend_iqd) == (len(inside), sum(row.charged_iqd or 0 for row in inside))
            assert (bar.delivered, bar.failed) == (len(of(inside, DELIVERED)), len(of(inside, FAILED)))
        spans = [(start, end) for start, end in pairwise(range_.pace_edges) if start <= now]
        for pace, (start, end) in zip(shown.pace, spans, strict=True):
            assert is_percentile(pace, took_s(within(rows, start, end)), 0.95)


def test_how_long_it_takes_is_told_by_the_bar_or_by_the_day_where_bars_are_shorter(database: Database) -> None:
    by_range = {range_.name: range_ for range_ in ranges(NOWS[0])}
    assert all(by_range[name].pace_edges == by_range[name].edges for name in ("1h", "today", "30d"))
    week, own = by_range["7d"], by_range["own"]
    assert week.pace_edges == week.edges[::4]
    assert len(own.pace_edges) == 1 + own.days
    clocks_back = figures.own_range(date(2026, 10, 22), date(2026, 10, 26), ZoneInfo("Europe/Berlin"), NOWS[0])
    assert {at.astimezone(clocks_back.zone).hour for at in clocks_back.pace_edges} == {0}


def test_a_range_is_compared_with_as_much_of_the_one_before(fortnight: Fortnight) -> None:
    database, now, rows = fortnight.database, fortnight.now, fortnight.rows
    for range_ in ranges(now):
        shown = figures.overview(database, range_)
        whole_unit = now.replace(second=0, microsecond=0, minute=now.minute // 5 * 5 if range_.name == "1h" else 0)
        over_end = min(range_.end, whole_unit)
        length = range_.end - range_.start
        for sums, start, end in (
            (shown.over, range_.start, over_end),
            (shown.before, range_.start - length, over_end - length),
        ):
            inside = within(rows, start, end)
            assert (sums.messages, sums.spend_iqd) == (len(inside), sum(row.charged_iqd or 0 for row in inside))
            assert sums.delivered_percent == pytest.approx(percent(inside))
            assert is_percentile(sums.p95_s, took_s(inside), 0.95)


def test_carriers_and_channels_equal_the_messages(fortnight: Fortnight) -> None:
    database, now, rows = fortnight.database, fortnight.now, fortnight.rows
    for range_ in ranges(now):
        current = within(rows, range_.start, range_.end)
        found = {
            (cell.carrier, cell.channel): (cell.delivered, cell.failed, cell.messages, cell.spend_iqd)
            for cell in figures.overview(database, range_).cells
        }
        cells: dict[tuple[str, str], list[Message]] = {}
        for row in current:
            cells.setdefault((row.carrier, row.channel or ""), []).append(row)
        assert found == {
            key: (len(of(of_it, DELIVERED)), len(of(of_it, FAILED)), len(of_it), sum(r.charged_iqd or 0 for r in of_it))
            for key, of_it in cells.items()
        }


def test_the_waterfall_equals_the_messages(fortnight: Fortnight) -> None:
    database, now, rows = fortnight.database, fortnight.now, fortnight.rows
    for range_ in ranges(now):
        shown = figures.overview(database, range_).fallback
        tried = [(row, channels(row)) for row in within(rows, range_.start, range_.end) if row.closed and channels(row)]
        assert shown.messages == len(tried)
        for tier in shown.tiers:
            came = [(row, names) for row, names in tried if len(names) >= tier.place]
            ended = [row for row, names in came if len(names) == tier.place]
            assert tier.came == len(came)
            assert dict(tier.channels) == Counter(names[tier.place - 1] for _row, names in came)
            assert tier.charged_iqd == sum(row.charged_iqd or 0 for row, _names in came)
            assert tier.delivered == sum(
                row.status in DELIVERED and names.index(row.channel or "") == tier.place - 1 for row, names in came
            )
            waits = [row.fallback_s or 0 for row in ended]
            assert tier.wait_s == (pytest.approx(sum(waits) / len(waits)) if waits else None)
        assert shown.failed == sum(row.status == "failed" for row, _names in tried)
        assert shown.no_receipt == sum(row.status == "sent" for row, _names in tried)
        assert shown.messages == sum(tier.delivered for tier in shown.tiers) + shown.failed + shown.no_receipt


def channels(row: Message) -> list[str]:
    """Those that something was reported of, in the order of the routes."""
    return [
        name for name in ("whatsapp", "telegram", "sms", "?") if row.delivery["channels"].get(name, {}).get("first_at")
    ]


def test_how_long_each_carrier_takes_equals_the_messages(fortnight: Fortnight) -> None:
    database, now, rows = fortnight.database, fortnight.now, fortnight.rows
    for range_ in ranges(now):
        current = of(within(rows, range_.start, range_.end), DELIVERED)
        paces = {pace.carrier: pace for pace in figures.overview(database, range_).paces}
        assert {carrier: pace.messages for carrier, pace in paces.items()} == Counter(row.carrier for row in current)
        for carrier, pace in paces.items():
            seconds = took_s(row for row in current if row.carrier == carrier)
            assert is_percentile(pace.p50_s, seconds, 0.5)
            assert is_percentile(pace.p95_s, seconds, 0.95)


def test_the_hours_of_the_week_equal_the_messages(fortnight: Fortnight) -> None:
    database, now, rows = fortnight.database, fortnight.now, fortnight.rows
    for range_ in ranges(now):
        week = figures.overview(database, range_).week
        assert (week is None) == (range_.end - range_.start < timedelta(days=7))
        places: dict[tuple[int, int], list[Message]] = {}
        for row in of(within(rows, range_.start, range_.end), DELIVERED | FAILED):
            local = row.created_at.astimezone(BAGHDAD)
            day = ["Sat", "Sun", "Mon", "Tue", "Wed", "Thu", "Fri"].index(f"{local:%a}")
            places.setdefault((day, local.hour), []).append(row)
        for one in week or ():
            inside = places.pop((one.day, one.hour))
            assert (one.delivered, one.failed) == (len(of(inside, DELIVERED)), len(of(inside, FAILED)))
            last = max(row.created_at for row in inside)
            assert one.last_start <= last < one.last_start + timedelta(hours=1)
        assert week is None or not places


def test_reasons_equal_the_messages_and_are_all_failures(fortnight: Fortnight) -> None:
    database, now, rows = fortnight.database, fortnight.now, fortnight.rows
    for range_ in ranges(now):
        shown = figures.overview(database, range_)
        failed = of(within(rows, range_.start, range_.end), FAILED)
        reasons = Counter(
            (row.reason or "")[:200] if row.status == "failed" else f"send:{(row.outcome or {}).get('kind', '')}"
            for row in failed
        )
        assert {reason.word: reason.messages for reason in shown.reasons} == reasons
        assert sum(reason.messages for reason in shown.reasons) == shown.failed
        counts = [reason.messages for reason in shown.reasons]
        assert counts == sorted(counts, reverse=True)


def test_bars_tiles_and_cells_add_up_to_the_same(fortnight: Fortnight) -> None:
    database, now = fortnight.database, fortnight.now
    for range_ in ranges(now):
        shown = figures.overview(database, range_)
        for name in ("delivered", "failed", "waiting", "spend_iqd"):
            assert sum(getattr(bar, name) for bar in shown.buckets) == sum(getattr(c, name) for c in shown.cells)
        assert shown.messages == sum(cell.messages for cell in shown.cells)
        if shown.week is not None:
            assert sum(one.failed for one in shown.week) == shown.failed
        assert sum(pace.messages for pace in shown.paces) == shown.delivered


# Ranges


@pytest.mark.parametrize(
    ("range_", "bars", "bar"),
    [
        (figures.range_of("1h", BAGHDAD, NOW), 12, timedelta(minutes=5)),
        (figures.range_of("today", BAGHDAD, NOW), 24, timedelta(hours=1)),
        (figures.range_of("7d", BAGHDAD, NOW), 28, timedelta(hours=6)),
        (figures.range_of("30d", BAGHDAD, NOW), 30, timedelta(days=1)),
        (figures.own_range(date(2026, 11, 3), date(2026, 11, 4), BAGHDAD, NOW), 48, timedelta(hours=1)),
        (figures.own_range(date(2026, 11, 1), date(2026, 11, 3), BAGHDAD, NOW), 12, timedelta(hours=6)),
        (figures.own_range(date(2026, 9, 1), date(2026, 11, 22), BAGHDAD, NOW), 83, timedelta(days=1)),
    ],
)
def test_a_range_is_cut_into_bars_without_a_gap(range_: Range, bars: int, bar: timedelta) -> None:
    assert len(range_.edges) == bars + 1
    assert {late - early for early, late in pairwise(range_.edges)} == {bar}
    assert range_.before == range_.start - (range_.end - range_.start)


def test_the_day_a_clock_is_put_back_has_a_bar_more() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    range_ = figures.own_range(date(2026, 10, 25), date(2026, 10, 25), berlin, NOW)
    assert len(range_.edges) == 26
    assert range_.end.astimezone(berlin).date() == date(2026, 10, 26)


def test_the_last_hour_ends_with_the_five_minutes_that_run() -> None:
    range_ = figures.range_of("1h", BAGHDAD, NOW + timedelta(minutes=4, seconds=42))
    assert (range_.start, range_.end) == (NOW - timedelta(minutes=55), NOW + timedelta(minutes=5))
    assert (range_.over_end, range_.before_end) == (NOW, NOW - timedelta(hours=1))


# Is anything wrong?


def health(database: Database, now: datetime = NOW) -> figures.Health:
    return figures.overview(database, figures.range_of("today", BAGHDAD, now)).health


def add_hour(database: Database, hour: datetime, *, delivered: int, failed: int, carrier: str = "korek") -> None:
    facts = {"delivered": delivered, "failed": failed}
    for word, count in facts.items():
        for number in range(count):
            at = hour + timedelta(seconds=number)
            fact = Fact(at=at, word=word, channel="sms", is_final=True, reason="Carrier rejected the message")
            add_message(database, at, facts=[fact], carrier=carrier)


def test_an_hour_in_which_much_fails_is_a_jump_while_it_lasts(database: Database) -> None:
    for back in (5, 4, 3):
        add_hour(database, NOW - timedelta(hours=back), delivered=20, failed=0, carrier="zain")
    add_hour(database, NOW - timedelta(hours=2), delivered=5, failed=15)
    add_hour(database, NOW - timedelta(hours=1), delivered=4, failed=16)
    jump = health(database).jump
    assert jump is not None
    assert (jump.start, jump.end) == (NOW - timedelta(hours=2), NOW)
    assert (jump.carrier, jump.channel, jump.reason) == ("korek", "sms", "Carrier rejected the message")
    assert (jump.delivered, jump.failed, jump.usual_percent) == (9, 31, 100)


@pytest.mark.parametrize("is_folded", [False, True])
def test_what_is_usual_is_that_of_seven_days(database: Database, is_folded: bool) -> None:
    for back, delivered, failed in ((1, 4, 16), (24, 10, 10), (7 * 24, 30, 0), (7 * 24 + 1, 0, 40)):
        add_hour(database, NOW - timedelta(hours=back), delivered=delivered, failed=failed)
    if is_folded:
        counting.fold(database)
    jump = health(database).jump
    assert jump is not None
    assert (jump.delivered, jump.failed, jump.usual_percent) == (4, 16, 80)


def test_a_jump_that_is_over_is_when_all_was_well_again(database: Database) -> None:
    add_hour(database, NOW - timedelta(hours=5), delivered=20, failed=0)
    add_hour(database, NOW - timedelta(hours=4), delivered=5, failed=15)
    add_hour(database, NOW - timedelta(hours=1), delivered=20, failed=0)
    found = health(database)
    assert (found.jump, found.well_since, found.is_quiet) == (None, NOW - timedelta(hours=3), False)


@pytest.mark.parametrize(("delivered", "failed"), [(0, 9), (95, 10), (0, 0)])
def test_few_failures_are_no_jump(database: Database, delivered: int, failed: int) -> None:
    add_hour(database, NOW - timedelta(hours=1), delivered=delivered, failed=failed)
    found = health(database)
    assert (found.jump, found.well_since) == (None, None)
    assert found.is_quiet == (delivered + failed == 0)
    assert found.failed_all == (0 if delivered else failed)


def test_no_carrier_is_blamed_for_what_never_left(database: Database) -> None:
    add_hour(database, NOW - timedelta(hours=2), delivered=20, failed=0)
    for _ in range(12):
        add_message(database, NOW - timedelta(hours=1), send_state=Status.UNSENT, outcome={"kind": "not_sent"})
    add_hour(database, NOW - timedelta(hours=1), delivered=0, failed=1)
    found = figures.overview(database, figures.range_of("today", BAGHDAD, NOW))
    assert found.health.jump is not None
    assert (found.health.jump.carrier, found.health.jump.failed) == (None, 13)
    assert (found.worst is not None, found.worst_carrier) == (True, None)


def test_what_always_fails_is_no_jump(database: Database) -> None:
    for back in range(1, 6):
        add_hour(database, NOW - timedelta(hours=back), delivered=10, failed=12)
    assert health(database).jump is None


@pytest.mark.parametrize(
    ("counts", "is_bad"),
    [
        ({"accepted": 5, "wrong_secret": 6}, True),
        ({"accepted": 5, "wrong_secret": 4, "too_big": 9}, False),
        ({"accepted": 5, "store_away": 1}, True),
    ],
)
def test_the_last_minute_that_turned_callbacks_away_counts_too(
    database: Database, counts: dict[str, int], is_bad: bool
) -> None:
    minute = NOW - timedelta(minutes=40)
    assert set(counts) - {"accepted"} <= set(refusals.Cause)
    rows = [{"minute": minute, "what": what, "writer": "1", "callbacks": n} for what, n in counts.items()]
    with database.transaction() as session:
        session.execute(insert(Intake), rows)
    assert health(database).well_since == (minute + timedelta(minutes=1) if is_bad else None)


# What it costs


def test_the_overview_asks_as_often_for_many_messages_as_for_few(database: Database) -> None:
    asked: dict[str, Callable[[], Overview]] = {
        range_.name: lambda range_=range_: figures.overview(database, range_)  # type: ignore[misc]
        for range_ in ranges(NOW)
    }
    add_of_every_fate(database, NOW - timedelta(minutes=1))
    counts = []
    for _size in ("few", "many"):
        counts.append({name: count(database, question) for name, question in asked.items()})
        with database.transaction() as session:
            session.execute(insert(Message), [bare(second) for second in range(500)])
    assert counts[0] == counts[1]
    assert max(counts[0].values()) <= 20


def count(database: Database, question: Callable[[], Overview]) -> int:
    question()  # a first connection asks more
    with queries(database) as seen:
        question()
    return len(seen)
