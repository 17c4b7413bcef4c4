"""The Spend page: every figure against a slow, obvious sum over the messages, at Baghdad's edges, on both stores."""

import csv
import io
import random
import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from bs4 import BeautifulSoup
from flask import Flask
from sqlalchemy import event

from webhook_app import budgets, counting, figures
from webhook_app.database import Database
from webhook_app.figures import balance, spend_rows
from webhook_app.ids import new_id
from webhook_app.models import BalanceReading, Message
from webhook_app.status import Fact, Status
from webhook_app.web.formats import spend as told

from .browsing import Browser, words
from .conftest import sign_in
from .rows import add_message, all_rows, may_be_charged

BAGHDAD = ZoneInfo("Asia/Baghdad")
NOVEMBER = date(2026, 11, 1)
MIDNIGHT = datetime(2026, 10, 31, 21, 0, tzinfo=UTC)  # where November begins in Baghdad
NOON = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def charge(database: Database, at: datetime, iqd: int | None, *, channel: str = "sms", **columns: Any) -> None:
    """A message that was delivered by `channel`, and what it cost."""
    facts = [
        Fact(at=at, sms_id="sms-1", cost_iqd=iqd),
        Fact(at=at + timedelta(seconds=5), word="delivered", channel=channel, is_final=True),
    ]
    add_message(database, at, facts=facts, **columns)


def read_balance(database: Database, at: datetime, iqd: int) -> None:
    with database.transaction() as session:
        session.add(BalanceReading(id=new_id(at), at=at, iqd=iqd))


def some_traffic(database: Database, seed: int) -> None:
    """Messages of all kinds around both ends of November, some of their counts folded and some not."""
    rng = random.Random(seed)
    for number in range(90):
        edge = rng.choice((MIDNIGHT, MIDNIGHT + 30 * DAY, MIDNIGHT + rng.randrange(30) * DAY))
        at = edge + timedelta(minutes=rng.randrange(-180, 180))
        channels = rng.sample(("whatsapp", "telegram", "sms"), rng.randrange(0, 4))
        word = rng.choice(("delivered", "read", "failed", "sent"))
        facts = [Fact(at=at, sms_id=f"sms-{number}", cost_iqd=rng.choice((None, 0, 40, 60, 80, 100)))]
        facts += [Fact(at=at + timedelta(seconds=9), word="failed", channel=channel) for channel in channels[:-1]]
        facts += [
            Fact(at=at + timedelta(seconds=30), word=word, channel=channel, is_final=True) for channel in channels[-1:]
        ]
        state = rng.choice((Status.ACCEPTED, Status.ACCEPTED, Status.UNCONFIRMED, Status.REJECTED))
        carrier = rng.choice(("zain", "asiacell", "korek", "other"))
        is_repeat = rng.random() < 0.3
        add_message(database, at, facts=facts, send_state=state, carrier=carrier, estimate_iqd=90, is_repeat=is_repeat)
        if number == 45:
            counting.fold(database)


def local_day(message: Message) -> date:
    return message.created_at.astimezone(BAGHDAD).date()


@pytest.mark.parametrize("month", [date(2026, 10, 1), NOVEMBER, date(2026, 12, 1)])
def test_a_month_equals_a_slow_sum_over_its_messages(database: Database, month: date) -> None:
    some_traffic(database, seed=month.month)
    shown = figures.spend(database, month, BAGHDAD, datetime(2026, 12, 3, 9, 0, tzinfo=UTC))
    messages = [row for row in all_rows(database, Message) if local_day(row).replace(day=1) == month]
    assert messages

    assert (shown.messages, shown.charged_iqd) == (len(messages), sum(row.charged_iqd or 0 for row in messages))
    assert shown.at_risk_iqd == sum(row.estimate_iqd or 0 for row in messages if may_be_charged(row))
    days: Counter[tuple[date, str]] = Counter()
    cells: Counter[tuple[str, str]] = Counter()
    for row in messages:
        days[local_day(row), row.channel or ""] += row.charged_iqd or 0
        cells[row.carrier, row.channel or ""] += row.charged_iqd or 0
    seen = Counter(
        {
            (day.start.astimezone(BAGHDAD).date(), channel): iqd
            for day in shown.days
            for channel, iqd in day.by_channel.items()
        }
    )
    assert +seen == +days
    assert Counter({(cell.carrier, cell.channel): cell.charged_iqd for cell in shown.cells}) == cells
    assert sum(cell.messages for cell in shown.cells) == sum(day.messages for day in shown.days) == len(messages)
    failed = [row for row in messages if row.status == "failed"]
    hopped = [row for row in messages if row.closed and " " in (row.path or "")]
    repeated = [row for row in messages if row.closed and row.is_repeat and row.status != "rejected"]
    assert shown.waste == spend_rows.Waste(
        failed=len(failed),
        failed_iqd=sum(row.charged_iqd or 0 for row in failed),
        hopped=len(hopped),
        hopped_iqd=sum(row.charged_iqd or 0 for row in hopped),
        hopped_s=sum(row.fallback_s or 0 for row in hopped) / len(hopped) if hopped else None,
        repeated=len(repeated),
        repeated_iqd=sum(row.charged_iqd or 0 for row in repeated),
    )


