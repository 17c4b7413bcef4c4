"""A store with years in it: messages that went through the real code, multiplied by bulk SQL."""

import time
from datetime import UTC, datetime, timedelta
from typing import cast
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Table, create_engine, select, text, update

from webhook_app import sample
from webhook_app.database import Base, Database
from webhook_app.models import BalanceReading, Callback, Exchange, Message
from webhook_app.stamp import Stamper
from webhook_app.status import Status

from ..conftest import PUBLIC_URL, SECRET_KEY
from ..rows import add_message

_PATTERNS = 1_000  # different messages; all others repeat them under an id, a time, a number and an smsId of their own
_STIRRED_BY = 389  # has no divisor in common with their number
_AT_ONCE = 500_000
_SPAN_MS = 90 * 24 * 3600 * 1000
_PATTERNS_AGO = timedelta(days=100)
_TABLES = [cast(Table, model.__table__) for model in (Message, Callback, Exchange, BalanceReading)]
# Sends nothing was ever reported of, beside the demo's history: how many of the patterns, their state, the outcome's
# kind.
_UNHEARD = (
    (30, Status.REJECTED, "credit"),
    (10, Status.REJECTED, "sender"),
    (15, Status.UNSENT, "not_sent"),
    (5, Status.THROTTLED, "rate"),
    (10, Status.UNCONFIRMED, "outcome_unknown"),
    (10, Status.ACCEPTED, None),
)


def fill(database: Database, count: int) -> None:
    """Put `count` messages of the last 90 days with all that belongs to them into an empty store; one that was filled
    with as many before gets those that would have come since. `traffic.store` counts them."""
    if count <= _PATTERNS:
        return
    started_s = time.monotonic()
    newest_at = _newest_at(database)
    if newest_at is None:
        _store_patterns(database)
    database.engine.dispose()  # while another connection is open, SQLite keeps its journal
    engine = create_engine(database.engine.url)  # one that may be careless
    with engine.connect() as connection:
        _be_careless(connection, database.is_sqlite)
        series = _Series(connection, database.is_sqlite, _SPAN_MS // (count - _PATTERNS))
        if newest_at is None:
            series.note_patterns()
            series.multiply_without_indexes()
        else:
            series.multiply_after(newest_at)
    engine.dispose()
    if not database.is_sqlite:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))  # as autovacuum would have done long ago
            connection.execute(text("CHECKPOINT"))  # or it would be writing while pages are measured
    print(f"  filled with {count:,} messages in {time.monotonic() - started_s:.0f} s", flush=True)


def _newest_at(database: Database) -> datetime | None:
    with database.reading() as session:
        return session.scalar(select(Message.created_at).order_by(Message.id.desc()).limit(1))


def _store_patterns(database: Database) -> None:
    """A fortnight of the demo's history, and sends that never became a story; longer ago than any page looks back."""
    at = datetime.now(UTC) - _PATTERNS_AGO
    stories = _PATTERNS - sum(how_many for how_many, _state, _kind in _UNHEARD)
    sample.fill(database, Stamper((SECRET_KEY,), PUBLIC_URL), stories, ZoneInfo("Asia/Baghdad"), at)
    for how_many, state, kind in _UNHEARD:
        outcome = {"state": state, "kind": kind} if kind else None
        for _ in range(how_many):
            add_message(database, at, send_state=state, outcome=outcome, estimate_iqd=80)
    with database.writing() as connection:
        connection.execute(update(Message).values(is_sample=False))  # pages tell apart what was made up


def _be_careless(connection: Connection, is_sqlite: bool) -> None:
    settings = (
        ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "PRAGMA cache_size = -1000000", "PRAGMA threads = 2")
        if is_sqlite
        else ("SET synchronous_commit = off", "SET maintenance_work_mem = '1GB'")
    )
    for setting in settings:
        connection.exec_driver_sql(setting)


