"""What a send will about cost: by carrier, sender, route and length; prices kept with their changes; on both stores."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from webhook_app import figures, pricing
from webhook_app.database import Database
from webhook_app.models import BalanceReading, SenderPrice
from webhook_app.otpiq import Otpiq, Sender, SendRequest, parse_send
from webhook_app.pricing import PriceList, estimate_iqd, note_prices, parts_of
from webhook_app.status import Fact

from .rows import NOW, add_message, all_rows
from .scripted import Scripted, answer

KEY = "sk_live_0123456789abcdef"
ZAIN, KOREK, ABROAD = "9647801234567", "9647501234567", "4915112345678"
LISTED = {
    "data": [
        {"senderId": "MyShop", "status": "accepted", "pricePerSms": prices}
        for prices in ({"zainIraq": 80, "asiaCell": 85, "korekTelecom": 90, "others": 300},)
    ]
    + [{"senderId": "NewShop", "status": "pending", "pricePerSms": {"zainIraq": 500}}]
}
INFO = {"projectName": "shop", "credit": 15_000}


def sender(sender_id: str = "MyShop", status: str = "accepted", **prices: int) -> Sender:
    return Sender(sender_id=sender_id, status=status, price_by_carrier=prices)


def request(phone: str = ZAIN, **more: Any) -> SendRequest:
    return parse_send({"phoneNumber": phone, "smsType": "verification", "verificationCode": "1234"} | more)


class Clock:
    """A monotonic clock that a test moves."""

    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def listed(database: Database) -> Callable[..., PriceList]:
    """A price list that was read once."""

    def read(*answers: Any, clock: Clock | None = None) -> PriceList:
        with Scripted(*(answer(200, body) for body in answers or (LISTED, INFO))) as otpiq:
            prices = PriceList(Otpiq(otpiq.base_url, KEY), database, lambda: NOW, clock or Clock())
            prices.senders()
        return prices

    return read


def test_the_estimate_is_the_carrier_s_price_of_the_sender(listed: Callable[..., PriceList]) -> None:
    prices = listed()
    found = [prices.estimate_iqd(request(phone, senderId="MyShop")) for phone in (ZAIN, KOREK, ABROAD)]
    assert found == [80, 90, 300]
    assert prices.estimate_iqd(request(KOREK, senderId="NewShop")) is None


def test_without_a_sender_it_is_the_dearest_approved_one_s(listed: Callable[..., PriceList]) -> None:
    assert listed().estimate_iqd(request(ZAIN)) == 80


def test_without_a_number_it_is_the_dearest_iraqi_carrier_s(listed: Callable[..., PriceList]) -> None:
    assert listed().by_channel(None, None) == {"sms": 90}


def test_other_channels_cost_what_the_latest_messages_were_charged(
    listed: Callable[..., PriceList], database: Database
) -> None:
    for minutes, iqd in enumerate((60, 60, 55, None, 999)):
        at = NOW - timedelta(minutes=minutes)
        facts = [Fact(at=at, sms_id="1", cost_iqd=iqd), Fact(at=at, word="delivered", channel="whatsapp")]
        add_message(database, at, facts=facts)
    assert listed().by_channel(ZAIN, "MyShop") == {"sms": 80, "whatsapp": 60}


@pytest.mark.parametrize(
    ("sms_type", "provider", "iqd"),
    [
        ("verification", "auto", 80),
        ("verification", "whatsapp-sms", 80),
        ("verification", "whatsapp", 60),
        ("verification", "telegram", 80),  # nothing is known of it: the list's price stands in
        ("custom", "whatsapp", 80),  # always goes by SMS
        ("whatsapp-template", "auto", 60),
    ],
)
def test_the_estimate_is_the_dearest_channel_of_the_route(sms_type: str, provider: str, iqd: int) -> None:
    assert estimate_iqd({"sms": 80, "whatsapp": 60}, sms_type, provider, None) == iqd


def test_where_no_price_is_known_there_is_no_estimate() -> None:
    assert estimate_iqd({}, "verification", "auto", None) is None


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("س" * 70, 1),
        ("س" * 71, 2),
        ("س" * 135, 3),
        ("a" * 69 + "ک", 1),
        ("😀" * 36, 2),
    ],
)
def test_a_text_is_charged_by_its_parts(text: str, parts: int) -> None:
    assert parts_of(text) == parts
    assert estimate_iqd({"sms": 80}, "custom", "auto", text) == 80 * parts


def test_reading_the_list_notes_the_balance_too(listed: Callable[..., PriceList], database: Database) -> None:
    listed()
    assert [reading.iqd for reading in all_rows(database, BalanceReading)] == [15_000]


def test_the_list_is_asked_for_again_after_ten_minutes_and_not_before(database: Database) -> None:
    clock = Clock()
    with Scripted(*(answer(200, body) for body in (LISTED, INFO, LISTED, INFO))) as otpiq:
        prices = PriceList(Otpiq(otpiq.base_url, KEY), database, lambda: NOW, clock)
        for seconds, calls in ((0, 2), (599, 2), (601, 4)):
            clock.now_s = 1_000 + seconds
            prices.senders()
            assert len(otpiq.requests) == calls


def test_a_list_that_cannot_be_read_leaves_the_one_before(database: Database) -> None:
    clock = Clock()
    with Scripted(answer(200, LISTED), answer(200, INFO), answer(500, {"message": "Internal error"})) as otpiq:
        prices = PriceList(Otpiq(otpiq.base_url, KEY), database, lambda: NOW, clock)
        prices.senders()
        clock.now_s += 601
        assert [sender.sender_id for sender in prices.senders() or ()] == ["MyShop", "NewShop"]
        assert prices.last_known()[1] == pricing.Check(at=NOW, trouble="outcome_unknown")


def test_a_check_asks_at_once_and_says_what_came_of_it(database: Database) -> None:
    with Scripted(answer(200, LISTED), answer(200, INFO), answer(401, {"message": "Invalid API key"})) as otpiq:
        prices = PriceList(Otpiq(otpiq.base_url, KEY), database, lambda: NOW, Clock())
        assert [prices.check().trouble for _ in range(2)] == [None, "key"]
    assert prices.last_known()[0] is not None


def test_before_anybody_asked_nothing_is_known(database: Database) -> None:
    prices = PriceList(Otpiq("http://127.0.0.1:9/api", KEY), database, lambda: NOW, Clock())
    assert prices.last_known() == (None, None)
    assert prices.check().trouble == "not_sent"


def test_without_a_key_nobody_is_asked_and_no_network_is_blamed(database: Database) -> None:
    prices = PriceList(Otpiq("http://127.0.0.1:9/api", None), database, lambda: NOW, Clock())
    assert prices.check().trouble == "no_key"


def noted(database: Database) -> list[tuple[str, str, int | None]]:
    return [(row.sender_id, row.carrier, row.iqd) for row in all_rows(database, SenderPrice)]


def at(hours: int) -> datetime:
    return NOW + timedelta(hours=hours)


def test_a_price_is_noted_when_it_is_new_or_has_changed_and_only_then(database: Database) -> None:
    for hours, iqd in enumerate((80, 80, 85, 85, 80)):
        note_prices(database, [sender(zain=iqd)], at(hours))
    assert noted(database) == [("MyShop", "zain", 80), ("MyShop", "zain", 85), ("MyShop", "zain", 80)]


def test_a_sender_that_is_listed_no_more_is_noted_too_and_may_come_back(database: Database) -> None:
    other = sender("Other", zain=70)
    note_prices(database, [sender(zain=80), other], at(0))
    note_prices(database, [other], at(1))
    note_prices(database, [other], at(2))
    note_prices(database, [sender(zain=80), other], at(3))
    assert [row for row in noted(database) if row[0] == "MyShop"] == [
        ("MyShop", "zain", 80),
        ("MyShop", "zain", None),
        ("MyShop", "zain", 80),
    ]


def test_an_empty_list_ends_no_sender(database: Database) -> None:
    note_prices(database, [sender(zain=80)], at(0))
    note_prices(database, [], at(1))
    assert noted(database) == [("MyShop", "zain", 80)]


def test_a_sender_id_that_no_store_can_hold_is_left_out(database: Database) -> None:
    note_prices(database, [sender(name, zain=80) for name in ("a\0b", "x" * 41, "Fine")], at(0))
    assert noted(database) == [("Fine", "zain", 80)]


def test_each_price_is_told_with_since_when_and_what_it_was_before(database: Database) -> None:
    note_prices(database, [sender(zain=80, korek=90)], at(0))
    note_prices(database, [sender(zain=85, korek=90)], at(1))
    note_prices(database, [sender(zain=85)], at(2))
    told = [(cost.carrier, cost.iqd, cost.since, cost.before_iqd) for cost in figures.sender_costs(database)]
    assert told == [("korek", None, at(2), 90), ("zain", 85, at(1), 80)]
