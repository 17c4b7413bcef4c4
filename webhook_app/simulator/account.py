"""The simulated account: its name, its sender names and its price list. Fixed, so that sums can be done by hand."""

from webhook_app.phone import Carrier, carrier_of
from webhook_app.simulator.plots import Channel

PROJECT_NAME = "Wasl simulator"
START_CREDIT_IQD = 1_000_000
MAX_SENDER_LENGTH = 11

SENDER_STATUSES: dict[str, str] = {
    "WaslDemo": "accepted",
    "MyShop": "accepted",
    "NewBrand": "pending",
    "BigBank": "rejected",
}

_SMS_IQD = {Carrier.KOREK: 80, Carrier.ASIACELL: 80, Carrier.ZAIN: 80, Carrier.OTHER: 100}
_WHATSAPP_IQD = 60
_TELEGRAM_IQD = 40


def price_iqd(phone: str, channel: Channel) -> int:
    """What one message costs on one channel."""
    if channel is Channel.WHATSAPP:
        return _WHATSAPP_IQD
    return _TELEGRAM_IQD if channel is Channel.TELEGRAM else _SMS_IQD[carrier_of(phone)]


def sender_ids() -> list[dict[str, object]]:
    """The rows of GET /sender-ids."""
    prices = {
        "korekTelecom": _SMS_IQD[Carrier.KOREK],
        "asiaCell": _SMS_IQD[Carrier.ASIACELL],
        "zainIraq": _SMS_IQD[Carrier.ZAIN],
        "others": _SMS_IQD[Carrier.OTHER],
    }
    return [
        {"_id": f"{number:024x}", "senderId": name, "status": status, "pricePerSms": prices}
        for number, (name, status) in enumerate(SENDER_STATUSES.items(), start=1)
    ]
