"""The same work as a competent user would write it: a view, SQLAlchemy's ORM, one transaction a callback.

It stores and merges all that Wasl does: the message locked, a repeat counted, facts joined, the callback kept, counts
changed by deltas, which nobody has to fold. Kept apart from Wasl's own code, so that it stays what it is.
"""

import hashlib
import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flask import Flask, Response, abort, jsonify, request
from sqlalchemy import Engine, create_engine, event, select, update
from sqlalchemy.orm import Session

from webhook_app import status
from webhook_app.database import sqlite_module
from webhook_app.ids import new_id
from webhook_app.models import Callback, Delta, Message
from webhook_app.otpiq import Report, parse_report, without_codes
from webhook_app.settings import Settings
from webhook_app.stamp import Stamper
from webhook_app.status import Status

log = logging.getLogger(__name__)


def create_orm_view(config: Settings) -> Flask:
    app = Flask(__name__)
    stamper = Stamper(config.secret_keys, config.public_url)
    engine = _engine(config.database_url)

    @app.post("/callbacks/otpiq/<target_id>")
    def receive(target_id: str) -> Response:
        if not stamper.check(target_id, request.headers.get("X-OTPIQ-Webhook-Secret", "").encode()):
            abort(401)
        raw = request.get_data()
        with Session(engine, expire_on_commit=False) as session, session.begin():
            verdict = _receive(session, UUID(target_id), raw, parse_report(raw), dict(request.headers))
        log.info("callback received target_id=%s verdict=%s", target_id, verdict)
        return jsonify(status="ok", verdict=verdict)

    @app.get("/readyz")
    def ready() -> str:
        return "ok"

    return app


def _receive(session: Session, target_id: UUID, raw: bytes, report: Report, headers: dict[str, str]) -> str:
    now = datetime.now(UTC)
    message = session.scalars(select(Message).where(Message.id == target_id).with_for_update()).one()
    digest = hashlib.sha256(raw).hexdigest()
    repeated = update(Callback).where(Callback.target_id == target_id, Callback.digest == digest)
    if session.execute(repeated.values(repeats=Callback.repeats + 1)).rowcount:  # type: ignore[attr-defined]
        return "repeat"
    changed = _merge(session, message, report, now)
    session.add(
        Callback(
            id=new_id(now),
            target_id=target_id,
            message_id=message.id,
            received_at=now,
            repeats=0,
            digest=digest,
            body=without_codes(raw),
            headers={name: headers[name] for name in ("Content-Type", "User-Agent")},
            verdict="accepted",
            changed=changed,
        )
    )
    return "accepted"


def _merge(session: Session, message: Message, report: Report, now: datetime) -> bool:
    before = _count(message, -1)
    known = status.from_json(message.delivery)
    joined = known.join(status.of_fact(report.fact(now)))
    headline = status.headline(joined, Status(message.send_state), message.provider)
    message.delivery = status.to_json(joined)
    message.status = headline.status
    message.closed = headline.closed
    message.channel = headline.channel
    message.reason = headline.reason
    message.settled_at = headline.at if headline.closed else None
    message.last_fact_at = joined.last_at
    message.charged_iqd = joined.charged_iqd
    if headline.closed:
        message.track_at = None
    after = _count(message, 1)
    if any(before[name] != after[name] for name in ("status", "channel")):
        session.add_all([Delta(**before), Delta(**after)])
    return replace(joined, last_at=None) != replace(known, last_at=None)


def _count(message: Message, sign: int) -> dict[str, Any]:
    at = message.created_at.replace(second=0, microsecond=0)
    return {
        "hour": at.replace(minute=0),
        "slot": at.replace(minute=at.minute // 5 * 5),
        "status": message.status,
        "carrier": message.carrier,
        "channel": message.channel or "",
        "sms_type": message.sms_type,
        "sender_id": message.sender_id or "",
        "source": str(message.source_id or ""),
        "is_sample": message.is_sample,
        "messages": sign,
        "charged_iqd": sign * (message.charged_iqd or 0),
        "at_risk_iqd": sign * message.at_risk_iqd,
    }


def _engine(url: str) -> Engine:
    pool: dict[str, Any] = {"pool_size": 16, "max_overflow": 0, "pool_timeout": 60}
    if not url.startswith("sqlite"):
        return create_engine(url, **pool)
    driver = {"isolation_level": None, "check_same_thread": False}
    engine = create_engine(url, module=sqlite_module(), connect_args=driver, **pool)

    @event.listens_for(engine, "connect")
    def set_pragmas(connection: Any, _record: Any) -> None:
        # 5 s, as Wasl waits, are too few for some of 64 at once, and then nothing could be compared.
        for pragma in ("busy_timeout = 60000", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
