"""The misbehaviours a phone number's last three digits can ask for: the words, and the one table that explains them.

What each does to the message is in `plots`; what it does to the answer is in `answers`.
"""

from dataclasses import dataclass
from enum import StrEnum


class Misbehaviour(StrEnum):
    SLOW_ANSWER = "slow-answer"
    CALLBACK_FIRST = "callback-first"
    REPEATED_CALLBACKS = "repeated-callbacks"
    REORDERED_CALLBACKS = "reordered-callbacks"
    LOST_CALLBACKS = "lost-callbacks"
    FAILED = "failed"
    FALLBACK = "fallback"
    LATE_RECEIPT = "late-receipt"
    BAD_REQUEST = "bad-request"
    BAD_FIELDS = "bad-fields"
    BAD_SENDER = "bad-sender"
    TRIAL_MODE = "trial-mode"
    INSUFFICIENT_CREDIT = "insufficient-credit"
    SPENDING_THRESHOLD = "spending-threshold"
    BAD_KEY = "bad-key"
    RATE_LIMITED = "rate-limited"
    PROVIDER_FAULT = "provider-fault"
    REDIRECT = "redirect"
    NEVER_ANSWERS = "never-answers"
    CUT_ANSWER = "cut-answer"
    CUT_EARLY = "cut-early"
    INVALID_JSON = "invalid-json"
    NO_SMS_ID = "no-sms-id"
    FAULT_YET_SENT = "fault-yet-sent"

    @property
    def refuses(self) -> bool:
        """Whether the send is refused: nothing is charged, nothing goes out, no callback comes."""
        return self in _REFUSALS


_REFUSALS = frozenset(
    {
        Misbehaviour.BAD_REQUEST,
        Misbehaviour.BAD_FIELDS,
        Misbehaviour.BAD_SENDER,
        Misbehaviour.TRIAL_MODE,
        Misbehaviour.INSUFFICIENT_CREDIT,
        Misbehaviour.SPENDING_THRESHOLD,
        Misbehaviour.BAD_KEY,
        Misbehaviour.RATE_LIMITED,
        Misbehaviour.PROVIDER_FAULT,
        Misbehaviour.REDIRECT,
    }
)


@dataclass(frozen=True, kw_only=True)
class Trick:
    """One row of the table: numbers ending in `suffix` meet `misbehaviour`."""

    suffix: str
    misbehaviour: Misbehaviour
    sentence: str


def _trick(suffix: str, misbehaviour: Misbehaviour, sentence: str) -> Trick:
    return Trick(suffix=suffix, misbehaviour=misbehaviour, sentence=sentence)


TRICKS: tuple[Trick, ...] = (
    _trick("901", Misbehaviour.SLOW_ANSWER, "The answer takes 4 seconds."),
    _trick("902", Misbehaviour.CALLBACK_FIRST, "The first callback arrives before the send is answered."),
    _trick("903", Misbehaviour.REPEATED_CALLBACKS, "Every callback is sent three times."),
    _trick("904", Misbehaviour.REORDERED_CALLBACKS, "The callbacks come in the opposite order, the last one first."),
    _trick("905", Misbehaviour.LOST_CALLBACKS, "No callback is ever sent; tracking knows what happened."),
    _trick("906", Misbehaviour.FAILED, "The message fails on every channel, with a reason."),
    _trick("907", Misbehaviour.FALLBACK, "Every channel but the last fails; the last delivers (use provider auto)."),
    _trick("908", Misbehaviour.LATE_RECEIPT, "The message fails for good, and is reported delivered afterwards."),
    _trick("911", Misbehaviour.BAD_REQUEST, "Refused with 400 and one validation error."),
    _trick("912", Misbehaviour.BAD_FIELDS, "Refused with 400 and a list of errors for each field."),
    _trick("913", Misbehaviour.BAD_SENDER, "Refused with 400: the SenderID is not approved."),
    _trick("914", Misbehaviour.TRIAL_MODE, "Refused with 400: the account is in trial mode."),
    _trick("915", Misbehaviour.INSUFFICIENT_CREDIT, "Refused with 400: the credit does not cover the message."),
    _trick("916", Misbehaviour.SPENDING_THRESHOLD, "Refused with 400: the spending threshold would be passed."),
    _trick("917", Misbehaviour.BAD_KEY, "Refused with 401, as if the API key were wrong."),
    _trick("918", Misbehaviour.RATE_LIMITED, "Refused with 429 and the minutes to wait."),
    _trick("919", Misbehaviour.PROVIDER_FAULT, "Answered with 500; nothing was sent."),
    _trick("920", Misbehaviour.REDIRECT, "Answered with a redirect (302); nothing was sent."),
    _trick("921", Misbehaviour.NEVER_ANSWERS, "Accepted and charged, but the answer never comes; the callbacks do."),
    _trick("922", Misbehaviour.CUT_ANSWER, "Accepted and charged; the answer breaks off just after the smsId."),
    _trick("923", Misbehaviour.CUT_EARLY, "Accepted and charged; the answer breaks off in the middle of the smsId."),
    _trick("924", Misbehaviour.INVALID_JSON, "Accepted and charged; the answer is 200, but not JSON."),
    _trick("925", Misbehaviour.NO_SMS_ID, "Accepted and charged; the answer is 200, but holds no smsId."),
    _trick("926", Misbehaviour.FAULT_YET_SENT, "Accepted and charged, yet answered with 500; the callbacks come."),
)

_BY_SUFFIX = {trick.suffix: trick.misbehaviour for trick in TRICKS}
_SUFFIX_OF = {trick.misbehaviour: trick.suffix for trick in TRICKS}


def find_misbehaviour(phone: str) -> Misbehaviour | None:
    """The misbehaviour this number's last three digits ask for, if any."""
    return _BY_SUFFIX.get(phone[-3:])


def suffix_of(misbehaviour: Misbehaviour) -> str:
    """The three digits that ask for `misbehaviour`."""
    return _SUFFIX_OF[misbehaviour]
