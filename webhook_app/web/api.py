"""The API for programs: OTPIQ's own `POST /sms`, in its own shape, so that a sender changes only address and key."""

import json
import re
from typing import Any

from flask import Blueprint, Response, g, jsonify, request
from flask.typing import ResponseReturnValue

from .. import sending
from ..database import StoreAway
from ..figures import latest_balance_iqd
from ..otpiq import InvalidSend, Unreadable, parse_send, read_object
from ..sending import Asked, Outcome
from ..status import Status
from .access import needs_api_key
from .context import now, wasl, whole_body

blueprint = Blueprint("api", __name__)
_MAX_ONCE_KEY = 255
_BUDGETS = ("budget_day", "budget_month")  # refused like OTPIQ's own limit of spending
_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]+")  # existing senders rely on it
_NOT_PASSED_ON = "deliveryReport was replaced by Wasl's own; its webhookUrl is not called"


@blueprint.route("/api/sms", methods=["POST"], strict_slashes=False)
@needs_api_key
def send() -> ResponseReturnValue:
    """Holders of an API key. 200 accepted (or `status: unconfirmed`), 400 refused, 409 and 422 for a repeated
    Idempotency-Key, 429 rate limit, 502 not sent, 503 not sent because our store is away."""
    raw = whole_body()
    once_key = request.headers.get("Idempotency-Key")
    if once_key is not None and not (
        0 < len(once_key) <= _MAX_ONCE_KEY and once_key.isascii() and once_key.isprintable()
    ):
        return _refuse(400, {"Idempotency-Key": ["must be 1 to 255 printable ASCII characters"]})
    try:
        body = read_object(raw)
        asked_for = parse_send(body)
    except Unreadable as why:
        return _refuse(400, {"body": [str(why).removeprefix("the body ")]})
    except InvalidSend as invalid:
        return _refuse(400, {field: [str(p) for p in problems] for field, problems in invalid.errors.items()})
    wasl().prices.refresh_aside()
    asked = Asked(
        by=f"key:{g.key_name}",
        once_key=once_key,
        body=json.dumps(body, sort_keys=True).encode(),
        estimate_iqd=wasl().prices.estimate_iqd(asked_for),
        zone=wasl().settings.time_zone,
    )
    try:
        outcome = sending.send(wasl().database, wasl().otpiq, wasl().stamper, asked_for, asked, now)
    except sending.StillRunning as running:
        return _say(409, "A request with this Idempotency-Key is still being sent", messageId=str(running.message_id))
    except sending.KeyReused as reused:
        return _say(422, "This Idempotency-Key came with another body before", messageId=str(reused.message_id))
    return _answer(outcome, [_NOT_PASSED_ON] if asked_for.report_replaced else [])


def _answer(outcome: Outcome, warnings: list[str]) -> ResponseReturnValue:
    """OTPIQ's own shapes; what existing senders read in them is listed in the contract."""
    if outcome.state in (Status.ACCEPTED, Status.UNCONFIRMED):
        return jsonify(_success(outcome) | ({"warnings": warnings} if warnings else {}))
    message_id = str(outcome.message_id)
    if outcome.kind in _BUDGETS:
        spent = {"currentSpending": outcome.numbers["spent_iqd"], "spendingThreshold": outcome.numbers["budget_iqd"]}
        return _say(400, f"Not sent: {outcome.words}", messageId=message_id, **spent)
    if outcome.state == Status.UNSENT:
        return _say(502, f"Not sent: {outcome.words}", messageId=message_id)
    if outcome.kind == "key":
        # Not 401: the caller's key is good, it is ours at OTPIQ that is not.
        return _say(502, "Not sent: OTPIQ refuses the key that Wasl uses", messageId=message_id)
    if outcome.state == Status.THROTTLED:
        numbers = {**outcome.numbers, "waitMinutes": outcome.wait_minutes}
        answer = _say(429, outcome.words or "rate limit reached", messageId=message_id, **numbers)
        answer.headers["Retry-After"] = str(60 * (outcome.wait_minutes or 1))
        return answer
    details: dict[str, Any] = {**outcome.numbers}
    if outcome.kind == "credit":
        details["canCover"] = False
    if outcome.errors:
        details["errors"] = outcome.errors
    words = outcome.words or _WORDS_BY_KIND.get(outcome.kind or "", "OTPIQ refused the request")
    return _say(400, words, messageId=message_id, **details)


_WORDS_BY_KIND = {
    "credit": "insufficient credit",
    "threshold": "The project's spending threshold would be passed",
    "sender": "SenderID is not approved",
    "trial": "trial mode: only the owner's own number can be reached",
    "phone": "phone number refused",
}


def _success(outcome: Outcome) -> dict[str, Any]:
    """A send in doubt is answered like a taken one: an error would make the caller send, and pay, a second time."""
    cost_iqd = outcome.cost_iqd if outcome.cost_iqd is not None else outcome.estimate_iqd
    balance_iqd = outcome.balance_iqd if outcome.balance_iqd is not None else _known_balance_iqd()
    answer = {
        "message": "SMS task created successfully",
        "smsId": outcome.sms_id if _PLAIN_ID.fullmatch(outcome.sms_id or "") else str(outcome.message_id),
        "remainingCredit": balance_iqd or 0,
        "cost": cost_iqd or 0,
        "canCover": True,
        "paymentType": outcome.payment_type,
        "messageId": str(outcome.message_id),
        "status": outcome.state,
    }
    if outcome.state == Status.UNCONFIRMED:
        answer["message"] = "OTPIQ has not confirmed this message; it may have gone out, its callback will tell"
    return answer


def _known_balance_iqd() -> int | None:
    try:
        return latest_balance_iqd(wasl().database)
    except StoreAway:  # the message may be out: nothing that comes after may turn the answer into an error
        return None


def _refuse(status: int, errors: dict[str, list[str]]) -> Response:
    text = "; ".join(f"{field} {problem}" for field, problems in errors.items() for problem in problems)
    return _say(status, text, errors=errors)


def _say(status: int, text: str, **details: Any) -> Response:
    """`error` for a 400, `message` for the rest; where both stand they say the same."""
    body = {"error": text, "message": text} if status in (400, 422) else {"message": text}
    answer = jsonify(body | details)
    answer.status_code = status
    return answer
