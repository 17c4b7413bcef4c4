"""The sample history: as many messages as asked for, counted exactly, one bad hour planted, all of it marked."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from webhook_app import figures, sample
from webhook_app.database import Database
from webhook_app.figures import tallies
from webhook_app.models import Callback, Delta, Exchange, Message, PartDelta, Tally
from webhook_app.phone import Carrier
from webhook_app.stamp import Stamper

from .rows import all_rows, fold_of_stored, parts_counted, parts_recounted

ZONE = ZoneInfo("Asia/Baghdad")
NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)  # noon in Baghdad
COUNT = 600


@pytest.fixture
def filled(database: Database, stamper: Stamper) -> Database:
    sample.fill(database, stamper, COUNT, ZONE, NOW)
    return database


def test_there_are_as_many_messages_as_asked_for_all_marked_and_of_the_last_fortnight(filled: Database) -> None:
    messages = all_rows(filled, Message)
    assert len(messages) == COUNT
    assert all(message.is_sample and message.asked_by == "sample history" for message in messages)
    assert all(NOW - timedelta(days=sample.DAYS, hours=1) <= message.created_at <= NOW for message in messages)
    assert len({message.id for message in messages}) == COUNT


def test_the_counts_equal_the_rows(filled: Database) -> None:
    messages = Counter((row.status, row.carrier, row.channel or "") for row in all_rows(filled, Message))
    tallied: Counter[tuple[str, str, str]] = Counter()
    for row in all_rows(filled, Tally):
        tallied[row.status, row.carrier, row.channel] += row.messages
    assert tallied == messages
    assert all_rows(filled, Delta) == []
    assert sum(row.charged_iqd for row in all_rows(filled, Tally)) == sum(
        message.charged_iqd or 0 for message in all_rows(filled, Message)
    )


def test_the_pictures_have_paths_reasons_and_durations_to_show(filled: Database) -> None:
    assert all_rows(filled, PartDelta) == []
    assert parts_counted(filled) == parts_recounted(filled)
    with filled.reading() as session:
        ever = (NOW - timedelta(days=sample.DAYS + 1), NOW + timedelta(hours=1))
        words = {
            part: {each.word for each in tallies.parts(session, part, *ever, "word")} for part in ("path", "reason")
        }
        took = {each.place: each.messages for each in tallies.parts(session, "took", *ever, "place")}
    assert words["path"] >= {"sms:delivered", "whatsapp:delivered", "whatsapp:failed sms:delivered", "sms:failed"}
    assert "Carrier rejected the message" in words["reason"]
    assert 1 < (tallies.percentile_s(took, 0.5) or 0) < (tallies.percentile_s(took, 0.95) or 0)


def test_every_message_is_the_fold_of_its_own_callbacks_and_answer(filled: Database) -> None:
    for message in all_rows(filled, Message)[:: COUNT // 50]:
        fold = fold_of_stored(filled, message.id)
        assert (message.sms_id, message.charged_iqd) == (min(fold.sms_ids), fold.charged_iqd)
        assert message.closed == any(channel.final for channel in fold.channels.values())


def test_nothing_in_it_is_of_the_future(filled: Database) -> None:
    assert all(callback.received_at <= NOW for callback in all_rows(filled, Callback))
    with filled.reading() as session:
        assert max(session.scalars(select(Exchange.at))) <= NOW + timedelta(seconds=1)


def test_in_the_planted_hour_korek_fails_and_at_no_other_time(database: Database, stamper: Stamper) -> None:
    sample.fill(database, stamper, 2_000, ZONE, NOW)
    planted = sample.bad_hour(NOW)
    outcomes: dict[bool, Counter[bool]] = {True: Counter(), False: Counter()}
    for message in all_rows(database, Message):
        if message.carrier == Carrier.KOREK and message.status in ("failed", "delivered", "read"):
            is_planted = planted <= message.created_at < planted + timedelta(hours=1)
            outcomes[is_planted][message.status == "failed"] += 1
    share = {hour: failed[True] / failed.total() for hour, failed in outcomes.items()}
    assert share[True] > 0.5
    assert share[False] < 0.2


def test_the_overview_finds_the_planted_hour(database: Database, stamper: Stamper) -> None:
    sample.fill(database, stamper, 2_500, ZONE, NOW)
    shown = figures.overview(database, figures.range_of("today", ZONE, NOW))
    assert shown.worst is not None
    assert shown.worst.start == sample.bad_hour(NOW)
    assert shown.has_sample


def test_the_same_seed_tells_the_same_history(database: Database, stamper: Stamper) -> None:
    sample.fill(database, stamper, 50, ZONE, NOW)
    sample.fill(database, stamper, 50, ZONE, NOW)
    told = Counter((row.created_at, row.phone, row.status) for row in all_rows(database, Message))
    assert set(told.values()) == {2}


def test_no_sample_leaves_the_store_empty(database: Database, stamper: Stamper) -> None:
    sample.fill(database, stamper, 0, ZONE, NOW)
    assert all_rows(database, Message) == []
