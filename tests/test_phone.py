import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook_app.phone import BadPhone, Carrier, carrier_of, is_begun, is_usual, mask, normalise


@pytest.mark.parametrize(
    "typed",
    [
        "07701234567",
        "7701234567",
        "9647701234567",
        "+9647701234567",
        "009647701234567",
        "+964 770 123 4567",
        "0770-123-4567",
        "(0770) 123.4567",
        " 0770 123 4567\n",
        "+964 (0)770 123 4567",
        "00964 0770 123 4567",
        "9640770 1234567",
        "٠٧٧٠١٢٣٤٥٦٧",
        "۰۷۷۰ ۱۲۳ ۴۵۶۷",
        "+٩٦٤ ٧٧٠ ١٢٣ ٤٥٦٧",
        "\u200e+964 770 123 4567\u200f",
        "\u2066+964\u00a0770\u202f123\u20094567\u2069",
    ],
)
def test_an_iraqi_number_may_be_typed_in_any_shape(typed: str) -> None:
    assert normalise(typed) == "9647701234567"


@pytest.mark.parametrize(
    ("typed", "goes_on"),
    [("0770 12", True), ("+٩٦٤", True), ("07701234567890", False), ("abc", False), ("0770x", False)],
)
def test_who_is_still_typing_a_number_is_told_from_who_typed_something_else(typed: str, goes_on: bool) -> None:
    assert is_begun(typed) == goes_on


@pytest.mark.parametrize(
    ("typed", "wire"), [("+44 20 7946 0958", "442079460958"), ("0090 532 123 45 67", "905321234567")]
)
def test_a_foreign_number_keeps_its_country(typed: str, wire: str) -> None:
    assert normalise(typed) == wire


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "   ",
        "hello",
        "0",
        "00",
        "+",
        "123",
        "+964770",
        "1234567890123456",
        "+96477012345678901",
        "0000000000000",
        "+0770 123 4567",
        "0770 123 456x",
        "0770+1234567",
        "++9647701234567",
        "07701234567;07701234568",
        "²7701234567",
        "0770123456七",
        "9647701234567\0",
    ],
)
def test_what_cannot_be_a_number_is_refused(typed: str) -> None:
    with pytest.raises(BadPhone, match="10 to 15 digits"):
        normalise(typed)


@given(
    rest=st.from_regex(r"\A7[5789][0-9]{8}\Z"),
    start=st.sampled_from(["0", "964", "+964", "00964", ""]),
    gaps=st.lists(st.sampled_from(["", " ", "-", ".", "\u200f", "\u00a0"]), min_size=10, max_size=10),
    zero=st.sampled_from("0٠۰"),
)
@settings(max_examples=150, deadline=None)
def test_shape_and_script_of_the_digits_do_not_matter(rest: str, start: str, gaps: list[str], zero: str) -> None:
    spaced = start + "".join(gap + digit for gap, digit in zip(gaps, rest, strict=True))
    typed = "".join(chr(ord(zero) + int(c)) if "0" <= c <= "9" else c for c in spaced)
    assert normalise(typed) == f"964{rest}"


@given(st.text())
@settings(max_examples=150, deadline=None)
def test_any_text_is_a_number_of_10_to_15_digits_or_refused(typed: str) -> None:
    try:
        wire = normalise(typed)
    except BadPhone:
        return
    assert 10 <= len(wire) <= 15
    assert set(wire) <= set("0123456789")


@pytest.mark.parametrize(
    ("phone", "carrier"),
    [
        ("9647801234567", Carrier.ZAIN),
        ("9647901234567", Carrier.ZAIN),
        ("9647701234567", Carrier.ASIACELL),
        ("9647501234567", Carrier.KOREK),
        ("9647601234567", Carrier.OTHER),
        ("442079460958", Carrier.OTHER),
        ("", Carrier.OTHER),
        (None, Carrier.OTHER),
    ],
)
def test_the_prefix_names_the_carrier(phone: str | None, carrier: Carrier) -> None:
    assert carrier_of(phone) is carrier


def test_an_iraqi_mobile_is_usual_and_others_are_not() -> None:
    assert is_usual("9647701234567")
    assert not is_usual("9646601234567")
    assert not is_usual("442079460958")


def test_the_mask_shows_the_start_and_the_last_four() -> None:
    assert mask("9647701234567") == "+964 770 ••• 4567"


def test_the_mask_of_a_foreign_number_guesses_at_no_groups() -> None:
    assert mask("12025550100") == "+1202 ••• 0100"
    assert mask("442079460958") == "+44207 ••• 0958"


def test_a_message_without_a_number_has_a_dash_for_a_mask() -> None:
    assert mask(None) == mask("") == "–"


@given(st.from_regex(r"\A[1-9][0-9]{9,14}\Z"))
@settings(max_examples=100, deadline=None)
def test_at_least_three_digits_stay_hidden(phone: str) -> None:
    shown = sum(character.isdigit() for character in mask(phone))
    assert shown <= len(phone) - 3
    assert mask(phone).endswith(f" ••• {phone[-4:]}")
