"""The bodies of POST /sms: the good one, every documented refusal, and the answers that go wrong on the wire."""

import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from flask import Response, json

from webhook_app.simulator.checks import Refused, invalid
from webhook_app.simulator.ledger import Entry
from webhook_app.simulator.misbehaviours import Misbehaviour

_CREDIT_LEFT_IQD = 20
_SPENDING_THRESHOLD_IQD = 50_000
_LOOK_EVERY_S = 0.05
_MOVED_TO = "/api/moved/sms"


def accepted(entry: Entry) -> dict[str, Any]:
    """The six keys of a successful send."""
    return {
        "message": "SMS task created successfully",
        "smsId": entry.sms_id,
        "remainingCredit": entry.balance_after_iqd,
        "cost": entry.cost_iqd,
        "canCover": True,
        "paymentType": "prepaid",
    }


def insufficient_credit(credit_iqd: int, cost_iqd: int) -> Refused:
    body = {
        "error": "Insufficient credit to send this message",
        "yourCredit": credit_iqd,
        "requiredCredit": cost_iqd,
        "canCover": False,
    }
    return Refused("insufficient credit", 400, body)


def refusal(misbehaviour: Misbehaviour, sender_id: str | None, cost_iqd: int) -> Refused:
    """The answer of a misbehaviour that refuses the send."""
    return _REFUSALS[misbehaviour](sender_id or "MyShop", cost_iqd)


def _bad_fields(_sender_id: str, _cost_iqd: int) -> Refused:
    errors = {"phoneNumber": ["The number cannot be reached."], "smsType": ["Not available for this number."]}
    return Refused("bad fields", 400, {"message": "Validation failed", "errors": errors})


def _bad_sender(sender_id: str, _cost_iqd: int) -> Refused:
    return Refused("bad sender", 400, {"error": f'SenderID "{sender_id}" is not approved for this account'})


def _trial_mode(_sender_id: str, _cost_iqd: int) -> Refused:
    text = "Your account is in trial mode: you may only send to your own number. Add credit to leave it."
    return Refused("trial mode", 400, {"error": text})


def _spending_threshold(_sender_id: str, cost_iqd: int) -> Refused:
    body = {
        "error": "This message would pass the project's spending threshold",
        "currentSpending": _SPENDING_THRESHOLD_IQD - cost_iqd + 1,
        "spendingThreshold": _SPENDING_THRESHOLD_IQD,
        "cost": cost_iqd,
    }
    return Refused("spending threshold", 400, body)


def _rate_limited(_sender_id: str, _cost_iqd: int) -> Refused:
    body = {
        "message": "Rate limit exceeded. Please wait 5 minutes.",
        "waitMinutes": 5,
        "maxRequests": 3,
        "timeWindowMinutes": 10,
    }
    return Refused("rate limited", 429, body)


_REFUSALS: dict[Misbehaviour, Callable[[str, int], Refused]] = {
    Misbehaviour.BAD_REQUEST: lambda _sender_id, _cost_iqd: invalid("This message cannot be sent"),
    Misbehaviour.BAD_FIELDS: _bad_fields,
    Misbehaviour.BAD_SENDER: _bad_sender,
    Misbehaviour.TRIAL_MODE: _trial_mode,
    Misbehaviour.INSUFFICIENT_CREDIT: lambda _sender_id, cost_iqd: insufficient_credit(_CREDIT_LEFT_IQD, cost_iqd),
    Misbehaviour.SPENDING_THRESHOLD: _spending_threshold,
    Misbehaviour.BAD_KEY: lambda _sender_id, _cost_iqd: Refused("bad key", 401, {"message": "Invalid API key"}),
    Misbehaviour.RATE_LIMITED: _rate_limited,
    Misbehaviour.PROVIDER_FAULT: lambda _sender_id, _cost_iqd: Refused("fault", 500, {"message": "Internal error"}),
    Misbehaviour.REDIRECT: lambda _sender_id, _cost_iqd: Refused("redirect", 302, {"message": "Moved"}, _MOVED_TO),
}


def garbled(misbehaviour: Misbehaviour | None, body: dict[str, Any]) -> Response:
    """The answer to an accepted send, as spoilt as the misbehaviour asks."""
    if misbehaviour is Misbehaviour.NO_SMS_ID:
        body = {name: value for name, value in body.items() if name != "smsId"}
    if misbehaviour is Misbehaviour.FAULT_YET_SENT:
        return Response(json.dumps({"message": "Internal error"}), 500, mimetype="application/json")
    whole = json.dumps(body)
    if misbehaviour is Misbehaviour.INVALID_JSON:
        return Response("OK: SMS task created", mimetype="application/json")
    if misbehaviour is Misbehaviour.CUT_ANSWER:
        return _cut(whole, whole.index(body["smsId"]) + len(body["smsId"]) + 2)  # the closing quote and the comma
    if misbehaviour is Misbehaviour.CUT_EARLY:
        return _cut(whole, whole.index(body["smsId"]) + len(body["smsId"]) // 2)
    return Response(whole, mimetype="application/json")


def _cut(whole: str, at: int) -> Response:
    response = Response(whole[:at], mimetype="application/json")
    response.headers["Content-Length"] = str(len(whole))  # the rest never comes, and the connection closes
    return response


def reset(connection: socket.socket | None) -> Response:
    """An answer that never begins, because the connection is reset."""
    return Response(_reset(connection))


def _reset(connection: socket.socket | None) -> Iterator[bytes]:
    if connection is not None:
        # Closed with no time to linger, TCP says RST. The server would say goodbye first: it gets another connection,
        # already at its end, in this one's place.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ended, other_end = socket.socketpair()
        other_end.close()
        with ended:
            os.dup2(ended.fileno(), connection.fileno())
    raise ConnectionAbortedError
    yield b""  # what makes this function an iterator


def silence(connection: socket.socket | None, stopping: threading.Event, for_s: float) -> Response:
    """An answer that never begins: the connection stays open until the caller leaves, we stop, or `for_s` is over."""
    return Response(_say_nothing(connection, stopping, time.monotonic() + for_s))


def _say_nothing(connection: socket.socket | None, stopping: threading.Event, until_s: float) -> Iterator[bytes]:
    while time.monotonic() < until_s and not stopping.wait(_LOOK_EVERY_S) and not _has_left(connection):
        pass
    # Raised before the first byte: the server drops the connection without even a status line.
    raise ConnectionAbortedError
    yield b""  # what makes this function an iterator


def _has_left(connection: socket.socket | None) -> bool:
    if connection is None:
        return False
    try:
        watch = select.poll()
        watch.register(connection, select.POLLIN)
        return bool(watch.poll(0)) and connection.recv(1, socket.MSG_PEEK) == b""
    except OSError:
        return True
