"""What OTPIQ tells of a message: the delivery callback's body and the tracking answer, turned into facts.

Lenient: a field that is missing or odd costs only itself; only a body that is no JSON object, or names nothing, is
unreadable. Verifying that OTPIQ sent it is not done here.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..status import Fact
from .document import Unreadable, is_clean_text, read_object

_MAX_WORD = 40
_MAX_REASON = 500
_MAX_SMS_ID = 200
_NEVER_KEPT = ("verificationCode", "templateParameters")
_NAMES_A_CODE = re.compile("|".join(_NEVER_KEPT).encode(), re.IGNORECASE)
_ESCAPED = b"\\u00"


@dataclass(frozen=True, kw_only=True)
class Report:
    """A delivery callback as far as it could be read; None where a field was missing or of the wrong type."""

    sms_id: str | None
    word: str
    channel: str | None
    is_final: bool
    reason: str | None
    sender_id: str | None

    def fact(self, at: datetime) -> Fact:
        return Fact(
            at=at,
            word=self.word,
            channel=self.channel,
            is_final=self.is_final,
            reason=self.reason,
            sms_id=self.sms_id,
        )


def parse_report(raw: bytes) -> Report:
    """The callback's body. Raises Unreadable; unknown words and further fields are data."""
    body = read_object(raw)
    word = _text(body, "status", _MAX_WORD)
    if word is None:
        raise Unreadable("the body has no status")
    return Report(
        sms_id=clean_sms_id(body.get("smsId")),
        word=word.lower(),
        channel=_channel(body, "channel"),
        is_final=body.get("isFinal") is True,
        reason=_text(body, "reason", _MAX_REASON),
        sender_id=_text(body, "senderId", _MAX_WORD),
    )


def without_codes(raw: bytes) -> bytes:
    """The body as it may be kept. A code is not in the contract of a callback, but if one is ever echoed, it goes."""
    plain = raw.replace(b"\0", b"")  # UTF-16 and UTF-32 as if they were ASCII
    named = _NAMES_A_CODE.search(plain)
    if named is None and _ESCAPED not in plain:
        return raw
    try:
        body = read_object(raw)
    except Unreadable:
        return plain[: named.end()] + "…".encode() if named else raw
    kept = _hide(body)
    return raw if kept == body else json.dumps(kept).encode()


def parse_tracking(body: Mapping[str, Any], at: datetime) -> tuple[Fact, ...]:
    """The facts of a `GET /sms/track/<smsId>` answer: the headline one, then one for each channel tried."""
    headline = Fact(
        at=at,
        word=_text(body, "status", _MAX_WORD),
        channel=_channel(body, "lastChannel"),
        is_final=body.get("isFinalStatus") is True,
        sms_id=clean_sms_id(body.get("smsId")),
        cost_iqd=amount(body.get("cost")),
        cost_from="tracking",
        is_asked_for=True,
    )
    flow = body.get("channelFlow")
    steps = [step for step in (flow if isinstance(flow, list) else ()) if isinstance(step, dict)]
    return headline, *(fact for step in steps if (fact := _of_step(step, at)))


def amount(value: object) -> int | None:
    """Whole IQD of a JSON number; the contract's type is "number", so a decimal is rounded. None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        return None
    return round(value)


def clean_sms_id(value: object) -> str | None:
    """As it came, or None: one that is too long is no id, and cutting it could make two messages one."""
    return value if isinstance(value, str) and 0 < len(value) <= _MAX_SMS_ID and is_clean_text(value) else None


def _hide(value: Any) -> Any:
    if isinstance(value, dict):
        hidden = {name.lower() for name in _NEVER_KEPT}
        return {name: "***" if name.lower() in hidden else _hide(inner) for name, inner in value.items()}
    return [_hide(inner) for inner in value] if isinstance(value, list) else value


def _of_step(step: Mapping[str, Any], at: datetime) -> Fact | None:
    if step.get("tried") is not True or "success" not in step:
        return None
    # Success there means that the channel took it, not that it arrived.
    word = "sent" if step["success"] is True else "failed"
    return Fact(at=at, word=word, channel=_channel(step, "channel"), is_asked_for=True)


def _channel(body: Mapping[str, Any], name: str) -> str | None:
    word = _text(body, name, _MAX_WORD)
    return word.lower() if word else None


def _text(body: Mapping[str, Any], name: str, limit: int) -> str | None:
    value = body.get(name)
    if not isinstance(value, str) or not value or not is_clean_text(value):
        return None
    return value[:limit]
