"""Accepted messages as they stand in a store, and what OTPIQ then calls back about them: all of it made beforehand."""

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert

from webhook_app import counting, recounting, status
from webhook_app.database import Database
from webhook_app.ids import new_id
from webhook_app.models import Message
from webhook_app.stamp import Stamper
from webhook_app.status import Fact

from ..conftest import PUBLIC_URL, SECRET_KEY

_AT_ONCE = 5_000
# What is told of a message, and how often it goes that way: (channel, status, isFinal, reason) one after the other.
_STORIES = {
    (("sms", "sent", False, None), ("sms", "delivered", True, None)): 55,
    (("whatsapp", "sent", False, None), ("whatsapp", "delivered", True, None)): 15,
    (
        ("whatsapp", "failed", False, "Recipient has no WhatsApp"),
        ("sms", "sent", False, None),
        ("sms", "delivered", True, None),
    ): 20,
    (("sms", "sent", False, None), ("sms", "failed", True, "Carrier rejected the message")): 10,
}
CALLBACKS_A_MESSAGE = sum(len(story) * share for story, share in _STORIES.items()) / sum(_STORIES.values())
_TOGETHER = 1_000  # callbacks of one message come within about as many of others


def prepare(callbacks: int) -> tuple[list[dict[str, Any]], list[bytes]]:
    """Messages, and about so many requests about them."""
    messages = make_messages(int(callbacks / CALLBACKS_A_MESSAGE))
    return messages, make_requests(Stamper((SECRET_KEY,), PUBLIC_URL), messages)


def make_messages(count: int) -> list[dict[str, Any]]:
    """Rows as `sending` leaves them once OTPIQ took the message, made in the last minutes."""
    now = datetime.now(UTC)
    return [_message(now - timedelta(milliseconds=10 * (count - place)), place) for place in range(count)]


def _message(at: datetime, place: int) -> dict[str, Any]:
    carrier, prefix = (("zain", "780"), ("asiacell", "770"), ("korek", "750"))[place % 3]
    phone = f"964{prefix}{random.randrange(10**7):07}"
    sms_id = f"sms-{int(at.timestamp()):08x}{random.getrandbits(64):016x}"  # as OTPIQ's look: the time first
    known = status.of_fact(Fact(at=at, sms_id=sms_id, cost_iqd=80))
    return {
        "id": new_id(at),
        "created_at": at,
        "asked_by": "key:checkout",
        "is_sample": False,
        "phone": phone,
        "phone_end": phone[-4:],
        "carrier": carrier,
        "sms_type": "verification",
        "provider": "whatsapp-sms",
        "request": {"smsType": "verification", "provider": "whatsapp-sms", "senderId": None},
        "send_state": "accepted",
        "outcome": {"state": "accepted", "sms_id": sms_id, "cost_iqd": 80, "balance_iqd": 14800, "http_status": 200},
        "sms_id": sms_id,
        "delivery": status.to_json(known),
        "status": "accepted",
        "closed": False,
        "last_fact_at": at,
        "track_at": at + timedelta(minutes=1),
        "estimate_iqd": 80,
        "charged_iqd": 80,
        "balance_iqd": 14800,
    }


def store(database: Database, messages: Sequence[dict[str, Any]]) -> None:
    """Put them into a store, counted and folded: what is to be measured must not have to."""
    for start in range(0, len(messages), _AT_ONCE):
        with database.transaction() as session:
            session.connection().execute(insert(Message.__table__), messages[start : start + _AT_ONCE])
    recounting.recount(database)
    while counting.fold(database):
        pass


def make_requests(stamper: Stamper, messages: Sequence[dict[str, Any]]) -> list[bytes]:
    """Whole HTTP requests, each one once, mixed as they would come."""
    told = []
    for message in messages:
        secret = stamper.issue(message["id"]).secret
        told += [_request(message, secret, body) for body in callbacks_of(message)]
    mixed: list[bytes] = []
    for start in range(0, len(told), _TOGETHER):
        together = told[start : start + _TOGETHER]
        mixed += random.sample(together, len(together))
    return mixed


def _request(message: dict[str, Any], secret: str, body: bytes) -> bytes:
    head = (
        f"POST /callbacks/otpiq/{message['id']} HTTP/1.1\r\n"
        "Host: wasl.example.iq\r\n"
        "Accept: application/json, text/plain, */*\r\n"
        "Content-Type: application/json\r\n"
        f"X-OTPIQ-Webhook-Secret: {secret}\r\n"
        "User-Agent: axios/1.7.9\r\n"
        "X-Forwarded-For: 203.0.113.7\r\n"
        "X-Forwarded-Proto: https\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def callbacks_of(message: dict[str, Any]) -> list[bytes]:
    """The bodies of one way it may go."""
    (story,) = random.choices(list(_STORIES), list(_STORIES.values()))
    bodies = []
    for channel, word, is_final, reason in story:
        body = {
            "smsId": message["sms_id"],
            "deliveryReportType": "all",
            "isFinal": is_final,
            "channel": channel,
            "status": word,
        }
        bodies.append(json.dumps(body | ({"reason": reason} if reason else {})).encode())
    return bodies
