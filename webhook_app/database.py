"""Engine and transactions for SQLite and PostgreSQL; the naming convention; the UTC type. No table and no query."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy import DateTime, MetaData, create_engine, event, func, make_url, select, text
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.exc import DatabaseError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

try:
    import pysqlite3  # bundles a current SQLite
except ImportError:  # no wheel for this platform
    pysqlite3 = None

_BUSY_TIMEOUT_MS = 5_000  # callers of ours give up after 10 s
_WAL_RESET_FIXED = ((3, 44, 6), (3, 50, 7), (3, 51, 3))


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(TypeDecorator[datetime]):
    """Aware in, aware UTC out, on both stores (SQLite keeps no zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without a zone")
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class StoreAway(Exception):
    """The store does not answer, or is locked for too long: nothing was written."""


class Database:
    """One engine. Not to be carried over a fork: each process makes its own."""

    def __init__(self, url: str) -> None:
        self.is_sqlite = url.startswith("sqlite")
        if self.is_sqlite:
            _make_private(Path(make_url(url).database or ""))
        driver: dict[str, Any] = (
            {"module": sqlite_module(), "connect_args": {"isolation_level": None, "check_same_thread": False}}
            if self.is_sqlite
            else {"connect_args": {"connect_timeout": 5}, "pool_pre_ping": True}
        )
        # hide_parameters: a statement that fails must not carry numbers and bodies into a log.
        self.engine = create_engine(url, hide_parameters=True, pool_size=8, max_overflow=32, **driver)
        if self.is_sqlite:
            event.listen(self.engine, "connect", _set_pragmas)
            event.listen(self.engine, "begin", _begin)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Read and write; committed at the end, rolled back on an error. On SQLite it holds the one write lock."""
        with _naming_absence(), Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Read only: takes no write lock."""
        engine = self.engine.execution_options(wasl_read_only=True)
        with _naming_absence(), Session(engine, expire_on_commit=False) as session:
            yield session

    def one_at_a_time(self, session: Session, name: str) -> None:
        """Let no other transaction of the same `name` run beside this one; SQLite never does."""
        if not self.is_sqlite:
            session.execute(select(func.pg_advisory_xact_lock(func.hashtext(name))))

    def ping(self) -> None:
        """Raise StoreAway when the store does not answer."""
        with self.reading() as session:
            session.execute(text("SELECT 1"))


@contextmanager
def _naming_absence() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        # Without the cause: its text may hold an address, a user, or a row.
        raise StoreAway(type(error).__name__) from None
    except DatabaseError as error:
        if type(error) is not DatabaseError:  # an integrity error, say: the caller's own affair
            raise
        raise StoreAway("not a database, or a damaged one") from None


def _make_private(path: Path) -> None:
    """The file holds numbers and texts: nobody else on the machine reads it. SQLite's -wal and -shm take its mode."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    except OSError as error:
        raise StoreAway(f"{path}: {error.strerror}") from None


def sqlite_module() -> ModuleType:
    return pysqlite3 or sqlite3


def has_wal_reset_bug(version: tuple[int, ...]) -> bool:
    """Whether committed rows can be lost when several connections write and checkpoint at once (sqlite.org)."""
    series = [fixed for fixed in _WAL_RESET_FIXED if fixed[:2] == version[:2]]
    return version < (series[0] if series else _WAL_RESET_FIXED[-1])


def _set_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")  # first: the next ones may have to wait
    journal, sync = ("DELETE", "EXTRA") if has_wal_reset_bug(sqlite_module().sqlite_version_info) else ("WAL", "FULL")
    if cursor.execute("PRAGMA journal_mode").fetchone()[0].upper() != journal:
        cursor.execute(f"PRAGMA journal_mode = {journal}")
    cursor.execute(f"PRAGMA synchronous = {sync}")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    # IMMEDIATE: a transaction that reads first and writes later would fail, not wait, when another wrote in between.
    read_only = connection.get_execution_options().get("wasl_read_only")
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
