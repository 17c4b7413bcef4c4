"""Phone numbers as people type them, turned into the one form OTPIQ takes; their carrier; their mask.

Nothing here asks a network who serves a number: a ported number keeps its first carrier's prefix.
"""

import re
import unicodedata
from enum import StrEnum

from .marking import N_


class Carrier(StrEnum):
    ZAIN = "zain"
    ASIACELL = "asiacell"
    KOREK = "korek"
    OTHER = "other"


_CARRIER_BY_PREFIX = {
    "96478": Carrier.ZAIN,
    "96479": Carrier.ZAIN,
    "96477": Carrier.ASIACELL,
    "96475": Carrier.KOREK,
}
_SEPARATORS = re.compile(r"[\s\-().\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_TRUNK_ZERO = re.compile(r"^(\+|00)?9640(?=7\d{9}$)")  # "+964 (0)770 …": the 0 is not dialled from abroad
_WIRE_FORM = re.compile(r"^[1-9][0-9]{9,14}$")  # OTPIQ: international, digits only, 10 to 15 of them
_BEGUN = re.compile(r"^\+?[0-9]{0,9}$")
_MASKED = re.compile(r"^\+?([1-9][0-9]{2,5})•+([0-9]{4})$")
_IRAQI_MOBILE = re.compile(r"^9647[5789]\d{8}$")


class BadPhone(ValueError):
    """What was typed cannot be a phone number; the text says which rule it breaks."""


def normalise(typed: str) -> str:
    """Return `typed` as 10 to 15 digits with the country code first, e.g. "9647701234567".

    Takes 0770…, 770…, +964…, 00964…, any spaces and brackets, Arabic and Persian digits; a number without a country
    code is Iraqi. Raises BadPhone.
    """
    digits = bare(typed)
    digits = _TRUNK_ZERO.sub("964", digits)
    if digits.startswith(("+", "00")):
        digits = digits.removeprefix("+").removeprefix("00")
    elif digits.startswith("0"):
        digits = "964" + digits[1:]
    elif len(digits) == 10 and digits.startswith("7"):
        digits = "964" + digits
    if not _WIRE_FORM.match(digits):
        raise BadPhone(N_("must be a phone number of 10 to 15 digits, such as 0770 123 4567 or +964 770 123 4567"))
    return digits


def bare(typed: str) -> str:
    """What was typed of a number, in Western digits, without separators and marks of direction."""
    return _SEPARATORS.sub("", "".join(_western(character) for character in typed))


def is_begun(typed: str) -> bool:
    """Whether whoever types goes on and gets a number."""
    return bool(_BEGUN.match(bare(typed)))


def is_usual(phone: str) -> bool:
    """Whether a normalised number looks like an Iraqi mobile: others are allowed, with a warning."""
    return bool(_IRAQI_MOBILE.match(phone))


def carrier_of(phone: str | None) -> Carrier:
    return _CARRIER_BY_PREFIX.get((phone or "")[:5], Carrier.OTHER)


def spaced(phone: str) -> str:
    """A normalised number as people write it: "+964 770 123 4567"; foreign ones without guessing at their groups."""
    return f"+964 {phone[3:6]} {phone[6:9]} {phone[9:]}" if is_usual(phone) else f"+{phone}"


def mask(phone: str | None) -> str:
    """The form for screens and logs: "+964 770 ••• 4567", a foreign one "+1202 ••• 0100"; at least three digits stay
    hidden."""
    if not phone:
        return "–"
    start = f"{phone[:3]} {phone[3:6]}" if is_usual(phone) else phone[: min(6, len(phone) - 7)]
    return f"+{start} ••• {phone[-4:]}"


def unmask(typed: str) -> tuple[str, str] | None:
    """What a mask, as from `mask`, shows of its number: the first digits and the last four."""
    shown = _MASKED.match(bare(typed))
    return (shown[1], shown[2]) if shown else None


def _western(character: str) -> str:
    value = unicodedata.decimal(character, None)
    return character if value is None else str(value)
