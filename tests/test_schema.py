import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from alembic import command
from sqlalchemy import Engine, inspect, make_url, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CheckConstraint

from webhook_app import counting, receiving, recounting, schema, sources
from webhook_app.database import Base, Database, StoreAway, has_wal_reset_bug, sqlite_module
from webhook_app.figures import range_of, tallies
from webhook_app.models import Message, SourceAddress
from webhook_app.recounting import Recount
from webhook_app.status import Fact, Status

from .rows import NOW, add_message, all_rows, arrival, callback, counted, get_message, parts_counted

ROOT = Path(__file__).parent.parent


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A store that has never been started."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/new/wasl.db"
        return
    server = Database(request.getfixturevalue("postgresql_url"))
    name = f"empty_{uuid4().hex}"
    _outside_a_transaction(server.engine, f"CREATE DATABASE {name}")
    yield make_url(request.getfixturevalue("postgresql_url")).set(database=name).render_as_string(hide_password=False)
    _outside_a_transaction(server.engine, f"DROP DATABASE {name} WITH (FORCE)")
    server.engine.dispose()


@pytest.fixture
def empty(empty_url: str) -> Iterator[Database]:
    database = Database(empty_url)
    yield database
    database.engine.dispose()


def _outside_a_transaction(engine: Engine, statement: str) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(statement))


def test_the_migrations_make_what_the_models_say(database: Database) -> None:
    config = schema._config()
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.check(config)  # raises, and names the difference


def test_the_migrations_make_every_check_the_models_name(database: Database) -> None:
    inspected = inspect(database.engine)
    for table in Base.metadata.sorted_tables:
        modelled = {str(each.name) for each in table.constraints if isinstance(each, CheckConstraint)}
        assert {each["name"] for each in inspected.get_check_constraints(table.name)} == modelled


def test_an_empty_store_is_brought_up_to_date(empty: Database) -> None:
    assert schema.current(empty) is None
    schema.upgrade_if_needed(empty)
    assert schema.current(empty) == schema.newest()
    assert {table.name for table in Base.metadata.sorted_tables} <= set(inspect(empty.engine).get_table_names())


def test_an_upgrade_of_what_is_up_to_date_keeps_the_rows(database: Database) -> None:
    message = add_message(database)
    schema.upgrade(database)
    with database.reading() as session:
        assert session.execute(text("SELECT count(*) FROM message")).scalar() == 1
    assert message


def test_a_store_from_before_the_pictures_is_counted_as_if_it_had_always_been_counted(empty: Database) -> None:
    schema.upgrade(empty)
    live(empty, NOW)
    counting.fold(empty)
    live(empty, NOW + timedelta(hours=1))
    before = state_of(empty)
    downgrade(empty, "0002")
    schema.upgrade_if_needed(empty)
    assert state_of(empty) == before
    assert recounting.recount(empty, check_only=True) == Recount(messages=8, differences=())


def test_a_store_from_before_the_slots_has_them_for_the_last_hour(empty: Database) -> None:
    schema.upgrade(empty)
    now = datetime.now(UTC)
    live(empty, now - timedelta(hours=1))
    counting.fold(empty)
    live(empty, now - timedelta(minutes=1))
    downgrade(empty, "0003")
    schema.upgrade_if_needed(empty)
    assert recounting.recount(empty, check_only=True) == Recount(messages=8, differences=())
    range_ = range_of("1h", ZoneInfo("UTC"), now)
    with empty.reading() as session:
        edges = [range_.before, range_.end]
        assert sum(each.messages for each in tallies.days(session, edges, by_slot=True)) == 8


def test_a_store_from_before_knows_which_messages_were_repeats(empty: Database) -> None:
    schema.upgrade(empty)
    for seconds, columns in (
        (0, {"send_state": Status.REJECTED}),
        (30, {}),
        (40, {"phone": "9647701234568"}),
        (90, {"is_repeat": True}),
        (100, {"send_state": Status.REJECTED}),
        (150, {"is_repeat": True}),
        (211, {}),
    ):
        at = NOW + timedelta(seconds=seconds)
        facts = [Fact(at=at, word="delivered", channel="sms", is_final=True, cost_iqd=80)]
        add_message(empty, at, **columns, facts=[] if "send_state" in columns else facts)
    counting.fold(empty)
    before = [row.is_repeat for row in all_rows(empty, Message)], parts_counted(empty)
    downgrade(empty, "0004")
    schema.upgrade_if_needed(empty)
    assert ([row.is_repeat for row in all_rows(empty, Message)], parts_counted(empty)) == before
    assert recounting.recount(empty, check_only=True).differences == ()


def test_a_source_from_before_keeps_the_address_it_had(empty: Database) -> None:
    schema.upgrade(empty)
    shop = sources.add(empty, "shop", NOW)
    downgrade(empty, "0007")
    schema.upgrade_if_needed(empty)
    (address,) = all_rows(empty, SourceAddress)
    assert (address.id, address.source_id, address.made_at, address.retired_at) == (shop.id, shop.id, NOW, None)
    assert receiving.receive(empty, [arrival(shop.id, callback(), NOW)]) == ["accepted"]


def downgrade(database: Database, revision: str) -> None:
    with database.engine.begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


