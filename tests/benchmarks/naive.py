"""The Overview's figures as one would ask for them first: each picture a GROUP BY over the messages themselves."""

import time
from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from webhook_app.database import Database
from webhook_app.ids import first_id

SAME_AS = "/?range=30d"
_DAYS = 30
# A range of ids is a range of time, so no query reads more than it must. {day} and {weekday} are the reader's.
_OF_RANGE = "FROM message WHERE id >= :start AND id < :end"
_TOOK = "{seconds} AS took_s, carrier FROM message WHERE id >= :start AND id < :end AND status IN ('delivered', 'read')"
_QUESTIONS = {
    "tiles": f"SELECT status, count(*), sum(charged_iqd) {_OF_RANGE} GROUP BY status",
    "tiles before": "SELECT status, count(*), sum(charged_iqd) FROM message WHERE id >= :before AND id < :start "
    "GROUP BY status",
    "bars": f"SELECT {{day}} AS day, status, count(*), sum(charged_iqd) {_OF_RANGE} GROUP BY day, status",
    "carriers and channels": f"SELECT carrier, channel, status, count(*) {_OF_RANGE} GROUP BY carrier, channel, status",
    "time to deliver": "SELECT carrier, took_s FROM (SELECT carrier, took_s, count(*) OVER (PARTITION BY carrier) AS n,"
    f" row_number() OVER (PARTITION BY carrier ORDER BY took_s) AS place FROM (SELECT {_TOOK}) AS took) AS placed "
    "WHERE place = n / 2 + 1 OR place = n * 95 / 100 + 1",
    "fallback": f"SELECT path, count(*), sum(fallback_s), sum(charged_iqd) {_OF_RANGE} GROUP BY path",
    "week": f"SELECT {{hour}} AS hour, status, count(*) {_OF_RANGE} GROUP BY hour, status",
    "reasons": f"SELECT reason, count(*) {_OF_RANGE} AND status = 'failed' GROUP BY reason ORDER BY count(*) DESC",
    "last failures": "SELECT * FROM message WHERE status = 'failed' ORDER BY id DESC LIMIT 10",
}
_SQLITE = {
    "day": "date(created_at, '+3 hours')",
    "hour": "strftime('%w %H', created_at, '+3 hours')",
    "seconds": "julianday(settled_at) - julianday(created_at)",
}
_POSTGRESQL = {
    "day": "date(created_at AT TIME ZONE 'Asia/Baghdad')",
    "hour": "to_char(created_at AT TIME ZONE 'Asia/Baghdad', 'D HH24')",
    "seconds": "extract(epoch FROM settled_at - created_at)",
}


def overview_ms(database: Database) -> float:
    """What its queries alone take, without the page around them."""
    started_s = time.perf_counter()
    with database.reading() as session:
        ask(session, database.is_sqlite)
    return (time.perf_counter() - started_s) * 1000


def ask(session: Session, is_sqlite: bool) -> dict[str, list[tuple[object, ...]]]:
    """Each picture's rows."""
    now = datetime.now(UTC)
    days_ago = {"before": 2 * _DAYS, "start": _DAYS, "end": 0}
    edges = {name: first_id(now - timedelta(days=days)) for name, days in days_ago.items()}
    ids = {name: edge.hex if is_sqlite else edge for name, edge in edges.items()}
    words = _SQLITE if is_sqlite else _POSTGRESQL
    return {
        name: [tuple(row) for row in session.execute(text(question.format(**words)), ids)]
        for name, question in _QUESTIONS.items()
    }
