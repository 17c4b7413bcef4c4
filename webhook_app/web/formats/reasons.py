"""Why messages fail, in plain words with what to do. One table: to say something better, correct it here.

On the left stands what OTPIQ says, as a part to look for in its words; on the right what that means to whoever sent the
message. Words that no line fits are shown as they came.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from webhook_app.counting import SEND_REASON
from webhook_app.figures.overview_rows import FEW, ReasonCount
from webhook_app.marking import N_
from webhook_app.web.formats.numbers import percent
from webhook_app.web.formats.translation import gettext, ngettext


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why something failed: what it means, what to do, and the provider's own words where they say it otherwise."""

    meaning: str
    advice: str | None
    words: str | None


@dataclass(frozen=True, kw_only=True)
class Words:
    """`words` are the provider's own, None where they are the meaning; `word` is what Messages is narrowed to by."""

    words: str | None
    word: str


@dataclass(frozen=True, kw_only=True)
class RankedReason:
    """Failures that mean the same, under whatever words; the commonest of these first."""

    meaning: str
    advice: str | None
    messages: int
    percent: float  # of all failures
    words: tuple[Words, ...]


# Translators: From here on: why messages fail, each with what to do.
_NO_WHATSAPP = N_("This number has no WhatsApp"), N_("Use a route that goes on to SMS.")
_NO_TELEGRAM = N_("This number has no Telegram"), N_("Use a route that goes on to SMS.")
_CARRIER = (
    N_("The carrier refused the message"),
    N_("If many fail on one carrier, send by WhatsApp for now and tell OTPIQ's support."),
)
_BLOCKED = N_("The number blocks such messages"), N_("Ask the person to allow them, or use another channel.")
_OUT_OF_REACH = N_("The phone was off or out of reach"), N_("Try again later, or use another channel.")
_NO_NUMBER = N_("There is no such number"), N_("Check the number with the person.")
_TOO_LATE = N_("It could not be delivered in time"), N_("Send again: an old code is of no use.")
_UNDELIVERABLE = N_("The channel could not deliver it"), N_("Use a route that goes on to another channel.")
_CREDIT = N_("The balance was too small"), N_("Top up at OTPIQ, then send again.")
_THRESHOLD = N_("The project's spending limit was reached"), N_("Raise the limit at OTPIQ.")
_TRIAL = N_("The account is on trial"), N_("On trial it may only send to its owner's number.")
_SENDER = N_("The sender is unknown or not approved"), N_("Choose another sender, or have it approved.")
_RATE = N_("Too many messages in a short time"), N_("Wait a few minutes, then send again.")
_TEMPLATE = N_("WhatsApp did not take the template"), N_("Check its name and parameters at OTPIQ.")

_KEY = N_("OTPIQ does not accept the key"), N_("Set the right OTPIQ key: nothing can be sent without it.")
_INVALID = N_("OTPIQ found something missing or wrong in it"), N_("Open one: it says which field.")

_NOT_REACHED = N_("OTPIQ could not be reached"), N_("Nothing left this machine: it is safe to send again.")
_DAY_SPENT = N_("Your budget of that day was spent"), N_("Raise it on Settings, or let it only warn.")
_MONTH_SPENT = N_("Your budget of that month was spent"), N_("Raise it on Settings, or let it only warn.")

