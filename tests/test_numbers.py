"""Numbers are true: every figure on the pages, read out of their HTML, equals a slow and obvious sum over the ledger of
a fortnight of simulated traffic: what was asked for and called back, kept apart from the store."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from math import ceil
from pathlib import Path
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
from bs4 import BeautifulSoup
from flask import Flask

from webhook_app import create_app
from webhook_app.database import Database
from webhook_app.figures import messages as lists

from . import fortnight, reading
from .browsing import Browser
from .conftest import close, make_config, sign_in
from .fortnight import Ledger, Sent

MESSAGES = 400
BAGHDAD = "Asia/Baghdad"
RANGES = ("1h", "today", "7d", "30d", "own")
DAYS = {"today": 1, "7d": 7, "30d": 30, "own": 14}
MINUTE, SLOT, HOUR, DAY = timedelta(minutes=1), timedelta(minutes=5), timedelta(hours=1), timedelta(days=1)
CHANNELS = ("whatsapp", "telegram", "sms", "")
BUCKET = 1.2  # times to deliver are counted in buckets that grow by a fifth

Days = list[tuple[datetime, datetime]]


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page, and the moment it speaks of."""

    soup: BeautifulSoup
    at: datetime
    zone: ZoneInfo
    ledger: Ledger

    @property
    def sent(self) -> list[Sent]:
        return self.ledger.sent

    def between(self, start: datetime, end: datetime) -> list[Sent]:
        return [one for one in self.sent if start <= one.at < end]

    def behind(self, link: dict[str, str]) -> list[Sent]:
        """The messages that an address with a `from` and a `to` leads to."""
        return self.between(reading.moment(link["from"], self.zone), reading.moment(link["to"], self.zone))


@pytest.fixture
def zone(request: pytest.FixtureRequest) -> ZoneInfo:
    """Baghdad, or a place where it is within the first hour of a day at this moment."""
    if getattr(request, "param", BAGHDAD) == BAGHDAD:
        return ZoneInfo(BAGHDAD)
    hour = datetime.now(UTC).hour
    return ZoneInfo(f"Etc/GMT+{hour}" if hour <= 12 else f"Etc/GMT-{24 - hour}")


at_any_hour = pytest.mark.parametrize("zone", [BAGHDAD, "where a day has just begun"], indirect=True)


@pytest.fixture
def ledger(database: Database, zone: ZoneInfo) -> Ledger:
    return fortnight.run(database, MESSAGES, datetime.now(UTC), zone)


@pytest.fixture
def app(store_url: str, tmp_path: Path, zone: ZoneInfo) -> Iterator[Flask]:
    app = create_app(make_config(store_url, tmp_path, WASL_TIME_ZONE=zone.key))
    yield app
    close(app)


@pytest.fixture
def look(ledger: Ledger, app: Flask, zone: ZoneInfo) -> Callable[[str], Page]:
    """Open a page, at a moment when the minute did not turn meanwhile."""
    browser = Browser(sign_in(app))

    def open_(path: str) -> Page:
        while True:
            at, soup = datetime.now(UTC), browser.soup(path)
            if floor(datetime.now(UTC), MINUTE) == floor(at, MINUTE):
                return Page(soup=soup, at=at, zone=zone, ledger=ledger)

    return open_


# The overview


@at_any_hour
def test_every_figure_of_the_overview_is_true(look: Callable[[str], Page]) -> None:
    for range_ in RANGES:
        page = look(f"/?{address_of(range_, look)}")
        start, end = span_of(range_, page)
        inside = page.between(start, end)
        check_tiles(page, inside)
        check_changes(page, start, end, SLOT if range_ == "1h" else HOUR)
        check_bars(page, inside)
        check_cells(page, inside)
        check_fallback(page, inside)
        check_paces(page, inside)
        check_week(page, inside, DAYS.get(range_, 0))
        check_reasons(page, inside)
        check_last_failures(page)


def address_of(range_: str, look: Callable[[str], Page]) -> str:
    if range_ != "own":
        return f"range={range_}"
    page = look("/")
    first, last = (at.astimezone(page.zone).date() for at in span_of("own", page))
    return f"range=own&from={first}&to={last - DAY}"