def test_what_was_refused_is_no_failure_that_was_paid_for(database: Database) -> None:
    add_message(database, NOON, send_state=Status.REJECTED)
    facts = [Fact(at=NOON, sms_id="sms-1", cost_iqd=80), Fact(at=NOON, word="failed", channel="sms", is_final=True)]
    add_message(database, NOON, facts=facts)
    waste = figures.spend(database, NOVEMBER, BAGHDAD, NOON).waste
    assert (waste.failed, waste.failed_iqd) == (1, 80)


def test_what_otpiq_did_not_take_makes_no_message_cheaper(database: Database) -> None:
    for state in (Status.REJECTED, Status.THROTTLED, Status.UNSENT, Status.UNCONFIRMED, Status.QUEUED):
        add_message(database, NOON, send_state=state)
    charge(database, NOON, 60)
    charge(database, NOON, 80)
    shown = figures.spend(database, NOVEMBER, BAGHDAD, NOON)
    assert (shown.messages, shown.taken, shown.average_iqd) == (7, 2, 70)
    assert sorted((cell.average_iqd or 0) for cell in shown.cells) == [0, 70]


def test_the_accountant_s_lines_add_up_to_the_page(database: Database) -> None:
    some_traffic(database, seed=5)
    shown = figures.spend(database, NOVEMBER, BAGHDAD, NOON + 30 * DAY)
    lines = figures.day_cells(database, NOVEMBER, BAGHDAD)
    sums = [sum(getattr(line, name) for line in lines) for name in ("messages", "charged_iqd", "at_risk_iqd")]
    assert sums == [shown.messages, shown.charged_iqd, shown.at_risk_iqd]
    assert {line.day.month for line in lines} == {11}
    assert [line.day for line in lines] == sorted(line.day for line in lines)


def test_the_month_begins_and_ends_at_baghdad_s_midnight(database: Database) -> None:
    for edge in (MIDNIGHT, MIDNIGHT + 30 * DAY):
        charge(database, edge - timedelta(seconds=1), 1)
        charge(database, edge, 100)
    shown = figures.spend(database, NOVEMBER, BAGHDAD, NOON + 30 * DAY)
    assert shown.charged_iqd == 101
    assert [day.charged_iqd for day in shown.days] == [100, *[0] * 28, 1]


def test_what_is_not_charged_yet_is_at_risk_and_not_spent(database: Database) -> None:
    add_message(database, NOON, send_state=Status.UNCONFIRMED, estimate_iqd=80)
    shown = figures.spend(database, NOVEMBER, BAGHDAD, NOON)
    assert (shown.charged_iqd, shown.at_risk_iqd) == (0, 80)


def test_the_whole_days_are_held_against_as_many_of_the_month_before(database: Database) -> None:
    charge(database, datetime(2026, 10, 21, 9, 0, tzinfo=UTC), 40)
    charge(database, datetime(2026, 10, 22, 9, 0, tzinfo=UTC), 5)  # beside today, which is not over
    charge(database, NOON - DAY, 60)
    charge(database, NOON, 7)
    shown = figures.spend(database, NOVEMBER, BAGHDAD, NOON)
    assert (shown.over_iqd, shown.before_iqd) == (60, 40)