class _Series:
    """Messages one after the other, `step_ms` apart; a message's number tells its time, whenever it is made."""

    def __init__(self, connection: Connection, is_sqlite: bool, step_ms: int) -> None:
        self._connection = connection
        self._sql = _Sql(is_sqlite)
        self._step_ms = step_ms

    def note_patterns(self) -> None:
        """Copy what is stored, with how long after its message each row came."""
        # Stirred: an hour that stands out of the history would stand out of every thousand messages.
        pattern = f"row_number() OVER (ORDER BY id) * {_STIRRED_BY} % {_PATTERNS} AS place, message.*"
        after = {name: self._sql.ms_between(f"message.{name}", "created_at") for name in ("settled_at", "last_fact_at")}
        delays = ", ".join(f"{expression} AS {name}_ms" for name, expression in after.items())
        self._connection.execute(text(f"CREATE TABLE pattern AS SELECT {pattern}, {delays} FROM message"))
        for table, at in (("callback", "received_at"), ("exchange", "at")):
            nth = f"row_number() OVER (PARTITION BY message_id ORDER BY {table}.id) AS nth"
            after_ms = f"{self._sql.ms_between(f'{table}.{at}', 'pattern.created_at')} AS after_ms"
            self._connection.execute(
                text(
                    f"CREATE TABLE pattern_{table} AS SELECT pattern.place, {nth}, {after_ms}, {table}.* "
                    f"FROM {table} JOIN pattern ON pattern.id = {table}.message_id"
                )
            )
        for table in ("pattern", "pattern_callback", "pattern_exchange"):
            self._connection.execute(text(f"CREATE INDEX ix_{table}_place ON {table} (place)"))
        self._connection.commit()

    def multiply_without_indexes(self) -> None:
        """The whole span. One sort in the end costs far less than ten million places found."""
        indexes = [index for table in _TABLES for index in table.indexes]
        for index in indexes:
            index.drop(self._connection)
        self._connection.commit()
        number = self.multiply(self._number_of(datetime.now(UTC)) - _SPAN_MS // self._step_ms)
        for index in indexes:
            index.create(self._connection)
            self._connection.commit()
        self.multiply(number)

    def multiply_after(self, newest_at: datetime) -> None:
        self.multiply(self._number_of(newest_at) + 1)

    def multiply(self, first: int) -> int:
        """The messages from that number until now, the older the smaller their id; returns the next one's number."""
        number, started_s = first, time.monotonic()
        while number < (now := self._number_of(datetime.now(UTC))):
            until = min(number + _AT_ONCE, now)
            self._add(number, until)
            self._connection.commit()
            number = until
            print(f"  {number - first:,} of {now - first:,} after {time.monotonic() - started_s:.0f} s", flush=True)
        return number

    def _number_of(self, at: datetime) -> int:
        return round(at.timestamp() * 1000) // self._step_ms

    def _add(self, first: int, until: int) -> None:
        ms, salt, own = f"(n * {self._step_ms})", "(n % 1000000007 * 2654435761)", self._sql
        message_id = own.uuid(ms, salt)
        digits = own.digits("n * 7919 % 10000000", 7)
        self._insert(
            Message,
            {
                "id": message_id,
                "created_at": own.time(ms),
                "settled_at": own.time(f"({ms} + settled_at_ms)"),
                "last_fact_at": own.time(f"({ms} + last_fact_at_ms)"),
                "track_at": "NULL",  # asked about long ago
                "phone": f"substr(phone, 1, 6) || {digits}",
                "phone_end": f"substr({digits}, 4)",
                "sms_id": f"'sms-' || {own.hex(f'{ms} / 1000', 8)} || {own.hex(salt, 16)}",
            },
            first,
            until,
            "pattern",
        )
        belonging = {"id": own.uuid(f"({ms} + after_ms)", f"({salt} + nth)"), "message_id": message_id}
        came_at = own.time(f"({ms} + after_ms)")
        digest = f"substr(digest, 1, 40) || {own.hex(f'{salt} + nth', 24)}"
        callback = belonging | {"target_id": message_id, "received_at": came_at, "digest": digest}
        self._insert(Callback, callback, first, until, "pattern_callback")
        self._insert(Exchange, belonging | {"at": came_at}, first, until, "pattern_exchange")
        balance = {"id": message_id, "at": own.time(ms), "iqd": "2000000 - n * 71 % 2000000"}
        self._insert(BalanceReading, balance, first, until, "pattern")

    def _insert(self, model: type[Base], own: dict[str, str], first: int, until: int, patterns: str) -> None:
        numbers = (
            f"WITH RECURSIVE numbers(n) AS (SELECT CAST({first} AS BIGINT)"
            f" UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {until})"
        )
        table = cast(Table, model.__table__)
        names = table.columns.keys()
        chosen = ", ".join(own.get(name, name) for name in names)
        source = f"FROM numbers JOIN {patterns} ON {patterns}.place = n % {_PATTERNS}"
        self._connection.execute(
            text(f"INSERT INTO {table.name} ({', '.join(names)}) {numbers} SELECT {chosen} {source}")
        )


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

    def ms_between(self, late: str, early: str) -> str:
        if self._is_sqlite:
            return f"CAST(round((julianday({late}) - julianday({early})) * 86400000) AS INTEGER)"
        return f"round(extract(epoch FROM {late} - {early}) * 1000)::bigint"