def span_of(range_: str, page: Page) -> tuple[datetime, datetime]:
    """The hour up to and with these five minutes, or so many days up to and with today."""
    if range_ == "1h":
        return floor(page.at, SLOT) - 11 * SLOT, floor(page.at, SLOT) + SLOT
    midnight = datetime.combine(page.at.astimezone(page.zone).date(), time(), tzinfo=page.zone).astimezone(UTC)
    return midnight - (DAYS[range_] - 1) * DAY, midnight + DAY


def check_tiles(page: Page, inside: list[Sent]) -> None:
    tiles = reading.tiles(page.soup)
    assert reading.number(tiles["Messages"].figure) == len(inside)
    assert tiles["Delivered"].figure.removesuffix("%") == shown_percent(inside)
    assert is_close(reading.seconds(tiles["95 of 100 arrive within"].figure), percentile(took(inside), 0.95))
    assert reading.number(tiles["Spend"].figure.removesuffix("IQD")) == charged(inside)
    assert tiles["Spend"].at_risk_iqd == sum(one.at_risk_iqd for one in inside)


def check_changes(page: Page, start: datetime, end: datetime, unit: timedelta) -> None:
    """What is over of the range, beside as much of the range before."""
    over_end = min(end, floor(page.at, unit))
    over = page.between(start, over_end)
    before = page.between(start - (end - start), min(start, over_end - (end - start)))
    tiles = reading.tiles(page.soup)
    assert tiles["Messages"].change == moved(len(over), len(before))
    assert tiles["Spend"].change == moved(charged(over), charged(before))
    assert tiles["Delivered"].change == moved(percent(over), percent(before), in_points=True)
    if over and before and over_end < end:  # what is compared is not what the tile shows
        assert tiles["Messages"].against.endswith(f": {len(over):,} and {len(before):,}")
        if tiles["Delivered"].change:
            assert tiles["Delivered"].against.endswith(f": {shown_percent(over)}% and {shown_percent(before)}%")


def check_bars(page: Page, inside: list[Sent]) -> None:
    bars = reading.rows(page.soup, "#bars-numbers")
    for bar in bars:
        found = page.behind(bar.link)
        assert (bar.head, *map(reading.number, bar.cells)) == (bar.head, *outcomes(found), charged(found))
    assert sum(sum(map(reading.number, bar.cells[:3])) for bar in bars) == len(inside)


def check_cells(page: Page, inside: list[Sent]) -> None:
    found: dict[tuple[str, str], list[Sent]] = {}
    for one in inside:
        found.setdefault((one.carrier, one.channel or "none"), []).append(one)
    rows = reading.rows(page.soup, "#cells-numbers")
    assert {(row.link["carrier"], row.link["channel"]): [*map(reading.number, row.cells)] for row in rows} == {
        cell: [len(sent), *outcomes(sent), charged(sent)] for cell, sent in found.items()
    }
    squares = page.soup.select("a.cell")
    assert len(squares) == len(found)
    for square in squares:
        link = reading.arguments(square)
        sent = found[link["carrier"], link["channel"]]
        delivered, failed, _waiting = outcomes(sent)
        rate = f"{shown_percent(sent)}%" if delivered + failed else "–"
        assert reading.text(square).endswith(f"{rate} of {delivered + failed}")


def check_fallback(page: Page, inside: list[Sent]) -> None:
    tried = [one for one in inside if one.is_closed and one.tried]
    shown = [
        (*map(reading.number, tier.cells[:3]), reading.seconds(tier.cells[3]))
        for tier in reading.rows(page.soup, "#fallback-numbers")
    ]
    places = range(1, max((len(one.tried) for one in tried), default=0) + 1)
    assert len(shown) == len(places)
    for place, (*counts, wait_s) in zip(places, shown, strict=True):
        came = [one for one in tried if len(one.tried) >= place]
        there = [one for one in came if one.status == "delivered" and [*one.tried].index(one.channel) == place - 1]
        ended = [one.last_tried_s for one in came if len(one.tried) == place]
        assert counts == [len(came), len(there), charged(came)]
        # The first one is tried at once.
        assert wait_s == (pytest.approx(sum(ended) / len(ended), abs=0.6) if ended and place > 1 else None)