def test_a_month_that_is_over_is_held_against_the_whole_month_before(database: Database) -> None:
    charge(database, datetime(2026, 10, 31, 9, 0, tzinfo=UTC), 40)
    charge(database, NOON, 60)
    shown = figures.spend(database, NOVEMBER, BAGHDAD, NOON + 30 * DAY)
    assert (shown.over_iqd, shown.before_iqd, shown.forecast) == (60, 40, None)


def test_the_forecast_takes_each_coming_day_as_its_weekday(database: Database) -> None:
    for back in range(30):
        at = NOON - back * DAY
        charge(database, at, 1_000 if at.astimezone(BAGHDAD).strftime("%a") == "Fri" else 100)
    shown = figures.spend(database, NOVEMBER, BAGHDAD, NOON)
    # 22 November is a Sunday, half of it to come at noon; then eight days with one Friday among them.
    so_far = 19 * 100 + 3 * 1_000
    assert shown.forecast == spend_rows.Forecast(iqd=so_far + 50 + 7 * 100 + 1_000, by="weekday", days=28)


def test_with_few_days_behind_it_the_forecast_is_the_average_day_and_says_so(database: Database) -> None:
    for back, iqd in ((3, 9_999), (2, 100), (1, 200), (0, 60)):  # the first day was no whole one
        charge(database, NOON - back * DAY, iqd)
    shown = figures.spend(database, NOVEMBER, BAGHDAD, NOON)
    so_far = 9_999 + 100 + 200 + 60
    assert shown.forecast == spend_rows.Forecast(iqd=so_far + 75 + 8 * 150, by="day", days=2)


def test_before_a_whole_day_is_over_there_is_no_forecast(database: Database) -> None:
    assert figures.spend(database, NOVEMBER, BAGHDAD, NOON).forecast is None
    charge(database, NOON - timedelta(hours=20), 80)
    assert figures.spend(database, NOVEMBER, BAGHDAD, NOON).forecast is None


def test_the_balance_is_the_last_one_told_before_each_midnight(database: Database) -> None:
    for at, iqd in (
        (MIDNIGHT - timedelta(hours=1), 9_000),
        (MIDNIGHT + timedelta(hours=3), 8_500),
        (MIDNIGHT + DAY - timedelta(seconds=1), 8_000),
        (MIDNIGHT + DAY, 7_000),
        (MIDNIGHT + 2.5 * DAY, 6_000),
    ):
        read_balance(database, at, iqd)
    shown = figures.spend(database, NOVEMBER, BAGHDAD, MIDNIGHT + 2.6 * DAY)
    assert (shown.opening_iqd, [day.iqd for day in shown.balances]) == (9_000, [8_000, 7_000, 6_000])


def test_before_anybody_asked_the_balance_is_not_known(database: Database) -> None:
    read_balance(database, MIDNIGHT + 1.5 * DAY, 6_000)
    shown = figures.spend(database, NOVEMBER, BAGHDAD, MIDNIGHT + 2.6 * DAY)
    assert (shown.opening_iqd, [day.iqd for day in shown.balances]) == (None, [None, 6_000, 6_000])
    assert shown.topped_up_iqd == 0


def test_a_balance_that_rose_by_more_than_was_charged_was_topped_up(database: Database) -> None:
    read_balance(database, MIDNIGHT, 50_000)
    charge(database, MIDNIGHT + timedelta(hours=5), 4_000)
    read_balance(database, MIDNIGHT + timedelta(hours=6), 146_000)
    shown = figures.spend(database, NOVEMBER, BAGHDAD, MIDNIGHT + 1.5 * DAY)
    assert [day.topped_up_iqd for day in shown.balances] == [0, 0]  # nothing was known before that midnight
    read_balance(database, MIDNIGHT - timedelta(hours=1), 50_000)
    shown = figures.spend(database, NOVEMBER, BAGHDAD, MIDNIGHT + 1.5 * DAY)
    assert [day.topped_up_iqd for day in shown.balances] == [100_000, 0]


def test_a_small_difference_is_no_top_up() -> None:
    assert balance.top_ups([50_000, 48_000, 45_000], [4_000, 20_000]) == [0, 17_000]
    assert balance.top_ups([50_000, 48_000], [6_000]) == [0]
    assert balance.top_ups([None, 48_000, None], [6_000, 0]) == [0, 0]


