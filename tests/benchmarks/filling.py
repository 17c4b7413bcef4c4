"""A store with years in it: messages that went through the real code, multiplied by bulk SQL."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, Table, create_engine, text

from webhook_app import receiving
from webhook_app.database import Database
from webhook_app.models import Callback, Message

from ..rows import arrival
from . import traffic

_PATTERNS = 1_000  # different messages; all others repeat them under an id, a time, a number and an smsId of their own
_AT_ONCE = 500_000
_SPAN_MS = 90 * 24 * 3600 * 1000


def fill(database: Database, count: int) -> None:
    """Put `count` messages of the last 90 days with their callbacks into an empty store; `traffic.store` counts."""
    if count < _PATTERNS:
        return
    started_s = time.monotonic()
    _store_patterns(database)
    indexes = [index for model in (Message, Callback) for index in model.__table__.indexes]  # type: ignore[attr-defined]
    engine = create_engine(database.engine.url)  # one that may be careless
    with engine.connect() as connection:
        _prepare(connection, database.is_sqlite)
        for index in indexes:  # one sort in the end costs far less than ten million places found
            index.drop(connection)
        connection.commit()
        for first in range(0, count - _PATTERNS, _AT_ONCE):
            last = min(first + _AT_ONCE, count - _PATTERNS)
            _multiply(connection, database.is_sqlite, first, last, count)
            connection.commit()
            print(f"  {last:,} of {count:,} old messages after {time.monotonic() - started_s:.0f} s", flush=True)
        for index in indexes:
            index.create(connection)
            connection.commit()
        for pattern in ("pattern", "pattern_callback"):
            connection.execute(text(f"DROP TABLE {pattern}"))
        connection.commit()
    engine.dispose()
    if not database.is_sqlite:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))  # as autovacuum would have done long ago
    print(f"  filled with {count:,} messages in {time.monotonic() - started_s:.0f} s", flush=True)


def _store_patterns(database: Database) -> None:
    messages = traffic.make_messages(_PATTERNS)
    traffic.store(database, messages)
    bodies = [(message["id"], body) for message in messages for body in traffic.callbacks_of(message)]
    for start in range(0, len(bodies), 100):
        batch = [arrival(target_id, body, datetime.now(UTC)) for target_id, body in bodies[start : start + 100]]
        receiving.receive(database, batch)


def _prepare(connection: Connection, is_sqlite: bool) -> None:
    settings = (
        ("PRAGMA synchronous = OFF", "PRAGMA cache_size = -1000000")
        if is_sqlite
        else ("SET synchronous_commit = off", "SET maintenance_work_mem = '1GB'")
    )
    for setting in settings:
        connection.exec_driver_sql(setting)
    place = "row_number() OVER (ORDER BY id) - 1"
    connection.execute(text(f"CREATE TABLE pattern AS SELECT {place} AS place, message.* FROM message"))
    connection.execute(
        text(
            "CREATE TABLE pattern_callback AS SELECT pattern.place, "
            "row_number() OVER (PARTITION BY message_id ORDER BY callback.id) AS nth, callback.* "
            "FROM callback JOIN pattern ON pattern.id = callback.message_id"
        )
    )
    for table in ("pattern", "pattern_callback"):
        connection.execute(text(f"CREATE INDEX ix_{table}_place ON {table} (place)"))


def _multiply(connection: Connection, is_sqlite: bool, first: int, last: int, count: int) -> None:
    """Messages number `first` to `last` of `count`, the older the smaller, and their callbacks."""
    numbers = (
        f"WITH RECURSIVE numbers(n) AS (SELECT CAST({first} AS BIGINT)"
        f" UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {last})"
    )
    newest_ms = int(datetime.now(UTC).timestamp() * 1000) - 3_600_000
    ms = f"({newest_ms} - {_SPAN_MS} + n * {_SPAN_MS // count})"
    salt = "(n * 2654435761)"
    own = _Sql(is_sqlite)
    message_id = own.uuid(ms, salt)
    digits = own.digits("n * 7919 % 10000000", 7)
    _insert(
        connection,
        Message.__table__,  # type: ignore[arg-type]
        {
            "id": message_id,
            "created_at": own.time(ms),
            "phone": f"substr(phone, 1, 5) || {digits}",
            "phone_end": f"substr({digits}, 4)",
            "sms_id": f"'sms-' || {own.hex(f'{ms} / 1000', 8)} || {own.hex(salt, 16)}",
        },
        numbers,
        f"FROM numbers JOIN pattern ON pattern.place = n % {_PATTERNS}",
    )
    _insert(
        connection,
        Callback.__table__,  # type: ignore[arg-type]
        {
            "id": own.uuid(f"({ms} + 3000 * nth)", f"({salt} + nth)"),
            "target_id": message_id,
            "message_id": message_id,
            "received_at": own.time(f"({ms} + 3000 * nth)"),
            "digest": f"substr(digest, 1, 40) || {own.hex(f'{salt} + nth', 24)}",
        },
        numbers,
        f"FROM numbers JOIN pattern_callback ON pattern_callback.place = n % {_PATTERNS}",
    )


def _insert(connection: Connection, table: Table, own: dict[str, str], numbers: str, source: str) -> None:
    names: Sequence[str] = table.columns.keys()
    chosen = "SELECT " + ", ".join(own.get(name, name) for name in names)
    connection.execute(text(f"INSERT INTO {table.name} ({', '.join(names)}) {numbers} {chosen} {source}"))


class _Sql:
    """What the two stores write differently."""

    def __init__(self, is_sqlite: bool) -> None:
        self._is_sqlite = is_sqlite

    def hex(self, number: str, width: int) -> str:
        if self._is_sqlite:
            return f"printf('%0{width}x', {number})"
        return f"lpad(to_hex({number}), {width}, '0')"

    def digits(self, number: str, width: int) -> str:
        if self._is_sqlite:
            return f"printf('%0{width}d', {number})"
        return f"lpad(({number})::text, {width}, '0')"

    def uuid(self, ms: str, salt: str) -> str:
        parts = (self.hex(ms, 12), "'7'", self.hex(f"{salt} % 4096", 3), "'8'", self.hex(f"{salt} % 1000000007", 15))
        joined = " || ".join(parts)
        return joined if self._is_sqlite else f"({joined})::uuid"

    def time(self, ms: str) -> str:
        if self._is_sqlite:
            return f"strftime('%Y-%m-%d %H:%M:%f', {ms} / 1000.0, 'unixepoch') || '000'"
        return f"to_timestamp({ms} / 1000.0)"