def check_paces(page: Page, inside: list[Sent]) -> None:
    shown = {pace.link["carrier"]: pace.cells for pace in reading.rows(page.soup, "#pace-numbers")}
    assert shown.keys() == {one.carrier for one in inside if one.status == "delivered"}
    for carrier, (messages, half, most) in shown.items():
        times = took(one for one in inside if one.carrier == carrier)
        assert reading.number(messages) == len(times)
        assert is_close(reading.seconds(half), percentile(times, 0.5))
        assert is_close(reading.seconds(most), percentile(times, 0.95))


def check_week(page: Page, inside: list[Sent], days: int) -> None:
    hours = reading.rows(page.soup, "#week-numbers")
    assert bool(hours) == (days >= 7)
    by_place: dict[tuple[int, str], list[Sent]] = {}
    for one in inside:
        by_place.setdefault(place_in_week(one.at.astimezone(page.zone)), []).append(one)
    for hour in hours:
        for day, shown in enumerate(hour.cells):
            then = by_place.get((day, hour.head), [])
            delivered, failed, _waiting = outcomes(then)
            share = f"{shown_percent(then)}% {delivered} / {delivered + failed}"
            assert shown == (share if delivered + failed else "–")


def check_reasons(page: Page, inside: list[Sent]) -> None:
    counts = Counter(one.reason for one in inside if one.outcome == "failed")
    for item in page.soup.select(".reasons > li"):
        words = [reading.arguments(link)["reason"] for link in item.select(".words a")]
        messages, share = (reading.text(part) for part in item.select(".line bdi"))
        assert reading.number(messages) == sum(counts[word] for word in words)
        assert float(share.removesuffix("%")) == pytest.approx(
            100 * reading.number(messages) / counts.total(), abs=0.06
        )
    shown = [reading.arguments(link)["reason"] for link in page.soup.select(".reasons .words a")]
    assert sorted(shown) == sorted(counts)


def check_last_failures(page: Page) -> None:
    failed = sorted((one.id for one in page.sent if one.outcome == "failed"), reverse=True)
    assert [row["id"] for row in page.soup.select("table.messages tbody tr")] == [f"f-{id_}" for id_ in failed[:10]]


# The messages

FILTERS: dict[str, Callable[[Sent], bool]] = {
    "": lambda _one: True,
    "carrier=korek": lambda one: one.carrier == "korek",
    "channel=whatsapp": lambda one: one.channel == "whatsapp",
    "type=custom": lambda one: one.sms_type == "custom",
    "outcome=failed": lambda one: one.outcome == "failed",
    "carrier=zain&outcome=waiting": lambda one: one.carrier == "zain" and one.outcome == "waiting",
}


def test_every_count_and_every_row_of_the_messages_is_true(look: Callable[[str], Page]) -> None:
    for filter_, holds in FILTERS.items():
        page = look(f"/messages?{filter_}")
        check_list(page, [one for one in page.sent if holds(one)])


@at_any_hour
def test_a_day_of_messages_is_the_readers_day(look: Callable[[str], Page], zone: ZoneInfo) -> None:
    today = datetime.now(zone).date()
    for first, last in ((today, today), (today - DAY, today - DAY), (today - 7 * DAY, today - DAY)):
        page = look(f"/messages?from={first}&to={last}")
        check_list(page, [one for one in page.sent if first <= one.at.astimezone(zone).date() <= last])


def test_a_bar_and_a_cell_lead_to_the_messages_they_count(look: Callable[[str], Page]) -> None:
    for selector in ("#bars-numbers", "#cells-numbers"):
        row = max(reading.rows(look("/?range=7d").soup, selector), key=lambda row: reading.number(row.cells[0]))
        page = look(f"/messages?{urlencode({**row.link, 'outcome': 'delivered'})}")
        at = 0 if selector == "#bars-numbers" else 1
        assert reading.tabs(page.soup)["all"] == reading.number(row.cells[at]) > 0


