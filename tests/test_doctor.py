"""What the doctor says of keys that may go, and of a worker that is missing; on both stores."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from webhook_app import doctor, sources
from webhook_app.database import Database
from webhook_app.doctor import Finding
from webhook_app.ids import new_id
from webhook_app.models import Message, Moment
from webhook_app.otpiq import Otpiq
from webhook_app.settings import Settings
from webhook_app.stamp import Stamp
from webhook_app.status import Fact

from .conftest import make_config
from .rows import NOW, add_message

NEW, OLD, OLDEST = "aaaaaaaa", "bbbbbbbb", "cccccccc"
MAY_GO = "may go: nothing of the last 7 days needs it"


@pytest.fixture
def config(store_url: str, tmp_path: Path) -> Settings:
    """Without a key, OTPIQ is not asked."""
    return make_config(store_url, tmp_path, OTPIQ_API_KEY="")


def examined(
    config: Settings, database: Database, names: Sequence[str] = (NEW,), now: datetime = NOW
) -> dict[str, Finding]:
    nowhere = Stamp(url="https://127.0.0.1:9/callbacks/otpiq/1", secret="unused")
    found = doctor.examine(config, database, Otpiq(config.otpiq_base_url, None), names, nowhere, now)
    return {finding.subject: finding for finding in found}


def said_of_old_key(config: Settings, database: Database, now: datetime = NOW) -> str:
    return examined(config, database, [NEW, OLD], now)[f"master key 2 of 2 ({OLD})"].text


def beat(database: Database, name: str, at: datetime) -> None:
    with database.transaction() as session:
        session.merge(Moment(name=name, at=at))


def test_a_single_key_is_not_spoken_of(config: Settings, database: Database) -> None:
    add_message(database, stamp_key=NEW)
    assert not any("key" in subject for subject in examined(config, database))


def test_a_key_nobody_needs_may_go(config: Settings, database: Database) -> None:
    add_message(database, stamp_key=NEW)
    assert said_of_old_key(config, database) == MAY_GO


def test_a_key_must_stay_while_an_open_message_is_stamped_with_it(config: Settings, database: Database) -> None:
    for hours in (1, 5):
        add_message(database, NOW - timedelta(hours=hours), stamp_key=OLD)
    said = said_of_old_key(config, database)
    assert said == "must stay: open messages stamped with it: 2, the newest 60 min old"


def test_a_key_may_go_when_its_messages_are_closed(config: Settings, database: Database) -> None:
    add_message(database, stamp_key=OLD, facts=[Fact(at=NOW, word="delivered", channel="sms")])
    add_message(database, stamp_key=OLD, facts=[Fact(at=NOW, word="sent", channel="sms", is_final=True)])
    assert said_of_old_key(config, database) == MAY_GO


def test_a_key_may_go_when_nobody_waits_for_its_messages_any_more(config: Settings, database: Database) -> None:
    add_message(database, stamp_key=OLD)
    assert said_of_old_key(config, database, NOW + timedelta(days=6, hours=23)).endswith(": 1, the newest 6 days old")
    assert said_of_old_key(config, database, NOW + timedelta(days=7, hours=1)) == MAY_GO


def test_a_message_from_before_keys_were_noted_may_need_any_of_them(config: Settings, database: Database) -> None:
    add_message(database)
    found = examined(config, database, [NEW, OLD, OLDEST])
    assert [finding.text[:9] for subject, finding in found.items() if "master key" in subject] == ["must stay"] * 2


def test_more_open_messages_than_ten_thousand_are_not_counted(config: Settings, database: Database) -> None:
    add_message(database, stamp_key=OLD)
    with database.transaction() as session:
        message = session.query(Message).one()
        row = {column.name: getattr(message, column.name) for column in Message.__table__.columns}
        session.execute(insert(Message), [row | {"id": new_id(NOW)} for _ in range(10_001)])
    assert said_of_old_key(config, database).startswith("must stay: open messages stamped with it: 10,000+,")


def test_a_source_s_newest_message_tells_which_key_its_program_uses(config: Settings, database: Database) -> None:
    for name in ("shop", "kiosk"):
        source = sources.add(database, name, NOW)
        closed = [Fact(at=NOW, word="delivered", channel="sms")]
        add_message(database, source_id=source.id, sms_id="1", stamp_key=OLD, facts=closed)
        if name == "kiosk":
            later = NOW + timedelta(seconds=1)
            add_message(database, later, source_id=source.id, sms_id="2", stamp_key=NEW, facts=closed)
    assert said_of_old_key(config, database) == "must stay: sources that use it: shop"


def test_a_source_that_never_called_may_use_any_key(config: Settings, database: Database) -> None:
    sources.add(database, "shop", NOW)
    assert said_of_old_key(config, database) == "must stay: sources that use it: shop (perhaps)"


def test_a_source_s_open_message_alone_keeps_no_key(config: Settings, database: Database) -> None:
    source = sources.add(database, "shop", NOW)
    add_message(database, source_id=source.id, sms_id="1", stamp_key=OLD)
    add_message(database, NOW + timedelta(seconds=1), source_id=source.id, sms_id="2", stamp_key=NEW)
    assert said_of_old_key(config, database) == MAY_GO


def test_a_key_taken_away_too_early_is_a_warning(config: Settings, database: Database) -> None:
    add_message(database, stamp_key=OLD)
    source = sources.add(database, "shop", NOW)
    add_message(database, source_id=source.id, sms_id="1", stamp_key=OLDEST)
    found = examined(config, database)["master keys"]
    assert found.level == "warn"
    assert "open messages stamped with it: 1," in found.text
    assert found.text.endswith("sources that use it: shop")


def test_a_worker_that_beats_is_at_work(config: Settings, database: Database) -> None:
    beat(database, "worker:old:1", NOW - timedelta(hours=5))
    beat(database, "worker:new:2", NOW - timedelta(seconds=59))
    assert examined(config, database)["worker"] == Finding(level="ok", subject="worker", text="at work")


@pytest.mark.parametrize("name", ["worker:a:1", "workers", None])
def test_without_a_worker_the_doctor_says_what_is_not_done(
    config: Settings, database: Database, name: str | None
) -> None:
    if name:
        beat(database, name, NOW - timedelta(seconds=61))
    found = examined(config, database)["worker"]
    assert found.level == "warn"
    assert found.text.startswith("last seen 1 min ago" if name == "worker:a:1" else "not seen yet")
    assert "without `wasl worker` nobody asks OTPIQ" in found.text


def test_a_pause_that_otpiq_asked_for_is_told(config: Settings, database: Database) -> None:
    beat(database, "tracking pause", NOW)
    assert "tracking" not in examined(config, database)
    beat(database, "tracking pause", NOW + timedelta(hours=5))
    assert examined(config, database)["tracking"].text.endswith("for another 5 h")


def test_the_way_in_is_tried_and_a_broken_one_is_a_warning(config: Settings, database: Database) -> None:
    found = examined(config, database)["way in"]
    assert found.level == "warn"
    assert found.text.startswith("tried from here, a callback does not get there (connection): Nothing listens there. ")