# The provider's words, in lower case, each as a part to look for. The first that fits wins.
_REASONS: tuple[tuple[str, tuple[str, str]], ...] = (
    ("not on whatsapp", _NO_WHATSAPP),
    ("no whatsapp", _NO_WHATSAPP),
    ("131026", _NO_WHATSAPP),
    ("not on telegram", _NO_TELEGRAM),
    ("no telegram", _NO_TELEGRAM),
    ("carrier rejected", _CARRIER),
    ("blocked", _BLOCKED),
    ("blacklist", _BLOCKED),
    ("does not take messages", _BLOCKED),
    ("absent", _OUT_OF_REACH),
    ("unreachable", _OUT_OF_REACH),
    ("switched off", _OUT_OF_REACH),
    ("invalid number", _NO_NUMBER),
    ("unknown subscriber", _NO_NUMBER),
    ("not exist", _NO_NUMBER),
    ("not in service", _NO_NUMBER),
    ("expired", _TOO_LATE),
    ("timeout", _TOO_LATE),
    ("timed out", _TOO_LATE),
    ("undeliverable", _UNDELIVERABLE),
    ("insufficient credit", _CREDIT),
    ("spending threshold", _THRESHOLD),
    ("trial mode", _TRIAL),
    ("senderid", _SENDER),
    ("rate limit", _RATE),
    ("too many", _RATE),
    ("template", _TEMPLATE),
    ("api key", _KEY),
    ("validation failed", _INVALID),
)
# What we say ourselves of a call that came to nothing: these are no words of the provider's.
_OURS: Mapping[str, tuple[str, str | None]] = {
    "no whole answer came": (N_("No whole answer came from OTPIQ"), None),
    "no whole answer came in time": (N_("No whole answer came from OTPIQ in time"), None),
    "OTPIQ could not be reached": _NOT_REACHED,
    "the budget of the day is spent": _DAY_SPENT,
    "the budget of the month is spent": _MONTH_SPENT,
}
# The kinds of a send that OTPIQ refused, or that never left.
_SENDS: Mapping[str, tuple[str, str]] = {
    "credit": _CREDIT,
    "threshold": _THRESHOLD,
    "trial": _TRIAL,
    "sender": _SENDER,
    "rate": _RATE,
    "phone": (N_("OTPIQ does not take this number"), N_("Check the number with the person.")),
    "invalid": _INVALID,
    "key": _KEY,
    "not_sent": _NOT_REACHED,
    "budget_day": _DAY_SPENT,
    "budget_month": _MONTH_SPENT,
}
_REFUSED = N_("OTPIQ refused it"), N_("Open one: it shows what OTPIQ said.")
_NONE_GIVEN = N_("No reason was given"), N_("If there are many, ask OTPIQ's support: each message has a text for them.")


def reason_words(reason: str | None) -> Reason | None:
    """What the provider's `reason` means and what to do; words we do not know stand for themselves."""
    if not reason:
        return None
    if reason in _OURS:
        meaning, advice = _OURS[reason]
        return Reason(meaning=gettext(meaning), advice=advice and gettext(advice), words=None)
    lowered = reason.lower()
    for part, (meaning, advice) in _REASONS:
        if part in lowered:
            return Reason(meaning=gettext(meaning), advice=gettext(advice), words=reason)
    return Reason(meaning=reason, advice=None, words=None)


def counted_words(word: str) -> Reason:
    """The same for a reason as it is counted: nothing, the provider's words, or the kind of a refused send."""
    if word.startswith(SEND_REASON):
        meaning, advice = _SENDS.get(word.removeprefix(SEND_REASON), _REFUSED)
        return Reason(meaning=gettext(meaning), advice=gettext(advice), words=None)
    meaning, advice = _NONE_GIVEN
    return reason_words(word) or Reason(meaning=gettext(meaning), advice=gettext(advice), words=None)


def ranked_reasons(counts: Iterable[ReasonCount], most: int = 8) -> tuple[RankedReason, ...]:
    """By what they mean, the most frequent first; those past `most` are one."""
    of_meaning: Counter[str] = Counter()
    found: dict[str, list[tuple[ReasonCount, Reason]]] = {}
    for count in counts:
        reason = counted_words(count.word)
        of_meaning[reason.meaning] += count.messages
        found.setdefault(reason.meaning, []).append((count, reason))
    ranked = of_meaning.most_common()
    if rest := ranked[most:]:
        other = gettext("Other reasons")
        ranked[most:] = [(other, sum(messages for _meaning, messages in rest))]
        # Under this name nothing else says what each of them means.
        found[other] = [
            (count, replace(reason, advice=None, words=reason.words or reason.meaning))
            for meaning, _messages in rest
            for count, reason in found[meaning]
        ]
    return tuple(
        RankedReason(
            meaning=meaning,
            advice=next((reason.advice for _count, reason in found.get(meaning, ())), None),
            messages=messages,
            percent=100 * messages / of_meaning.total(),
            words=tuple(Words(words=reason.words, word=count.word) for count, reason in found.get(meaning, ())),
        )
        for meaning, messages in ranked
    )


def reasons_finding(ranked: Sequence[RankedReason]) -> str:
    """The list's title: why most of them fail."""
    failures = sum(reason.messages for reason in ranked)
    if not failures:
        return gettext("Why messages fail: none did")
    if failures < FEW:
        return ngettext("Why the one failed", "Why the %(num)s failed", failures)
    return gettext(
        "%(percent)s%% of the failures: %(reason)s", percent=percent(ranked[0].percent), reason=ranked[0].meaning
    )
