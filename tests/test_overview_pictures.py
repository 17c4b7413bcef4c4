"""The overview's pictures: what each one says of itself, and where its pieces stand."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import pytest
from flask import Flask

from webhook_app import figures
from webhook_app.figures import own_range, range_of
from webhook_app.figures.fallback import fallback
from webhook_app.figures.overview_rows import Cell, Fallback, Health, Jump, Pace, ReasonCount, WeekHour
from webhook_app.figures.tallies import PartCount
from webhook_app.web.formats import carriers, charts, overview, pace, reasons, weekdays
from webhook_app.web.formats.fallback import fallback_finding, fallback_steps
from webhook_app.web.formats.sentences import change

from .rows import NOW

BAGHDAD = ZoneInfo("Asia/Baghdad")
ISOLATES = "\u2066\u2068\u2069"  # around a number with a sign, for texts that run from right to left


@pytest.fixture(autouse=True)
def reader(request: pytest.FixtureRequest) -> Iterator[None]:
    """Someone who reads English."""
    app: Flask = request.getfixturevalue("app")
    with app.test_request_context("/", headers={"Accept-Language": "en"}):
        yield


@pytest.fixture
def store_url(tmp_path: object, migrated_sqlite: object) -> str:
    """One store is enough: nothing is asked of it."""
    return f"sqlite:///{migrated_sqlite}"


def cell(carrier: str, channel: str, delivered: int, failed: int) -> Cell:
    return Cell(carrier=carrier, channel=channel, delivered=delivered, failed=failed, waiting=1, spend_iqd=80)


# Whom does it hit?


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([], "Whom it hits: nothing is settled yet"),
        ([cell("zain", "sms", 0, 0)], "Whom it hits: nothing is settled yet"),
        ([cell("zain", "sms", 9, 20)], "Whom it hits: too few messages to say"),
        ([cell("zain", "sms", 90, 0), cell("korek", "sms", 0, 20)], "Whom it hits: too few messages to say"),
        ([cell("zain", "sms", 97, 3)], "No carrier or channel stands out: 97.0% delivered"),
        (
            [cell("zain", "sms", 97, 3), cell("korek", "whatsapp", 93, 7)],
            "No carrier or channel stands out: 93.0 to 97.0% delivered",
        ),
        (
            [cell("zain", "sms", 97, 3), cell("korek", "sms", 41, 59)],
            "Korek by SMS is hit: 41.0% delivered, all others 97.0%",
        ),
        (
            [cell("zain", "sms", 97, 3), cell("korek", "", 0, 40)],
            "Sends to Korek do not leave: 0% delivered, all others 97.0%",
        ),
        (
            [
                cell("zain", "sms", 97, 3),
                *(cell(carrier, "", 0, 40) for carrier in ("zain", "korek")),
                cell("other", "", 0, 1),
            ],
            "Messages did not leave, whatever the carrier: 81",
        ),
        (
            [
                cell("zain", "sms", 970, 30),
                cell("korek", "sms", 41, 59),
                cell("zain", "", 0, 40),
                cell("korek", "", 0, 40),
            ],
            "Korek by SMS is hit: 41.0% delivered, all others 97.0%",
        ),
        (
            [cell("zain", "sms", 999, 1), cell("zain", "", 0, 40), cell("korek", "", 0, 40)],
            "No carrier or channel stands out: 99.9% delivered",
        ),
    ],
)
def test_the_table_says_whom_it_hits(cells: list[Cell], said: str) -> None:
    assert carriers.carriers_finding(cells) == said


@pytest.mark.parametrize(
    ("percent", "settled", "tone"),
    [(None, 0, "few"), (10.0, 29, "few"), (95.0, 30, "ok"), (94.9, 30, "wait"), (85.0, 30, "wait"), (84.9, 30, "bad")],
)
def test_a_rate_of_few_has_no_colour(percent: float | None, settled: int, tone: str) -> None:
    assert carriers.rate_tone(percent, settled) == tone


def test_the_table_has_a_place_for_every_cell_in_the_usual_order() -> None:
    found = [cell("other", "", 1, 0), cell("korek", "?", 1, 0), cell("zain", "sms", 1, 0), cell("zain", "pigeon", 1, 0)]
    grid = carriers.cell_grid(found)
    assert grid.channels == ("SMS", "Unknown channel", "pigeon", "No channel")
    assert [carrier for carrier, _cells in grid.rows] == ["zain", "korek", "other"]
    assert sum(one is not None for _carrier, cells in grid.rows for one in cells) == len(found)


# What does fallback buy?


def path(word: str, channel: str, messages: int, *, seconds: int = 0) -> PartCount:
    return PartCount(word=word, channel=channel, messages=messages, seconds=seconds, charged_iqd=80 * messages)


PATHS = [
    path("whatsapp:delivered", "whatsapp", 80),
    path("whatsapp:failed sms:delivered", "sms", 12, seconds=360),
    path("whatsapp:failed telegram:failed sms:read", "sms", 3, seconds=120),
    path("whatsapp:failed sms:failed", "sms", 4, seconds=120),
    path("sms:sent", "sms", 1),
]


def test_the_steps_of_the_waterfall_are_all_messages() -> None:
    steps = fallback_steps(fallback(PATHS))
    assert [(step.name, step.start, step.end) for step in steps] == [
        ("First channel", 0, 80),
        ("Second channel", 80, 92),
        ("Third channel", 92, 95),
        ("Failed on all of them", 95, 99),
        ("Sent; the network gives no receipts", 99, 100),
    ]
    second = fallback(PATHS).tiers[1]
    assert second.channels == (("sms", 16), ("telegram", 3))
    assert (second.delivered, second.came, second.charged_iqd, second.wait_s) == (12, 19, 1_520, 30.0)


def test_what_came_late_on_the_first_channel_needed_no_second() -> None:
    shown = fallback([path("whatsapp:read sms:delivered", "whatsapp", 40)])
    assert [(tier.came, tier.delivered) for tier in shown.tiers] == [(40, 40), (40, 0)]


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (fallback([]), "What fallback buys: nothing has come to its end yet"),
        (fallback(PATHS[:1]), "No message needed a second channel"),
        (fallback(PATHS[1:3]), "What fallback buys: too few messages to say"),
        (fallback(PATHS), "Fallback raised deliveries from 80.0 to 95.0%"),
        (
            fallback([PATHS[0], path("whatsapp:failed sms:failed", "sms", 20)]),
            "Fallback delivered nothing more than the first channel's 80.0%",
        ),
        (fallback([path("", "", 5)]), "What fallback buys: nothing has come to its end yet"),
    ],
)
def test_the_waterfall_says_what_fallback_buys(shown: Fallback, said: str) -> None:
    assert fallback_finding(shown) == said


# How long does it take?


def a_pace(carrier: str, p95_s: float, messages: int = 100) -> Pace:
    return Pace(carrier=carrier, messages=messages, p50_s=p95_s / 4, p95_s=p95_s)


@pytest.mark.parametrize(
    ("paces", "p95_s", "said"),
    [
        ([], None, "How long it takes: nothing was delivered yet"),
        ([a_pace("zain", 9.0, 29)], 9.0, "How long it takes: too few messages to say"),
        ([a_pace("zain", 9.0), a_pace("korek", 90.0, 2)], 9.0, "95 of 100 arrive within 9.0 s"),
        ([a_pace("zain", 9.0), a_pace("korek", 11.0)], 9.5, "95 of 100 arrive within 9.5 s, on all carriers alike"),
        (
            [a_pace("zain", 9.0), a_pace("korek", 38.0)],
            12.0,
            "95 of 100 arrive within 12.0 s; slowest on Korek: 38.0 s",
        ),
    ],
)
def test_the_bars_say_how_long_it_takes(paces: list[Pace], p95_s: float | None, said: str) -> None:
    assert pace.pace_finding(paces, p95_s) == said


@pytest.mark.parametrize("size", ["wide", "tall"])
def test_a_bar_goes_on_where_its_half_ends_and_the_other_way_round_when_mirrored(size: str) -> None:
    paces = [a_pace("zain", 9.0), a_pace("korek", 38.0)]
    plain, mirrored = (pace.pace_chart(paces, pace.SIZES[size], mirrored=way) for way in (False, True))
    for one, other in zip(plain.bars, mirrored.bars, strict=True):
        assert one.half_x + one.half_width == pytest.approx(one.most_x)
        assert other.most_x + other.most_width == pytest.approx(other.half_x)
        assert one.half_x == pytest.approx(plain.size.width - other.half_x - other.half_width, abs=0.2)
        assert 0 <= other.most_x < plain.size.width
    assert plain.bars[1].most_width > plain.bars[0].most_width


@pytest.mark.parametrize(("value", "shown"), [(None, ("–", "")), (11.84, ("11.8", "s")), (75.0, ("1 min 15 s", ""))])
def test_a_tile_shows_seconds_big_and_their_unit_small(value: float | None, shown: tuple[str, str]) -> None:
    assert pace.seconds_figure(value) == shown


@pytest.mark.parametrize(
    ("now", "before", "text", "tone"),
    [(12.0, 10.0, "+2.0 s", "bad"), (8.0, 10.0, "−2.0 s", "ok"), (10.5, 10.0, "+0.5 s", "few")],
)
def test_slower_is_worse_but_for_a_little(now: float, before: float, text: str, tone: str) -> None:
    moved = change(now, before, "1h", seconds=True)
    assert moved is not None
    amount, against = (told.translate(dict.fromkeys(map(ord, ISOLATES))) for told in (moved.text, moved.against))
    compared = f"vs. the hour before, without these five minutes: {now:.1f} s and {before:.1f} s"
    assert (amount, moved.tone, against) == (text, tone, compared)


def test_a_change_says_up_to_which_hour_it_compares() -> None:
    now = datetime(2026, 11, 22, 15, 40, tzinfo=UTC)
    today = range_of("today", BAGHDAD, now)
    moved = change(120, 100, today.name, overview.compared_until(today))
    assert moved is not None
    against = "vs. yesterday until 18:00: \u2066120\u2069 and \u2066100\u2069"
    assert (moved.text, moved.against) == ("\u2066+20.0%\u2069", against)
    over_a_week = change(120, 100, "7d")  # of which nothing is left out
    assert over_a_week is not None
    assert over_a_week.against == "vs. the 7 days before"
    over = own_range(date(2026, 11, 1), date(2026, 11, 7), BAGHDAD, now)
    assert [overview.compared_until(one) for one in (over, range_of("1h", BAGHDAD, now))] == ["", ""]


# When is it bad?


def an_hour(day: int, hour: int, delivered: int, failed: int, times: int = 1) -> WeekHour:
    return WeekHour(day=day, hour=hour, delivered=delivered, failed=failed, times=times, last_start=NOW)


USUAL = [an_hour(day, hour, 97, 3) for day in range(7) for hour in range(24)]


@pytest.mark.parametrize(
    ("week", "said"),
    [
        ([], "Too few messages an hour to tell the week's bad hours"),
        ([an_hour(0, 3, 0, 29)], "Too few messages an hour to tell the week's bad hours"),
        (USUAL, "No hour of the week stands out: 97.0% delivered"),
        ([*USUAL[1:], an_hour(0, 0, 60, 40)], "Worst on Saturday at 00:00: 60.0% delivered, usually 96.8%"),
    ],
)
def test_the_week_says_when_it_is_bad(week: list[WeekHour], said: str) -> None:
    assert weekdays.week_finding(week) == said


def test_the_week_starts_on_saturday_and_a_day_at_midnight() -> None:
    rows = weekdays.week_rows([an_hour(0, 0, 97, 3), an_hour(6, 23, 90, 10)], BAGHDAD)
    assert [hour for hour, _squares in rows] == [f"{hour:02}" for hour in range(24)]
    assert [weekdays.day_name(day) for day in range(7)] == [
        *("Saturday", "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
    ]
    (_midnight, first), (_last_hour, last) = rows[0], rows[-1]
    assert [square and square.text for square in first] == ["97", *[None] * 6]
    assert [square and square.text for square in last] == [*[None] * 6, "90"]


def square_of(hour: WeekHour) -> weekdays.Square:
    square = weekdays.week_rows([hour], BAGHDAD)[hour.hour][1][hour.day]
    assert square is not None
    return square


def test_a_square_says_its_numbers_and_leads_to_the_last_such_hour() -> None:
    square = square_of(an_hour(1, 12, 199, 1))
    assert square.title == "Sunday, 12:00 to 13:00: 99.5%, 199 of 200 delivered"
    assert (square.text, square.tone) == ("99", "ok")
    assert (square.percent, square.settled) == ("99.5%", "199 / 200")
    assert parse_qs(square.link) == {"from": ["2026-11-22T12:00"], "to": ["2026-11-22T13:00"]}


def test_a_square_of_several_such_hours_says_which_of_them_it_leads_to() -> None:
    square = square_of(an_hour(1, 12, 569, 431, times=4))
    assert square.text == "57"
    assert square.title == "Sunday, 12:00 to 13:00: 56.9%, 569 of 1,000 delivered. Messages of the last of them: 22 Nov"


# Why do they fail?


def test_reasons_that_mean_the_same_are_one_and_keep_their_own_words() -> None:
    counts = [
        ReasonCount(word="Absent subscriber", messages=40),
        ReasonCount(word="send:credit", messages=30),
        ReasonCount(word="Phone unreachable", messages=20),
        ReasonCount(word="", messages=6),
        ReasonCount(word="E_77 gremlins", messages=4),
    ]
    ranked = reasons.ranked_reasons(counts)
    assert [(reason.meaning, reason.messages, reason.percent) for reason in ranked] == [
        ("The phone was off or out of reach", 60, 60),
        ("The balance was too small", 30, 30),
        ("No reason was given", 6, 6),
        ("E_77 gremlins", 4, 4),
    ]
    assert [words.words for words in ranked[0].words] == ["Absent subscriber", "Phone unreachable"]
    assert ranked[1].advice == "Top up at OTPIQ, then send again."
    assert (ranked[3].advice, ranked[3].words[0].words) == (None, None)
    assert reasons.reasons_finding(ranked) == "60.0% of the failures: The phone was off or out of reach"


def test_of_very_many_reasons_the_last_are_one() -> None:
    ranked = reasons.ranked_reasons([ReasonCount(word=f"odd {n}", messages=n) for n in range(20, 0, -1)], 3)
    assert [reason.meaning for reason in ranked] == ["odd 20", "odd 19", "odd 18", "Other reasons"]
    assert sum(reason.messages for reason in ranked) == 210
    assert [(each.word, each.words) for each in ranked[3].words] == [(f"odd {n}", f"odd {n}") for n in range(17, 0, -1)]


@pytest.mark.parametrize(
    ("messages", "said"), [(0, "Why messages fail: none did"), (1, "Why the one failed"), (7, "Why the 7 failed")]
)
def test_of_few_failures_no_share_is_told(messages: int, said: str) -> None:
    counts = [ReasonCount(word="Absent subscriber", messages=messages)] if messages else []
    assert reasons.reasons_finding(reasons.ranked_reasons(counts)) == said


def test_every_kind_of_a_refused_send_has_words() -> None:
    for kind in ("credit", "threshold", "trial", "sender", "rate", "phone", "invalid", "key", "not_sent", "", "new"):
        assert reasons.counted_words(f"send:{kind}").advice


@pytest.mark.parametrize("words", ["Invalid API key", "Validation failed"])
def test_what_otpiq_says_of_a_refused_send_has_words_too(words: str) -> None:
    told = reasons.reason_words(words)
    assert told is not None
    assert told.meaning != words
    assert told.advice


# What is wrong?


def a_jump(carrier: str | None, channel: str | None) -> Jump:
    end = NOW + timedelta(hours=1)
    known = {"start": NOW, "end": end, "delivered": 41, "failed": 59, "usual_percent": 96.0}
    return Jump(**known, carrier=carrier, channel=channel, reason="Carrier rejected the message")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("carrier", "channel", "said"),
    [
        ("korek", "sms", "Korek by SMS: 41.0% delivered since 12:00"),
        ("korek", None, "Korek: 41.0% delivered since 12:00"),
        (None, "whatsapp", "WhatsApp: 41.0% delivered since 12:00"),
        (None, None, "Only 41.0% delivered since 12:00"),
    ],
)
def test_a_jump_says_whom_it_hits_and_since_when(carrier: str | None, channel: str | None, said: str) -> None:
    assert overview.jump_sentence(a_jump(carrier, channel), BAGHDAD) == said


def test_a_jump_says_what_is_usual_how_many_and_why() -> None:
    notes = overview.jump_notes(a_jump("korek", "sms"))
    assert notes == ("usually 96.0%", "100 messages", "The carrier refused the message")


@pytest.mark.parametrize(
    ("health", "said"),
    [
        (
            Health(jump=None, well_since=None, is_quiet=True, failed_all=0),
            "Nothing wrong, and nothing sent in the last 24 hours",
        ),
        (Health(jump=None, well_since=None, is_quiet=False, failed_all=0), "All well for the last 24 hours"),
        (
            Health(jump=None, well_since=None, is_quiet=False, failed_all=9),
            "No delivery was reported in the last 24 hours: 9 messages failed",
        ),
        (Health(jump=None, well_since=NOW, is_quiet=False, failed_all=0), "All well since 12:00"),
        (
            Health(jump=None, well_since=NOW - timedelta(hours=13), is_quiet=False, failed_all=0),
            "All well since Saturday, 23:00",
        ),
    ],
)
def test_all_is_well_since_the_last_trouble_unless_nothing_arrived(health: Health, said: str) -> None:
    assert overview.well_sentence(health, NOW, BAGHDAD) == said


@pytest.mark.parametrize(
    ("name", "said"), [("1h", "11:05 to 12:05"), ("today", "Sun 22 Nov"), ("7d", "Mon 16 Nov to Sun 22 Nov")]
)
def test_a_range_is_named_by_its_days(name: str, said: str) -> None:
    assert overview.range_label(figures.range_of(name, BAGHDAD, NOW)) == said


# Bars


@pytest.mark.parametrize(
    ("start", "end", "mirrored", "part"),
    [
        (0, 80, False, (0, 80)),
        (0, 80, True, (20, 80)),
        (80, 92, True, (8, 12)),
        (0, 0, False, (0, 0)),
        (99.9, 100, False, (99.2, 0.8)),
    ],
)
def test_a_bar_starts_at_the_reader_s_side_and_little_is_still_seen(
    start: float, end: float, mirrored: bool, part: tuple[float, float]
) -> None:
    found = charts.meter(start, end, mirrored=mirrored)
    assert (found.x, found.width) == part
