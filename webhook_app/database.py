"""Engine and transactions for SQLite and PostgreSQL; the naming convention; the UTC type. No table and no query."""

import contextlib
import fcntl
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from io import FileIO
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import DateTime, MetaData, create_engine, event, func, make_url, select, text
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.exc import DatabaseError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

try:
    import pysqlite3  # bundles a current SQLite
except ImportError:  # no wheel for this platform
    pysqlite3 = None

# libpq's names. A server that went without a word is noticed within seconds.
_POSTGRESQL = {"connect_timeout": 3, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 2}
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
    """The store does not answer, or is locked for too long: nothing was written, as far as is known."""


class Crossed(StoreAway):
    """Two transactions waited for each other, and this one was chosen to give way: worth trying again."""


class Database:
    """One engine. Not to be carried over a fork: each process makes its own."""

    def __init__(self, url: str, patience_s: float | None = None) -> None:
        """`patience_s`: how long to wait for a locked SQLite, or for one statement on PostgreSQL, until the store
        counts as away; by default 5 s, and on PostgreSQL as long as it takes."""
        self.is_sqlite = url.startswith("sqlite")
        self.writer = secrets.token_hex(8)  # this process among those that write: rows of its own need no lock
        self._turn: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
        if self.is_sqlite:
            path = Path(make_url(url).database or "")
            _make_private(path)
            # Our own turn comes; for another program that has the file half as long must do.
            turn_s, locked_s = (5.0, 5.0) if patience_s is None else (patience_s, patience_s / 2)
            self._turn = _Turn(path.with_name(f"{path.name}-turn"), turn_s)
        driver: dict[str, Any] = (
            {"module": sqlite_module(), "connect_args": {"isolation_level": None, "check_same_thread": False}}
            if self.is_sqlite
            # Whatever the server is set to: who waited for a lock must see what was changed meanwhile.
            else {"pool_pre_ping": True, "connect_args": _POSTGRESQL, "isolation_level": "READ COMMITTED"}
        )
        # hide_parameters: a statement that fails must not carry numbers and bodies into a log.
        self.engine = create_engine(url, hide_parameters=True, pool_size=8, max_overflow=32, **driver)
        if self.is_sqlite:
            event.listen(self.engine, "connect", partial(_set_pragmas, locked_s))
            event.listen(self.engine, "begin", _begin)
        else:
            event.listen(self.engine, "do_connect", _Impatient.within(patience_s))
            event.listen(self.engine, "connect", _commit_durably)
        # A page asks twenty questions; PostgreSQL would be asked to begin and to end around every few of them, and for
        # nothing: each question sees what is committed by then, in a transaction too.
        of_readers = {} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        self._readers = self.engine.execution_options(wasl_read_only=True, **of_readers)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Read and write; committed at the end, rolled back on an error. On SQLite it holds the one write lock."""
        with _naming_absence(), self._turn(), Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """`transaction` without the ORM, for many rows at once."""
        with _naming_absence(), self._turn(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Read only: takes no write lock."""
        with _naming_absence(), Session(self._readers, expire_on_commit=False) as session:
            yield session

    def one_at_a_time(self, session: Session, name: str) -> None:
        """Let no other transaction of the same `name` run beside this one; SQLite never does."""
        if not self.is_sqlite:
            session.execute(select(func.pg_advisory_xact_lock(func.hashtext(name))))

    def ping(self) -> None:
        """Raise StoreAway when the store does not answer."""
        with self.reading() as session:
            session.execute(text("SELECT 1"))


class _Impatient(psycopg.Connection[Any]):
    """A server that hangs, or a network that swallows, says nothing: who waits must give up by himself."""

    patience_s: float | None = None

    @classmethod
    def within(cls, patience_s: float | None) -> Callable[..., Any]:
        """What makes SQLAlchemy's connections."""
        patient: type[_Impatient] = type(cls.__name__, (cls,), {"patience_s": patience_s})
        return lambda _dialect, _record, arguments, options: patient.connect(*arguments, **options)

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, timeout or self.patience_s)
        except psycopg.OperationalError:
            if self.info.transaction_status is TransactionStatus.ACTIVE:  # it ran out of patience: the rest would
                self.pgconn.finish()  # come later and be taken for another answer
            raise


class _Turn:
    """Who writes to SQLite next, over threads and processes: a lock, and a file lock tried every half a millisecond.

    SQLite's own waiting sleeps longer and longer, up to a tenth of a second: the unlucky starve.
    """

    def __init__(self, path: Path, wait_s: float) -> None:
        self._path = path
        self._wait_s = wait_s
        self._threads = threading.Lock()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        give_up_at = time.monotonic() + self._wait_s
        if not self._threads.acquire(timeout=self._wait_s):
            raise StoreAway("locked")
        try:
            with self._open() as file:  # closing it lets go, and so does dying
                while not _is_locked(file):
                    if time.monotonic() > give_up_at:
                        raise StoreAway("locked")
                    time.sleep(0.0005)
                yield
        finally:
            self._threads.release()

    def _open(self) -> FileIO:
        try:
            return FileIO(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600), "r+")
        except OSError as error:
            raise StoreAway(f"{self._path.name}: {error.strerror}") from None


def _is_locked(file: FileIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _naming_absence() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, InternalError, PoolTimeout) as error:  # internal: it reads only, say
        # Without the cause: its text may hold an address, a user, or a row.
        is_crossed = isinstance(getattr(error, "orig", None), psycopg.errors.DeadlockDetected)
        raise (Crossed if is_crossed else StoreAway)(type(error).__name__) from None
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


def _set_pragmas(locked_s: float, connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {int(locked_s * 1000)}")  # first: the next ones may have to wait
    journal, sync = ("DELETE", "EXTRA") if has_wal_reset_bug(sqlite_module().sqlite_version_info) else ("WAL", "FULL")
    if cursor.execute("PRAGMA journal_mode").fetchone()[0].upper() != journal:
        cursor.execute(f"PRAGMA journal_mode = {journal}")
    cursor.execute(f"PRAGMA synchronous = {sync}")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA cache_size = -8000")  # kB: the indexes' upper pages stay at hand
    cursor.execute("PRAGMA wal_autocheckpoint = 4000")  # pages: those written again and again are copied less often
    cursor.close()


def _commit_durably(connection: Any, _record: Any) -> None:
    """A role or a server may be set to answer before a commit is on the disk; a callback must not be. `local` is."""
    off = "WHERE current_setting('synchronous_commit') = 'off'"
    connection.autocommit = True
    connection.execute(f"SELECT set_config('synchronous_commit', 'on', false) {off}")
    connection.autocommit = False


def _begin(connection: Connection) -> None:
    # IMMEDIATE: a transaction that reads first and writes later would fail, not wait, when another wrote in between.
    read_only = connection.get_execution_options().get("wasl_read_only")
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