def test_the_balance_lasts_as_long_as_the_last_seven_days_say(database: Database) -> None:
    for back in range(20):
        charge(database, NOON - back * DAY - timedelta(minutes=1), 1_000 if back < 7 else 50_000)
    read_balance(database, NOON, 26_500)
    assert figures.frame(database, "live", NOON).days_left == 26


def test_with_less_than_a_week_behind_it_the_pace_is_that_of_the_days_there_are(database: Database) -> None:
    charge(database, NOON - 2 * DAY, 600)
    read_balance(database, NOON, 3_000)
    assert figures.frame(database, "live", NOON).days_left == 10
    assert figures.frame(database, "live", NOON - 1.5 * DAY).days_left is None  # not a day yet


def test_without_spending_nobody_can_say_how_long_the_balance_lasts(database: Database) -> None:
    read_balance(database, NOON, 3_000)
    assert figures.frame(database, "live", NOON).days_left is None
    charge(database, NOON - 3 * DAY, None)
    assert figures.frame(database, "live", NOON).days_left is None


@pytest.fixture
def browser(app: Flask) -> Browser:
    return Browser(sign_in(app))


def test_this_month_is_shown_and_led_to_its_messages(browser: Browser, database: Database) -> None:
    now = datetime.now(UTC)
    charge(database, now, 4_321)
    soup = browser.soup("/spend")
    assert "4,321 IQD" in words(soup)
    links = {str(link["href"]) for link in soup.select("main a[href^='/messages?']")}
    # The month, its failures, repeats, those that needed another channel, the day, the carrier by the channel.
    assert len(links) == 6
    for link in links - {link for link in links if re.search("status=failed|tried=2|repeat=1", link)}:
        assert len(BeautifulSoup(browser.get(link).data, "html.parser").select("a.row-link")) == 1, link


def test_the_months_before_can_be_leafed_through_up_to_this_one(browser: Browser) -> None:
    this = datetime.now(BAGHDAD).date().replace(day=1)
    before = figures.month_before(this)
    earlier = browser.soup("/spend").select_one("a[rel=prev]")
    assert earlier is not None
    assert earlier["href"] == f"/spend?month={before:%Y-%m}"
    assert browser.soup("/spend").select_one("a[rel=next]") is None
    later = browser.soup(str(earlier["href"])).select_one("a[rel=next]")
    assert later is not None
    assert later["href"] == f"/spend?month={this:%Y-%m}"


@pytest.mark.parametrize("month", ["x", "2026-13", "2026-1", "1999-12", "2026-11-01", "٢٠٢٦-١١", "2099-12", "\0"])
def test_a_month_that_is_none_is_a_400_page_that_says_so(browser: Browser, month: str) -> None:
    for path in ("/spend", "/spend/export"):
        answer = browser.client.get(path, query_string={"month": month}, base_url="https://wasl.example.iq")
        assert (answer.status_code, "month: must be a month such as" in words(answer)) == (400, True)


def test_the_accountant_s_file_holds_days_names_and_whole_numbers(browser: Browser, database: Database) -> None:
    now = datetime.now(UTC)
    charge(database, now, 80, carrier="korek")
    charge(database, now, 60, carrier="zain", channel="whatsapp")
    answer = browser.get("/spend/export")
    today = now.astimezone(BAGHDAD).date()
    assert answer.headers["Content-Disposition"] == f'attachment; filename="wasl-spend-{today:%Y-%m}.csv"'
    text = answer.get_data().decode("utf-8-sig")
    assert answer.get_data().startswith(b"\xef\xbb\xbf")
    head, *lines = csv.reader(io.StringIO(text))
    assert head == ["Day (Asia/Baghdad)", "Carrier", "Channel", "Messages", "Charged, IQD", "At risk, IQD"]
    assert lines == [
        [today.isoformat(), "Korek", "SMS", "1", "80", "0"],
        [today.isoformat(), "Zain", "WhatsApp", "1", "60", "0"],
    ]


def test_the_page_takes_as_many_queries_for_many_messages_as_for_one(browser: Browser, database: Database) -> None:
    counts = []
    for many in (1, 40):
        for number in range(many):
            charge(database, datetime.now(UTC) - number * timedelta(hours=7), 80)
        counts.append(queries_of(browser, "/spend"))
    assert counts[0] == counts[1]
    assert counts[0] <= 17