def test_waste_and_the_waterfall_lead_to_as_many_messages(
    look: Callable[[str], Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "LOOKED_THROUGH", 6)
    for page, selector, least in ((months(look), ".waste a", 3), (look("/?range=7d"), ".falls a", 4)):
        links = page.soup.select(selector)
        assert len(links) >= least
        for link in links:
            asked, tabs = reading.arguments(link), reading.tabs(look(str(link["href"])).soup)
            alike = [one for one in page.behind(asked) if fits(one, asked)]
            counts = Counter(one.status for one in alike) | Counter(all=len(alike))
            assert {name: number for name, number in tabs.items() if number} == counts
            assert tabs[asked.get("status", "all")] == reading.number(reading.text(link).split()[0])


def months(look: Callable[[str], Page]) -> Page:
    """The Spend of this month, or early in it of the one before."""
    page = look("/spend")
    if page.at.astimezone(page.zone).day > 7:
        return page
    (before,) = page.soup.select("a[rel=prev]")
    return look(str(before["href"]))


def fits(one: Sent, asked: dict[str, str]) -> bool:
    """What waste and the waterfall ask for beside a time and a status."""
    is_tried = "tried" not in asked or (one.is_closed and len(one.tried) >= int(asked["tried"]))
    is_repeat = "repeat" not in asked or (one.is_closed and one.is_repeat)
    return is_tried and is_repeat and asked.get("outcome") in (None, one.outcome)


def test_what_is_at_risk_leads_to_its_messages(look: Callable[[str], Page]) -> None:
    page = look("/?range=7d")
    (risk,) = page.soup.select(".risk a")
    at_risk = [one for one in page.behind(reading.arguments(risk)) if one.at_risk_iqd]
    rows = look(str(risk["href"])).soup.select("table.messages .cost bdi")
    assert 0 < len(at_risk) <= 50
    assert sorted(map(reading.text, rows)) == sorted(map(shown_cost, at_risk))


def check_list(page: Page, found: list[Sent]) -> None:
    counts = Counter(one.status for one in found)
    tabs = reading.tabs(page.soup)
    assert tabs["all"] == len(found)
    assert {name: tabs.get(name, 0) for name in {*tabs, *counts} - {"all"}} == {
        name: counts[name] for name in {*tabs, *counts} - {"all"}
    }
    newest = sorted(found, key=lambda one: one.id, reverse=True)[:50]
    rows = page.soup.select("table.messages tbody tr")
    assert [str(row["id"])[2:] for row in rows] == [str(one.id) for one in newest]
    for row, one in zip(rows, newest, strict=True):
        if (took := row.select_one(".took")) is not None:  # among failures there is the reason in its place
            expected = None if one.settled_s is None else pytest.approx(one.settled_s, abs=0.6)
            assert reading.seconds(reading.text(took)) == expected
        assert reading.text(row.select_one(".cost bdi")) == shown_cost(one)


def shown_cost(one: Sent) -> str:
    """What was charged; else the estimate, while it may have been."""
    if one.cost_iqd is not None:
        return f"{one.cost_iqd}"
    return f"~{one.at_risk_iqd}" if one.at_risk_iqd else "–"


# The callbacks


def test_the_last_hour_of_callbacks_is_true(look: Callable[[str], Page], app: Flask, ledger: Ledger) -> None:
    refused_at = datetime.now(UTC)
    for _ in range(3):
        assert app.test_client().post(f"/callbacks/otpiq/{ledger.sent[0].id}", data=b"{}").status_code == 401
    app.extensions["wasl"].refusals.flush()
    page = look("/callbacks")
    kinds = ("accepted", "late", "repeat", "orphan", "quarantined", "refused")
    came = [*ledger.arrivals, *[(refused_at, "refused")] * 3]
    last_hour = Counter(
        (f"{at.astimezone(page.zone):%H:%M}", verdict)
        for at, verdict in came
        if floor(at, MINUTE) > floor(page.at, MINUTE) - HOUR
    )
    shown = {row.head: [*map(reading.number, row.cells)] for row in reading.rows(page.soup, "#intake-numbers")}
    minutes = {minute for minute, _verdict in last_hour}
    assert shown == {minute: [last_hour[minute, kind] for kind in kinds] for minute in minutes}


# The spend


@at_any_hour
def test_every_figure_of_the_spend_is_true(look: Callable[[str], Page], zone: ZoneInfo) -> None:
    this_month = datetime.now(zone).date().replace(day=1)
    for month in (this_month, month_before(this_month)):
        page = look(f"/spend?month={month:%Y-%m}")
        days = days_of(month, zone)
        inside = page.between(days[0][0], days[-1][1])
        check_spend_tiles(page, inside, month, days)
        check_spend_days(page, inside)
        check_spend_cells(page, inside)
        check_balances(page, [(start, end) for start, end in days if start <= page.at])
        check_waste(page, inside)


def check_spend_tiles(page: Page, inside: list[Sent], month: date, days: Days) -> None:
    shown, *others = reading.tiles(page.soup).values()
    assert reading.number(shown.figure.removesuffix("IQD")) == charged(inside)
    assert shown.at_risk_iqd == sum(one.at_risk_iqd for one in inside)
    over = [(start, end) for start, end in days if end <= page.at]
    before = days_of(month_before(month), page.zone)
    before = before if over == days else before[: len(over)]
    assert shown.change == moved(*(charged(one for day in of for one in page.between(*day)) for of in (over, before)))
    figures = [reading.number(tile.figure.removesuffix("IQD").removesuffix("days")) for tile in others]
    balance_iqd = last_balance(page, min(page.at, days[-1][1]))
    if over == days:
        assert figures == [pytest.approx(charged(inside) / len(days), abs=0.5), balance_iqd, len(inside)]
    else:
        assert figures == [pytest.approx(forecast(page, inside, days), rel=0.005), balance_iqd, days_left(page)]


def check_spend_days(page: Page, inside: list[Sent]) -> None:
    shown = reading.rows(page.soup, "#spend-numbers")
    assert sum(reading.number(day.cells[0]) for day in shown) == len(inside)
    for day in shown:
        then = page.behind(day.link)
        by_channel = [
            charged(one for one in then if one.channel == name) for name in ("whatsapp", "telegram", "sms", "")
        ]
        assert [*map(reading.number, day.cells)] == [len(then), *by_channel, charged(then)]


def check_spend_cells(page: Page, inside: list[Sent]) -> None:
    found: dict[tuple[str, str], list[Sent]] = {}
    for one in inside:
        found.setdefault((one.carrier, one.channel), []).append(one)
    rows = page.soup.select("table.told tbody tr")
    assert len(rows) == len(found)
    for row in rows:
        carrier = row.select_one(".carrier")["class"][1]
        sent = found[carrier, reading.arguments(row).get("channel", "")]
        share, *counts, average = (reading.text(cell) for cell in row.select("td"))
        assert [*map(reading.number, counts)] == [charged(sent), len(sent)]
        assert float(share.removesuffix("%")) == pytest.approx(100 * charged(sent) / charged(inside), abs=0.06)
        check_average(average, sent)
    whole = [reading.text(cell) for cell in page.soup.select("table.told tfoot td")]
    assert [*map(reading.number, whole[1:3])] == [charged(inside), len(inside)]
    check_average(whole[3], inside)


def check_average(shown: str, sent: list[Sent]) -> None:
    """Of what OTPIQ took."""
    taken = [one for one in sent if one.state == "accepted" or one.tried]
    if taken:
        assert reading.number(shown) == pytest.approx(charged(sent) / len(taken), abs=0.5)
    else:
        assert shown == "–"


def check_balances(page: Page, begun: Days) -> None:
    shown = [[*map(reading.number, row.cells)] for row in reading.rows(page.soup, "#balance-numbers")]
    assert shown == [
        [last_balance(page, min(end, page.at)), paid_in(page, start, end)]
        for start, end in reversed(begun)
        if last_balance(page, end) is not None
    ]


def check_waste(page: Page, inside: list[Sent]) -> None:
    failed = [one for one in inside if one.status == "failed"]
    hopped = [one for one in inside if one.is_closed and len(one.tried) > 1]
    repeats = [one for one in inside if one.is_closed and one.is_repeat]
    shown = [reading.text(part) for part in page.soup.select(".waste bdi")]
    wastes = (failed, repeats, hopped)
    assert [*map(reading.number, shown[:6])] == [n for waste in wastes for n in (charged(waste), len(waste))]
    if hopped:
        wait_s = sum(one.last_tried_s for one in hopped) / len(hopped)
        assert reading.seconds(shown[6]) == pytest.approx(wait_s, abs=0.6)


def forecast(page: Page, inside: list[Sent], days: Days) -> float:
    """So far, and for what is left of the month the average of the same weekdays among the last 28 whole days."""
    midnight = next(start for start, end in days if start <= page.at < end)
    coming_iqd = 0.0
    for start, end in days:
        if end > page.at:
            alike = [midnight - back * DAY for back in range(1, 29) if (start - midnight + back * DAY).days % 7 == 0]
            left = (end - max(start, page.at)) / DAY
            coming_iqd += left * sum(charged(page.between(day, day + DAY)) for day in alike) / len(alike)
    return charged(inside) + coming_iqd


def days_left(page: Page) -> int:
    """The newest balance by what was spent an hour, in the 168 hours up to this one."""
    since = floor(page.at, HOUR) + HOUR - 7 * DAY
    spent_iqd = charged(one for one in page.sent if one.at >= since)
    return int(page.ledger.balances[-1][1] * ((page.at - since) / DAY) / spent_iqd)


def last_balance(page: Page, before: datetime) -> int | None:
    return next((iqd for at, iqd in reversed(page.ledger.balances) if at < before), None)


def paid_in(page: Page, start: datetime, end: datetime) -> int:
    """What a day's readings show of what was paid in: it is seen with the next send that is charged."""
    known = [at for at, _iqd in page.ledger.balances]
    seen = [(next((told for told in known if told >= at), page.at), iqd) for at, iqd in page.ledger.top_ups]
    return sum(iqd for at, iqd in seen if start <= at < end)


def month_before(month: date) -> date:
    return (month - DAY).replace(day=1)


def days_of(month: date, zone: ZoneInfo) -> Days:
    first = datetime.combine(month, time(), tzinfo=zone).astimezone(UTC)
    count = ((month + 31 * DAY).replace(day=1) - month).days
    return [(first + number * DAY, first + (number + 1) * DAY) for number in range(count)]


# Obvious sums


def floor(at: datetime, unit: timedelta) -> datetime:
    return at - (at - datetime(2000, 1, 1, tzinfo=UTC)) % unit


def outcomes(sent: Iterable[Sent]) -> tuple[int, int, int]:
    counts = Counter(one.outcome for one in sent)
    return counts["delivered"], counts["failed"], counts["waiting"]


def charged(sent: Iterable[Sent]) -> int:
    return sum(one.charged_iqd for one in sent)


def took(sent: Iterable[Sent]) -> list[float]:
    return sorted(one.took_s for one in sent if one.status == "delivered" and one.took_s is not None)


def percentile(times: Sequence[float], share: float) -> float | None:
    return times[ceil(share * len(times)) - 1] if times else None


def is_close(shown: float | None, exact: float | None) -> bool:
    """Within one bucket, and what rounding takes."""
    if shown is None or exact is None:
        return shown is exact
    return exact / BUCKET - 0.06 <= shown <= max(exact * BUCKET, 0.5) + 0.06


def percent(sent: Iterable[Sent]) -> float | None:
    delivered, failed, _waiting = outcomes(sent)
    return 100 * delivered / (delivered + failed) if delivered + failed else None


def shown_percent(sent: Iterable[Sent]) -> str:
    """With one decimal; only what is all, or nothing, has none, and nothing else is rounded up to it."""
    share = percent(sent)
    if share is None:
        return "–"
    return f"{share:.0f}" if share in (0, 100) else f"{min(share, 99.9):.1f}"


def moved(now: float | None, before: float | None, *, in_points: bool = False) -> str:
    if now is None or before is None or (not in_points and before == 0):
        return ""
    change = now - before if in_points else 100 * (now - before) / before
    if abs(change) < 0.05:
        return "no change"
    return f"{'+' if change > 0 else '−'}{abs(change):,.1f}{' points' if in_points else '%'}"


def place_in_week(local: datetime) -> tuple[int, str]:
    """Saturday is 0."""
    return (local.isoweekday() + 1) % 7, f"{local.hour:02}:00"
