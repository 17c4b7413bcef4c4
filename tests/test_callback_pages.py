"""The Callbacks pages, as a browser without JavaScript meets them: what came in, what was refused, what to do."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from bs4 import BeautifulSoup, Tag
from flask import Flask

from webhook_app import receiving, sources
from webhook_app.database import Database
from webhook_app.figures import IntakeMinute
from webhook_app.ids import new_id
from webhook_app.models import Callback
from webhook_app.refusals import Cause
from webhook_app.web.callback_pages import _REPLAYED_AT_ONCE
from webhook_app.web.formats import intake

from .browsing import Browser, form_to, words
from .conftest import HTTPS, PUBLIC_URL, sign_in
from .rows import NOW, add_message, all_rows, arrival, callback
from .test_figures_intake import add_callback, count
from .test_translation import Marked as Marked
from .test_translation import reader as reader
from .test_translation import unmarked

BAGHDAD = ZoneInfo("Asia/Baghdad")
SAMPLE = {"from": "203.0.113.9", "User-Agent": "<script>alert(1)</script>"}


@pytest.fixture
def browser(app: Flask) -> Browser:
    return Browser(sign_in(app))


@pytest.fixture
def of_every_kind(database: Database) -> dict[str, UUID]:
    """A callback of each verdict, all come in through the real door."""
    now = datetime.now(UTC)
    message = add_message(database, now, phone="9647707654321")
    for raw in (callback("sent"), callback("sent"), callback("sent", senderId="MyShop"), b"<b>odd</b>"):
        receiving.receive(database, [arrival(message, raw, now)])
    receiving.receive(database, [arrival(new_id(now), callback("delivered"), now)])
    rows = all_rows(database, Callback)
    late = next(row.id for row in rows if row.verdict == "accepted" and not row.changed)
    return {row.verdict: row.id for row in rows if row.id != late} | {"late": late, "message": message}


def refuse(database: Database, cause: Cause, callbacks: int = 1) -> None:
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    count(database, cause, callbacks=callbacks, minute=minute, sample=SAMPLE)


def links(soup: Tag, selector: str) -> list[str]:
    return [str(link["href"]) for link in soup.select(selector)]


def read(part: Tag) -> str:
    return " ".join(part.get_text(" ").split())


# The tabs


def test_each_tab_opens_and_knows_its_place(browser: Browser) -> None:
    tabs = {"/callbacks": "Callbacks", "/callbacks/refused": "Refused callbacks", "/sources": "Sources"}
    for path, title in tabs.items():
        soup = browser.soup(path)
        assert (soup.title and soup.title.text, read(soup.select("h1")[0])) == (f"{title} · Wasl", "Callbacks")
        assert links(soup, ".segments a[aria-current=page]") == [path]
        assert links(soup, "nav a[aria-current=page][data-go]") == ["/callbacks"]


def test_with_nothing_there_each_tab_says_why_and_what_to_do(browser: Browser) -> None:
    assert "No callback yet" in words(browser.soup("/callbacks"))
    assert "None: nothing to do" in words(browser.soup("/callbacks?verdict=orphan"))
    assert "No callback of this kind" in words(browser.soup("/callbacks?verdict=repeated"))
    assert "Nothing was refused in the last 24 hours" in words(browser.soup("/callbacks/refused"))


def test_an_odd_argument_is_a_400_page_that_names_it(browser: Browser) -> None:
    for path, name in {"/callbacks?verdict=odd": "verdict", "/callbacks?before=zzz": "before"}.items():
        answer = browser.get(path)
        assert (answer.status_code, answer.mimetype) == (400, "text/html")
        assert f"{name}: must be" in words(answer)


def test_an_unknown_callback_is_a_page_and_otpiq_s_own_door_still_answers_in_json(browser: Browser) -> None:
    page = browser.get(f"/callbacks/{new_id(NOW)}")
    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert "There is no callback with this id." in words(page)
    for path in ("/callbacks/otpiq", "/callbacks/otpiq/7"):
        assert browser.get(path).mimetype == "application/json"


# The list


def test_the_list_tells_what_each_said_and_what_became_of_it(browser: Browser, of_every_kind: dict[str, UUID]) -> None:
    rows = {str(row["id"]): read(row) for row in browser.soup("/callbacks").select("tbody[data-rows] tr")}
    told = {verdict: rows[f"c-{row_id}"] for verdict, row_id in of_every_kind.items() if verdict != "message"}
    assert re.search(r"SMS: sent \+964 770 ••• 4321 Accepted ×2 Told something new", told["accepted"])
    assert re.search(r"SMS: sent \+964 770 ••• 4321 Late Told nothing new", told["late"])
    assert re.search(r"could not be read \+964 770 ••• 4321 Quarantined Kept: not understood", told["quarantined"])
    assert re.search(r"SMS: delivered .*Orphan Kept: no such message", told["orphan"])


def test_a_row_leads_to_the_callback_and_to_its_message(browser: Browser, of_every_kind: dict[str, UUID]) -> None:
    (row,) = browser.soup("/callbacks?verdict=late").select("tbody[data-rows] tr")
    assert [link["href"] for link in row.select("a")] == [
        f"/callbacks/{of_every_kind['late']}",
        f"/messages/{of_every_kind['message']}",
    ]


def test_a_source_s_callback_names_and_links_the_source(browser: Browser, database: Database) -> None:
    shop = sources.add(database, "shop", NOW)
    receiving.receive(database, [arrival(shop.id, callback(), NOW)])
    (row,) = browser.soup("/callbacks").select("tbody[data-rows] tr")
    assert "shop" in read(row)
    assert f"/sources#source-{shop.id}" in [link["href"] for link in row.select("a")]
    assert browser.soup("/sources").find(id=f"source-{shop.id}")


def test_a_message_s_raw_callbacks_are_told_apart_by_what_they_said(browser: Browser, database: Database) -> None:
    message = add_message(database)
    bodies = callback("failed", "whatsapp"), callback("delivered", final=True), b"odd"
    receiving.receive(database, [arrival(message, raw, NOW + timedelta(seconds=n)) for n, raw in enumerate(bodies)])
    titles = [summary.text for summary in browser.soup(f"/messages/{message}").select(".raws summary b")]
    assert titles == ["WhatsApp: failed, not final", "SMS: delivered, final", "A callback that could not be read"]


def test_each_verdict_has_a_list_of_its_own(browser: Browser, of_every_kind: dict[str, UUID]) -> None:
    for verdict in ("accepted", "late", "orphan", "quarantined"):
        assert links(browser.soup(f"/callbacks?verdict={verdict}"), "a.row-link") == [
            f"/callbacks/{of_every_kind[verdict]}"
        ]
    assert links(browser.soup("/callbacks?verdict=repeated"), "a.row-link") == [
        f"/callbacks/{of_every_kind['accepted']}"
    ]


def test_older_and_newer_lead_through_the_whole_list_and_back(browser: Browser, database: Database) -> None:
    for n in range(120):
        add_callback(database, NOW + timedelta(seconds=n))
    pages, path = [], "/callbacks?verdict=accepted"
    while path:
        soup = browser.soup(path)
        pages.append(links(soup, "a.row-link"))
        path = next(iter(links(soup, "a[rel=next]")), "")
    assert [len(page) for page in pages] == [50, 50, 20]
    assert len({link for page in pages for link in page}) == 120
    assert links(browser.soup(links(soup, "a[rel=prev]")[0]), "a.row-link") == pages[1]


def test_what_led_to_nothing_is_counted_on_top_and_shown_by_a_link(
    browser: Browser, of_every_kind: dict[str, UUID]
) -> None:
    notice = browser.soup("/callbacks").select(".notice.wait form")[0]
    assert "1 authentic callback is in quarantine." in read(notice)
    assert links(notice, "a") == ["/callbacks?verdict=quarantined"]


# One callback


def test_one_that_was_not_understood_says_why_and_what_to_do(browser: Browser, of_every_kind: dict[str, UUID]) -> None:
    answer = browser.get(f"/callbacks/{of_every_kind['quarantined']}")
    page = words(answer)
    assert "It could not be understood. The body is not JSON. It is kept as it came." in page
    assert "bring Wasl up to date, then replay it" in page
    assert b"<b>odd</b>" not in answer.data
    assert "&lt;b&gt;odd&lt;/b&gt;" in answer.get_data(as_text=True)


def test_an_orphan_says_why_and_what_to_do(browser: Browser, of_every_kind: dict[str, UUID]) -> None:
    page = words(browser.get(f"/callbacks/{of_every_kind['orphan']}"))
    assert "It belongs to no message known here." in page
    assert "Was an older backup restored" in page


def test_one_callback_shows_its_request_body_and_message(browser: Browser, of_every_kind: dict[str, UUID]) -> None:
    soup = browser.soup(f"/callbacks/{of_every_kind['accepted']}")
    body, request = (pre.text for pre in soup.select("pre"))
    assert body.splitlines()[1:3] == ['  "smsId": "sms-1",', '  "deliveryReportType": "all",']
    assert request == f"POST /callbacks/otpiq/{of_every_kind['message']}\nContent-Type: application/json"
    assert f"/messages/{of_every_kind['message']}" in links(soup, "dl a")
    assert "came 2 times" in words(soup)


def test_a_long_body_is_cut_on_screen(browser: Browser, database: Database) -> None:
    row_id = add_callback(database, body=b"x" * 60_000, verdict="quarantined", note="the body is not JSON")
    soup = browser.soup(f"/callbacks/{row_id}")
    assert soup.select("pre")[0].text == "x" * 4096
    assert "60,000 bytes · the first part of it" in words(soup)


# Replaying


def replay_one(browser: Browser, row_id: UUID) -> str:
    path = f"/callbacks/{row_id}"
    answer = browser.submit(form_to(browser.soup(path), f"{path}/replay"))
    assert (answer.status_code, answer.headers["Location"]) == (303, path)
    return words(browser.soup(path))


def test_replaying_what_is_known_says_that_nothing_changed(browser: Browser, of_every_kind: dict[str, UUID]) -> None:
    for verdict in ("accepted", "late", "orphan", "quarantined"):
        assert "Nothing changed." in replay_one(browser, of_every_kind[verdict])


def test_an_orphan_whose_message_is_back_finds_it(browser: Browser, database: Database) -> None:
    message = new_id(NOW)
    receiving.receive(database, [arrival(message, callback("delivered", final=True), NOW)])
    add_message(database, NOW, id=message)
    (orphan,) = all_rows(database, Callback)
    assert "It told its message something new." in replay_one(browser, orphan.id)
    assert all_rows(database, Callback)[0].verdict == "accepted"


def test_all_orphans_are_replayed_by_one_button(browser: Browser, database: Database) -> None:
    lost, back = new_id(NOW), new_id(NOW)
    for target in (lost, back):
        receiving.receive(database, [arrival(target, callback("delivered", final=True), NOW)])
    add_message(database, NOW, id=back)
    form = form_to(browser.soup("/callbacks"), "/callbacks/replay")
    answer = browser.submit(form, verdict="orphan")
    assert answer.headers["Location"] == "/callbacks?verdict=orphan"
    page = browser.soup("/callbacks?verdict=orphan")
    assert "1 of 2 lead to something now." in words(page)
    assert len(page.select("a.row-link")) == 1
    browser.submit(form, verdict="orphan")
    assert "Nothing changed." in words(browser.soup("/callbacks"))


def test_the_button_takes_no_more_than_a_page_can_wait_for_and_says_so(browser: Browser, database: Database) -> None:
    with database.transaction() as session:
        for n in range(_REPLAYED_AT_ONCE + 1):
            at = NOW + timedelta(seconds=n)
            row = {"target_id": new_id(at), "received_at": at, "repeats": 0, "digest": str(n), "body": b"?"}
            session.add(Callback(id=new_id(at), **row, headers={}, verdict="quarantined", note="", changed=False))
    browser.submit(form_to(browser.soup("/callbacks"), "/callbacks/replay"), verdict="quarantined")
    assert "Only the newest 1,000 were replayed" in words(browser.soup("/callbacks"))


def test_only_what_led_to_nothing_is_replayed_by_the_buttons(browser: Browser, of_every_kind: dict[str, UUID]) -> None:
    form = form_to(browser.soup("/callbacks"), "/callbacks/replay")
    assert browser.submit(form, verdict="accepted").status_code == 400
    assert browser.client.post(f"/callbacks/{of_every_kind['late']}/replay", **HTTPS).status_code == 400  # no token


def test_an_unknown_callback_cannot_be_replayed(browser: Browser, of_every_kind: dict[str, UUID]) -> None:
    path = f"/callbacks/{of_every_kind['late']}"
    form = form_to(browser.soup(path), f"{path}/replay")
    form["action"] = f"/callbacks/{new_id(NOW)}/replay"
    assert browser.submit(form).status_code == 404


# What was refused


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_is_explained_with_what_to_do_and_a_sample(
    browser: Browser, database: Database, cause: Cause
) -> None:
    refuse(database, cause, 1234)
    answer = browser.get("/callbacks/refused")
    (card,) = BeautifulSoup(answer.data, "html.parser").select("section.cause")
    assert re.search(
        r"1,234 in 24 hours .{20,} What to do: .{20,} Last in the minute of .+ from: 203\.0\.113\.9", read(card)
    )
    assert b"<script>alert" not in answer.data


def test_the_light_of_every_page_leads_to_what_is_refused(browser: Browser, database: Database) -> None:
    refuse(database, Cause.WRONG_SECRET)
    for path in ("/", "/messages", "/callbacks"):
        (light,) = browser.soup(path).select("#light")
        assert ("refused" in light["class"], read(light)) == (True, "Callbacks are being refused")
        assert links(light, "a") == ["/callbacks/refused"]


# The picture


def minute(**counts: int) -> IntakeMinute:
    return IntakeMinute(start=NOW, end=NOW + timedelta(minutes=1), counts=counts)


FINDINGS = [
    ([], "No callback in the last hour"),
    ([minute(accepted=1)], "The one callback of the last hour was taken in"),
    ([minute(accepted=1200, late=30), minute(repeat=4)], "All 1,234 callbacks of the last hour were taken in"),
    ([minute(accepted=8, orphan=1, quarantined=2)], "3 of 11 callbacks of the last hour led to nothing"),
    ([minute(orphan=1)], "The one callback of the last hour led to nothing"),
    ([minute(wrong_secret=1)], "The one callback of the last hour was refused: wrong secret"),
    (
        [minute(accepted=8, orphan=1, too_big=2, wrong_secret=1), minute(wrong_secret=3)],
        "6 of 15 were refused in the last hour, mostly for: wrong secret",
    ),
]


@pytest.mark.parametrize(("minutes", "finding"), FINDINGS)
def test_the_picture_says_its_finding(app: Flask, minutes: list[IntakeMinute], finding: str) -> None:
    with app.test_request_context():
        assert intake.intake_finding(minutes) == finding


def test_the_picture_s_numbers_stand_in_its_table(browser: Browser, database: Database) -> None:
    this_minute = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=1)
    for what, callbacks in {"accepted": 1200, "orphan": 3, "wrong_secret": 7, "too_big": 1}.items():
        count(database, what, callbacks=callbacks, minute=this_minute)
    soup = browser.soup("/callbacks")
    (row,) = soup.select("#intake-numbers tbody tr")
    assert [read(cell) for cell in row.select("td")] == ["1,200", "0", "0", "3", "0", "8"]
    for drawing in soup.select("svg.bars"):
        (bar,) = drawing.select("a")
        assert str(bar["aria-label"]).endswith(": 1,200 accepted, 3 without a message, 8 refused")
        assert [part["class"] for part in bar.select("rect")[1:]] == [["ok"], ["wait"], ["bad"]]
        assert drawing.title
        assert drawing.title.text == read(soup.select("#intake-heading")[0])


def test_a_bar_leads_to_the_callbacks_of_its_minute_and_before(browser: Browser, database: Database) -> None:
    noon = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=10)
    count(database, "accepted", minute=noon)
    ids = [add_callback(database, noon + timedelta(seconds=second)) for second in (0, 59, 60)]
    (link,) = {str(bar["href"]) for bar in browser.soup("/callbacks").select("svg.bars a")}
    assert links(browser.soup(link), "a.row-link") == [f"/callbacks/{row_id}" for row_id in (ids[1], ids[0])]


def test_a_bar_of_nothing_but_refusals_leads_to_their_causes(browser: Browser, database: Database) -> None:
    refuse(database, Cause.WRONG_SECRET)
    assert {str(bar["href"]) for bar in browser.soup("/callbacks").select("svg.bars a")} == {"/callbacks/refused"}


def test_a_flood_of_refusals_flattens_nothing_else(app: Flask) -> None:
    quiet, flooded = [minute(accepted=5, too_big=1)], [minute(accepted=5, too_big=600_000)]
    with app.test_request_context():
        drawn = [intake.intake_charts(minutes, BAGHDAD)[0].bars[0] for minutes in (quiet, flooded)]
    assert drawn[0].segments == drawn[1].segments


def test_time_runs_from_right_to_left_in_a_mirrored_picture(app: Flask) -> None:
    minutes = [minute(accepted=1), minute(accepted=2)]
    with app.test_request_context():
        plain, mirrored = (intake.intake_charts(minutes, BAGHDAD, mirrored=mirror)[0] for mirror in (False, True))
    assert [bar.x for bar in plain.bars] == [bar.x for bar in mirrored.bars][::-1]


# All of it


def test_the_live_part_comes_alone_with_a_fresh_light(browser: Browser, of_every_kind: dict[str, UUID]) -> None:
    for path in ("/callbacks", "/callbacks/refused"):
        soup = browser.soup(f"{path}?fragment=live")
        assert (len(soup.select("#live")), len(soup.select("#light[hx-swap-oob]")), soup.select("main")) == (1, 1, [])


def test_every_form_and_link_works_without_javascript(
    browser: Browser, database: Database, of_every_kind: dict[str, UUID]
) -> None:
    refuse(database, Cause.WRONG_SECRET)
    for path in ("/callbacks", "/callbacks/refused", *(f"/callbacks/{of_every_kind[it]}" for it in ("late", "orphan"))):
        soup = browser.soup(path)
        for form in soup.select("form:not([method=dialog])"):
            assert form.select_one("input[name=csrf_token]"), form
            assert form.select_one("button:not([type=button])"), form
        for link in soup.select("a[href^='/']:not([href^='/sign-in'])"):
            assert browser.get(str(link["href"])).status_code == 200, link


def test_every_word_is_marked_for_translation(reader: Browser, simulated: Flask) -> None:
    database = simulated.extensions["wasl"].database
    paths = ["/callbacks", "/callbacks/refused", "/callbacks?verdict=orphan", "/callbacks?verdict=late"]
    for path in paths:
        assert (path, unmarked(reader.get(path).data)) == (path, [])
    now, source = datetime.now(UTC), sources.add(database, "1", datetime.now(UTC))
    for target in (add_message(database, now), new_id(now), source.id):
        for raw in (callback(), callback(), callback(senderId="1"), b"", b"?", b"[]", b"{}", b'{"a":1,"a":1}', b"\xff"):
            receiving.receive(database, [arrival(target, raw, now)])
    for cause in Cause:
        count(database, cause, minute=now.replace(second=0, microsecond=0), sample={"1": "1"})
    paths += [f"/callbacks/{row.id}" for row in all_rows(database, Callback)]
    for path in paths:
        assert (path, unmarked(reader.get(path).data)) == (path, [])


def test_strangers_see_nothing(app: Flask, of_every_kind: dict[str, UUID]) -> None:
    for path in ("/callbacks", "/callbacks/refused", f"/callbacks/{of_every_kind['late']}"):
        answer = app.test_client().get(path, base_url=PUBLIC_URL)
        assert (answer.status_code, answer.headers["Location"].split("?")[0]) == (302, "/sign-in")
    assert app.test_client().get("/callbacks?fragment=live", base_url=PUBLIC_URL).status_code == 401