def queries_of(browser: Browser, path: str) -> int:
    engine = browser.client.application.extensions["wasl"].database.engine
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    assert browser.get(path).status_code == 200
    event.remove(engine, "before_cursor_execute", note)
    return len(seen)


def november(database: Database, now: datetime = NOON) -> spend_rows.Spend:
    return figures.spend(database, NOVEMBER, BAGHDAD, now)


def test_the_bars_say_what_they_show(app: Flask, database: Database) -> None:
    with app.test_request_context():
        assert told.spend_finding(november(database), None, BAGHDAD) == "Nothing was charged in this month"
        for back, iqd in ((3, 100), (2, 110), (1, 120), (0, 90)):
            charge(database, NOON - back * DAY, iqd)
        assert told.spend_finding(november(database), None, BAGHDAD) == "No day stands out: about 105 IQD a day"
        assert told.spend_finding(november(database), 115, BAGHDAD) == "On 1 day more than 115 IQD were spent"
        charge(database, NOON - DAY, 500)
        assert told.spend_finding(november(database), None, BAGHDAD) == "The dearest day was Sat 21 Nov: 620 IQD"
        assert told.cells_finding(november(database)) == "Most goes to Asiacell by SMS: 100%"


def test_the_budget_s_line_is_the_day_s_or_a_day_s_part_of_the_month_s(database: Database) -> None:
    shown = november(database)
    limits = []
    for day, month in (("500", "9000"), ("", "9000"), ("", "")):
        budgets.put(database, day, month, "sara", NOON)
        limits.append(told.budget_of_day(budgets.current(database), shown))
    assert limits == [500, 300, None]
    assert told.budget_of_day(budgets.current(database), november(database, NOON + 30 * DAY)) is None


@pytest.mark.parametrize(
    ("spent", "tone", "words"),
    [
        (499, "ok", "501 IQD are left"),
        (500, "few", "More than half is spent, 500 IQD are left"),
        (800, "wait", "More than 80% is spent, 200 IQD are left"),
        (1_000, "bad", "All of it is spent"),
        (1_250, "bad", "All of it is spent, and 250 IQD more"),
    ],
)
def test_a_budget_warns_at_half_at_four_fifths_and_when_it_is_spent(
    app: Flask, database: Database, spent: int, tone: str, words: str
) -> None:
    charge(database, NOON, spent)
    budgets.put(database, "1000", "", "sara", NOON)
    with app.test_request_context():
        (line,) = told.budget_lines(budgets.current(database), november(database))
    assert (line.period, line.tone, line.words, line.spent_iqd) == ("day", tone, words, spent)


@pytest.mark.parametrize(
    ("over_iqd", "stops", "words"),
    [
        (-1_000, [], ""),
        (5_000, [], "By the forecast the month ends about 5,000 IQD above it."),
        (5_000, ["month"], ""),  # what stops does not get there
    ],
)
def test_a_month_that_will_cost_more_than_its_budget_says_so(
    app: Flask, database: Database, over_iqd: int, stops: list[str], words: str
) -> None:
    for day in range(5, 9):
        charge(database, NOON - day * DAY, 10_000)
    forecast = november(database).forecast
    assert forecast is not None
    budgets.put(database, "", str(forecast.iqd - over_iqd), "sara", NOON, stops=stops)
    with app.test_request_context():
        (line,) = told.budget_lines(budgets.current(database), november(database))
    assert line.forecast == words


def test_the_stair_runs_the_other_way_when_mirrored(app: Flask, database: Database) -> None:
    read_balance(database, MIDNIGHT - DAY, 90_000)
    read_balance(database, NOON, 400_000)
    with app.test_request_context():
        size = told.LINE_SIZES["wide"]
        chart = told.balance_chart(november(database), size, BAGHDAD)
        mirror = told.balance_chart(november(database), size, BAGHDAD, mirrored=True)
    assert chart is not None
    assert mirror is not None
    assert [mark.text for mark in chart.top_ups] == ["+310,000"]
    assert chart.top_ups[0].at + mirror.top_ups[0].at == pytest.approx(960, abs=0.2)
    assert (chart.line[:3], mirror.line[:6]) == ("M0.", "M960.0")
