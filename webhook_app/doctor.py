"""What `wasl doctor` looks at: is everything in place for messages to go out and callbacks to come in?"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, or_, select, union_all
from sqlalchemy.orm import Session

from . import probing, schema
from .database import Database, StoreAway, has_wal_reset_bug, sqlite_module
from .figures.messages import COUNT_CAP
from .figures.vitals import is_working, last_beat_at
from .ids import first_id
from .models import Message, Moment, Source
from .otpiq import Otpiq, OtpiqError
from .settings import Settings
from .spool import Spool
from .stamp import Stamp
from .status import OUTCOMES

_WAITED_FOR = timedelta(days=7)  # long after a message became "no report"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """`level` is ok, warn or bad; bad makes the command fail."""

    level: str
    subject: str
    text: str


def examine(
    config: Settings, database: Database, otpiq: Otpiq, key_names: Sequence[str], stamp: Stamp, now: datetime
) -> Iterator[Finding]:
    """`key_names` are the master keys' names, newest first (`Stamper.key_names`); with `stamp` a probe is sent out."""
    yield _spool(Spool(config.spool_dir))
    try:
        schema.upgrade_if_needed(database)
    except StoreAway as away:
        text = f"does not answer ({away}): callbacks go to the spool, nothing is sent and nothing can be shown"
        yield Finding(level="bad", subject="store", text=text)
    else:
        yield from _store(database)
        yield from _worker(database, now)
        yield from _keys(database, key_names, now)
    yield from _public_url(config, stamp)
    yield from _provider(config, otpiq)


def _spool(spool: Spool) -> Finding:
    try:
        spool.check()
    except OSError as error:
        text = f"cannot be written ({error.strerror}): with the store away callbacks would be refused"
        return Finding(level="bad", subject="spool", text=text)
    if aside := spool.laid_aside():
        text = f"{aside:,} records could not be read and lie in the file `unreadable` of the spool folder: keep it"
        return Finding(level="warn", subject="spool", text=text)
    if waiting := spool.waiting():
        return Finding(level="warn", subject="spool", text=f"{waiting:,} callbacks wait for the store")
    return Finding(level="ok", subject="spool", text="empty, and can be written")


def _store(database: Database) -> Iterator[Finding]:
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


def _worker(database: Database, now: datetime) -> Iterator[Finding]:
    with database.reading() as session:
        beat_at = last_beat_at(session)
        pause = session.get(Moment, "tracking pause")
    if is_working(beat_at, now):
        yield Finding(level="ok", subject="worker", text="at work")
    else:
        seen = "not seen yet" if beat_at is None else f"last seen {_span(now - beat_at)} ago"
        work = "asks OTPIQ about messages that fell silent, folds the counts or settles sends that were cut off"
        text = f"{seen}: without `wasl worker` nobody {work}"
        yield Finding(level="warn", subject="worker", text=text)
    if pause is not None and pause.at > now:
        text = f"OTPIQ wants no question about messages for another {_span(pause.at - now)}"
        yield Finding(level="warn", subject="tracking", text=text)


def _keys(database: Database, names: Sequence[str], now: datetime) -> Iterator[Finding]:
    """Which master keys are still needed: for callbacks that may yet come, and by the programs of sources."""
    gone = Message.stamp_key.not_in(names)
    with database.reading() as session:
        by_source = _key_by_source(session)
        uses = {
            name: _use(
                session,
                # From before keys were noted: may be any.
                or_(Message.stamp_key == name, Message.stamp_key.is_(None)),
                [source if key else f"{source} (perhaps)" for source, key in by_source.items() if key in (name, None)],
                now,
            )
            for name in names[1:]
        }
        missing = _use(session, gone, [source for source, key in by_source.items() if key not in (*names, None)], now)
    for place, (name, use) in enumerate(uses.items(), start=2):
        text = f"must stay: {use}" if use else f"may go: nothing of the last {_WAITED_FOR.days} days needs it"
        yield Finding(level="ok", subject=f"master key {place} of {len(names)} ({name})", text=text)
    if missing:
        text = f"callbacks are refused because a key was taken away: {missing}"
        yield Finding(level="warn", subject="master keys", text=text)


def _use(session: Session, stamped: ColumnElement[bool], sources: Sequence[str], now: datetime) -> str:
    """Who needs the key that these messages are stamped with; empty: nobody."""
    asked_at = _open_messages(session, stamped, now - _WAITED_FOR)
    told = []
    if asked_at:
        count = f"{COUNT_CAP - 1:,}+" if len(asked_at) >= COUNT_CAP else f"{len(asked_at):,}"
        told.append(f"open messages stamped with it: {count}, the newest {_span(now - max(asked_at))} old")
    if sources:
        told.append(f"sources that use it: {', '.join(sources)}")
    return "; ".join(told)


def _open_messages(session: Session, stamped: ColumnElement[bool], since: datetime) -> Sequence[datetime]:
    """When open messages of ours, so stamped, were asked for; looked up status by status, by its index, and capped."""
    looked_up = [
        select(Message.created_at)
        .where(Message.status == status, Message.id >= first_id(since))
        .where(Message.closed.is_(False), Message.source_id.is_(None), stamped)
        .order_by(Message.id.desc())
        .limit(COUNT_CAP)
        .subquery()
        for status in OUTCOMES["waiting"]
    ]
    return session.scalars(union_all(*(select(found.c.created_at) for found in looked_up))).all()


def _key_by_source(session: Session) -> dict[str, str | None]:
    """The key that the newest message's first callback was stamped with, if it is known: the one the program uses."""
    newest = select(Message.stamp_key).where(Message.source_id == Source.id).order_by(Message.id.desc()).limit(1)
    rows = session.execute(select(Source.name, newest.scalar_subquery()).order_by(Source.name))
    return {name: key or None for name, key in rows}


def _span(span: timedelta) -> str:
    minutes = max(0, span // timedelta(minutes=1))
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} days"


def _public_url(config: Settings, stamp: Stamp) -> Iterator[Finding]:
    if config.is_https:
        yield Finding(level="ok", subject="public address", text=f"{config.public_url}, stamped into every send")
    else:
        level = "ok" if config.environment == "simulator" else "warn"
        text = f"{config.public_url} is this machine only: OTPIQ cannot call back to it; set WASL_PUBLIC_URL"
        yield Finding(level=level, subject="public address", text=text)
    done = probing.probe(stamp)
    level = "warn" if done.broken else "ok"
    yield Finding(level=level, subject="way in", text=f"tried from here, {probing.in_english(done)}")


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