def live(database: Database, at: datetime) -> None:
    """Messages that were delivered, failed, refused, another program's, and one that is open."""
    facts = [Fact(at=at, word="failed", channel="whatsapp"), Fact(at=at + timedelta(seconds=9), word="read")]
    add_message(database, at, facts=facts)
    add_message(database, at, send_state=Status.REJECTED, outcome={"kind": "credit"})
    add_message(database, at, phone="9647501234567")
    shop = sources.add(database, f"shop {at}", at)
    receiving.receive(database, [arrival(shop.id, callback("failed", final=True, reason="Refused"), at)])


def state_of(database: Database) -> tuple[object, ...]:
    columns = ("id", "status", "closed", "path", "fallback_s", "took_bucket", "reason", "charged_iqd", "track_at")
    messages = [[getattr(row, name) for name in columns] for row in all_rows(database, Message)]
    with database.reading() as session:
        hours = tallies.hours(session, NOW, NOW + timedelta(days=1))
        cells = tallies.cells(session, NOW, NOW + timedelta(days=1), "hour", "carrier", "channel", "status")
    return messages, counted(database), parts_counted(database), hours, cells


def test_processes_that_start_at_once_upgrade_once(empty_url: str) -> None:
    program = (
        "import sys; from webhook_app import schema; from webhook_app.database import Database; "
        "schema.upgrade(Database(sys.argv[1]))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program, empty_url], cwd=ROOT, stderr=subprocess.PIPE, env=os.environ)
        for _ in range(3)
    ]
    errors = [process.communicate(timeout=60)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], errors
    database = Database(empty_url)
    assert schema.current(database) == schema.newest()
    database.engine.dispose()


@pytest.mark.parametrize(
    "change",
    [
        "status = 'lost'",
        "send_state = 'delivered'",
        "carrier = 'pigeon'",
        "charged_iqd = -1",
        "estimate_iqd = -1",
        "status = NULL",
        "delivery = NULL",
        "source_id = '01934f3c000070008000000000000001'",
        "again_of = '01934f3c000070008000000000000001'",
    ],
)
def test_the_store_itself_refuses_nonsense(database: Database, change: str) -> None:
    add_message(database)
    with pytest.raises(IntegrityError), database.transaction() as session:
        session.execute(text(f"UPDATE message SET {change}"))


def test_times_come_back_aware_and_in_utc(database: Database) -> None:
    message = add_message(database)
    row = get_message(database, message)
    assert row.created_at == NOW
    assert row.created_at.utcoffset() == NOW.utcoffset()


def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    with pytest.raises(Exception, match="a time without a zone"):
        add_message(database, NOW.replace(tzinfo=None))


def test_sqlite_keeps_a_commit_through_a_power_cut(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/wasl.db")
    with database.engine.connect() as connection:
        pragmas = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("synchronous", "foreign_keys")]
    database.engine.dispose()
    assert pragmas == [3 if has_wal_reset_bug(sqlite_module().sqlite_version_info) else 2, 1]


def test_postgresql_commits_to_the_disk_whatever_it_is_set_to(empty_url: str) -> None:
    if empty_url.startswith("sqlite"):
        return
    server = Database(empty_url)
    for setting, holds in (("off", "on"), ("remote_apply", "remote_apply")):
        name = make_url(empty_url).database
        _outside_a_transaction(server.engine, f"ALTER DATABASE {name} SET synchronous_commit = {setting}")
        database = Database(empty_url)
        with database.writing() as connection:
            assert connection.scalar(text("SHOW synchronous_commit")) == holds
        database.engine.dispose()
    server.engine.dispose()


def test_postgresql_shows_who_waited_for_a_lock_what_was_changed_meanwhile_whatever_it_is_set_to(
    empty_url: str,
) -> None:
    if empty_url.startswith("sqlite"):
        return
    server = Database(empty_url)
    name = make_url(empty_url).database
    _outside_a_transaction(
        server.engine, f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'"
    )
    database = Database(empty_url)
    with database.transaction() as session:
        assert session.scalar(text("SHOW transaction_isolation")) == "read committed"
    for held in (database, server):
        held.engine.dispose()


@pytest.mark.parametrize(("series", "fixed"), [(44, 6), (50, 7), (51, 3)])
def test_the_wal_reset_bug_is_known_by_version(series: int, fixed: int) -> None:
    assert has_wal_reset_bug((3, series, fixed - 1))
    assert not has_wal_reset_bug((3, series, fixed))
    assert has_wal_reset_bug((3, 45, 9))
    assert not has_wal_reset_bug((3, 52, 0))


def test_the_sqlite_file_is_its_owners_alone(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'data' / 'wasl.db'}")
    schema.upgrade(database)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "data").iterdir()}
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert set(modes.values()) == {0o600}
    database.engine.dispose()


def test_a_file_that_is_no_database_is_a_store_that_is_away(tmp_path: Path) -> None:
    (tmp_path / "wasl.db").write_bytes(b"no database at all, but long enough to have a header of its own" * 20)
    database = Database(f"sqlite:///{tmp_path / 'wasl.db'}")
    with pytest.raises(StoreAway):
        database.ping()
    database.engine.dispose()


def test_a_folder_that_cannot_be_made_is_a_store_that_is_away() -> None:
    with pytest.raises(StoreAway):
        Database("sqlite:////proc/none/wasl.db")
