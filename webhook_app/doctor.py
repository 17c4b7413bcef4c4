"""What `wasl doctor` looks at: is everything in place for messages to go out and callbacks to come in?"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from . import schema
from .database import Database, has_wal_reset_bug, sqlite_module
from .otpiq import Otpiq, OtpiqError
from .settings import Settings


@dataclass(frozen=True, kw_only=True)
class Finding:
    """`level` is ok, warn or bad; bad makes the command fail."""

    level: str
    subject: str
    text: str


def examine(config: Settings, database: Database, otpiq: Otpiq) -> Iterator[Finding]:
    yield from _store(database)
    yield from _public_url(config)
    yield from _provider(config, otpiq)


def _store(database: Database) -> Iterator[Finding]:
    database.ping()
    if database.is_sqlite:
        version = sqlite_module().sqlite_version
        buggy = has_wal_reset_bug(sqlite_module().sqlite_version_info)
        yield Finding(
            level="warn" if buggy else "ok",
            subject="store",
            text=f"SQLite {version} can lose committed rows in WAL mode (WAL-reset bug), so a slower journal is used; "
            "install the pysqlite3 wheel or use PostgreSQL"
            if buggy
            else f"SQLite {version}, write-ahead log, every commit synced",
        )
    else:
        yield Finding(level="ok", subject="store", text="PostgreSQL answers")
    current, newest = schema.current(database), schema.newest()
    yield Finding(
        level="ok" if current == newest else "bad",
        subject="schema",
        text=f"at {current}" if current == newest else f"at {current}, needs {newest}: run wasl db upgrade",
    )


def _public_url(config: Settings) -> Iterator[Finding]:
    if config.is_https:
        yield Finding(level="ok", subject="public address", text=f"{config.public_url}, stamped into every send")
    else:
        level = "ok" if config.environment == "simulator" else "warn"
        text = f"{config.public_url} is this machine only: OTPIQ cannot call back to it; set WASL_PUBLIC_URL"
        yield Finding(level=level, subject="public address", text=text)


def _provider(config: Settings, otpiq: Otpiq) -> Iterator[Finding]:
    if config.otpiq_api_key is None:
        yield Finding(level="warn", subject="OTPIQ", text="no OTPIQ_API_KEY: nothing can be sent, callbacks come in")
        return
    where = {"live": "live key", "dev": "dev key", "simulator": "simulator"}[config.environment]
    asked: list[tuple[str, Callable[[], str]]] = [
        ("OTPIQ", lambda: f"{where}, balance {otpiq.balance_iqd():,} IQD"),
        ("senders", lambda: ", ".join(f"{sender.sender_id} ({sender.status})" for sender in otpiq.senders()) or "none"),
    ]
    for subject, ask in asked:
        try:
            yield Finding(level="ok", subject=subject, text=ask())
        except OtpiqError as error:
            yield Finding(level="bad", subject=subject, text=f"{error.kind}: {error.words or 'no answer that helps'}")
