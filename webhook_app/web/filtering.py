"""What the Messages page is narrowed to: read out of the address, and written back into its links and fields."""

from collections.abc import Mapping
from datetime import date, datetime, time

from flask import abort, request
from flask_babel import gettext as _

from ..figures import NO_CHANNEL, Filter
from ..otpiq.document import is_clean_text
from ..otpiq.requests import SMS_TYPES
from ..phone import Carrier
from ..status import CHANNELS, OUTCOMES, UNKNOWN_CHANNEL, Status
from .asking import choice, id_of, moment
from .context import wasl

_LONGEST_WORDS = 200
_TRIED = ("1", "2", "3", "4")  # channels: the three known ones and one that is not
_ARGUMENTS = (
    *("status", "outcome", "carrier", "channel", "type", "source", "sender", "reason", "tried", "like"),
    *("repeat", "at_risk", "from", "to"),
)


def asked_filter() -> Filter:
    """400 names the argument that makes no sense; ends of a range in the wrong order are put right."""
    since, until = _ends()
    return Filter(
        status=choice("status", tuple(Status)),
        outcome=choice("outcome", tuple(OUTCOMES)),
        carrier=choice("carrier", tuple(Carrier)),
        channel=choice("channel", (*CHANNELS, UNKNOWN_CHANNEL, NO_CHANNEL)),
        sms_type=choice("type", (*SMS_TYPES, "unknown")),
        source_id=id_of("source"),
        sender_id=_words("sender"),
        reason=_words("reason"),
        tried=int(tried) if (tried := choice("tried", _TRIED)) else None,
        like=id_of("like"),
        is_repeat=choice("repeat", ("1",)) is not None,
        at_risk=choice("at_risk", ("1",)) is not None,
        since=moment(since),
        until=moment(until),
    )


def as_asked() -> Mapping[str, str]:
    """The filter as it stands in the address, without the place in the list."""
    since, until = _ends()
    stands_in = {"from": since, "to": until}
    return {name: value for name in _ARGUMENTS if (value := request.args.get(stands_in.get(name, name)))}


def _ends() -> tuple[str, str]:
    """The arguments that hold the beginning and the end of the range."""
    first, last = moment("from"), moment("to")
    is_backwards = first and last and _at(first, time.min) > _at(last, time.max)
    return ("to", "from") if is_backwards else ("from", "to")


def _words(name: str) -> str | None:
    value = request.args.get(name)
    if value and (len(value) > _LONGEST_WORDS or not is_clean_text(value)):
        abort(400, _("%(name)s: must be text of at most %(most)s characters", name=name, most=_LONGEST_WORDS))
    return value or None


def _at(day: date | datetime, clock: time) -> datetime:
    return day if isinstance(day, datetime) else datetime.combine(day, clock, tzinfo=wasl().settings.time_zone)
