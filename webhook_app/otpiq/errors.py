"""How a call to OTPIQ can fail, named for what the caller must know: did it go out, and whose move is it?"""

from collections.abc import Mapping
from typing import Any, ClassVar


class OtpiqError(Exception):
    """Base of all. `words` are the provider's own, scrubbed of codes and numbers; `trace` is the answer as received."""

    kind: ClassVar[str] = "error"

    def __init__(
        self,
        words: str = "",
        *,
        http_status: int | None = None,
        trace: str = "",
        numbers: Mapping[str, int] | None = None,
        errors: Mapping[str, list[str]] | None = None,
        salvaged_sms_id: str | None = None,
    ) -> None:
        super().__init__(self.kind)  # never the words: exception texts end up in logs
        self.words = words
        self.http_status = http_status
        self.trace = trace
        self.numbers = dict(numbers or {})
        self.errors = {field: list(texts) for field, texts in (errors or {}).items()}
        self.salvaged_sms_id = salvaged_sms_id


class NotSent(OtpiqError):
    """No byte left this machine (name lookup, refused connection, TLS, no key): safe to try again."""

    kind = "not_sent"


class OutcomeUnknown(OtpiqError):
    """Bytes may have left and no answer that makes sense came back: never to be repeated by itself."""

    kind = "outcome_unknown"


class Refused(OtpiqError):
    """A documented 4xx: OTPIQ did not take the message and charged nothing."""

    kind = "refused"


class InvalidRequest(Refused):
    """400: validation; `errors` by field where OTPIQ gave them."""

    kind = "invalid"


class SenderRefused(Refused):
    """400: unknown or unapproved sender id."""

    kind = "sender"


class TrialMode(Refused):
    """400: a trial account may only send to its owner's number."""

    kind = "trial"


class PhoneRefused(Refused):
    """400: OTPIQ does not take this phone number."""

    kind = "phone"


class InsufficientCredit(Refused):
    """400 with yourCredit and requiredCredit (`numbers`, IQD)."""

    kind = "credit"


class SpendingThreshold(Refused):
    """400 with currentSpending, spendingThreshold and cost (`numbers`, IQD)."""

    kind = "threshold"


class BadKey(Refused):
    """401: our key at OTPIQ is wrong or revoked."""

    kind = "key"


class UnknownMessage(Refused):
    """404: no such smsId (tracking)."""

    kind = "unknown"


class RateLimited(Refused):
    """429 with waitMinutes, maxRequests and timeWindowMinutes (`numbers`)."""

    kind = "rate"

    @property
    def wait_minutes(self) -> int:
        return max(1, self.numbers.get("waitMinutes", 1))


_DOCUMENTED_NUMBERS = (
    "yourCredit",
    "requiredCredit",
    "currentSpending",
    "spendingThreshold",
    "cost",
    "waitMinutes",
    "maxRequests",
    "timeWindowMinutes",
)


def classify(http_status: int, body: Mapping[str, Any], trace: str) -> OtpiqError:
    """The error of an answer that is not a success. Structured keys first, then trial, sender, phone: texts about
    trial mode also say "credit". A 4xx outside the contract's table may hide a message that went out."""
    words = next((body[key] for key in ("error", "message") if isinstance(body.get(key), str)), "")
    errors = _field_errors(body.get("errors"))
    kind = _class_of(http_status, body, words)
    return kind(words, http_status=http_status, trace=trace, numbers=_numbers(body), errors=errors)


def _class_of(http_status: int, body: Mapping[str, Any], words: str) -> type[OtpiqError]:
    if http_status == 400:
        return _class_of_400(body, words)
    by_status: dict[int, type[OtpiqError]] = {401: BadKey, 429: RateLimited}
    return by_status.get(http_status, OutcomeUnknown)


def _class_of_400(body: Mapping[str, Any], words: str) -> type[Refused]:
    if "requiredCredit" in body or "yourCredit" in body:
        return InsufficientCredit
    if "spendingThreshold" in body:
        return SpendingThreshold
    lowered = words.lower()
    if "trial mode" in lowered:
        return TrialMode
    if "senderid" in lowered or "sender id" in lowered:
        return SenderRefused
    if "insufficient credit" in lowered:
        return InsufficientCredit
    if "phone" in lowered and not body.get("errors"):
        return PhoneRefused
    return InvalidRequest


def _numbers(body: Mapping[str, Any]) -> dict[str, int]:
    """The documented ones alone: a code or a phone number may be echoed as a number too."""
    return {
        key: round(value)
        for key in _DOCUMENTED_NUMBERS
        if isinstance(value := body.get(key), int | float) and not isinstance(value, bool) and abs(value) < 1e12
    }


def _field_errors(errors: object) -> dict[str, list[str]]:
    if not isinstance(errors, dict):
        return {}
    return {
        str(field): [str(text) for text in (texts if isinstance(texts, list) else [texts])]
        for field, texts in errors.items()
    }
