"""What a send will about cost, and what the account holds: OTPIQ's own lists, asked for seldom, their changes kept."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median_low

import structlog
from sqlalchemy import exists, select, union_all
from sqlalchemy.orm import Session, aliased

from .database import Database, StoreAway
from .ids import new_id
from .models import BalanceReading, Message, SenderPrice
from .otpiq import Otpiq, OtpiqError, Sender, SendRequest
from .otpiq.document import is_clean_text
from .phone import Carrier, carrier_of
from .status import CHANNELS, OUTCOMES, route

_KEEP_S = 600.0
_KEEP_FAILURE_S = 60.0
_LATELY = 50  # messages of each status
_LONGEST_SENDER = 40  # of sender_price.sender_id
# One part's characters: alone, and where several are joined. Any other letter than these makes a part far shorter.
_DOUBLE = frozenset("^{}\\[~]|€")  # these take two places each
_PLAIN = _DOUBLE | frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_PLAIN_PART, _WIDE_PART = (160, 153), (70, 67)

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Check:
    """What came of asking OTPIQ with our key. `trouble` is the error's kind, or "store"; None: it answered."""

    at: datetime
    trouble: str | None


class PriceList:
    """The account's sender ids with their prices, kept for ten minutes in this process; a failure for one.

    Whenever they are asked for, the balance is asked for and noted too, and so is what changed since the last time.
    """

    def __init__(
        self,
        otpiq: Otpiq,
        database: Database,
        clock: Callable[[], datetime],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._otpiq = otpiq
        self._database = database
        self._clock = clock
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._senders: tuple[Sender, ...] | None = None
        self._unlisted: Mapping[str, int] = {}
        self._check: Check | None = None
        self._stale_at_s = 0.0

    def senders(self) -> tuple[Sender, ...] | None:
        """None when OTPIQ does not tell and never told. May wait for OTPIQ."""
        with self._lock:
            if self._monotonic_s() >= self._stale_at_s:
                self._ask()
            return self._senders

    def check(self) -> Check:
        """Ask now, whenever the last time was, and say what came of it. May wait for OTPIQ."""
        with self._lock:
            return self._ask()

    def last_known(self) -> tuple[tuple[Sender, ...] | None, Check | None]:
        """The list as last read, and what came of asking last. Never waits."""
        return self._senders, self._check

    def refresh_aside(self) -> None:
        """Ask in a thread of its own if it is time, for whoever cannot wait: a send has a deadline."""
        if self._monotonic_s() >= self._stale_at_s and not self._lock.locked():
            threading.Thread(target=self.senders, name="prices", daemon=True).start()

    def estimate_iqd(self, request: SendRequest) -> int | None:
        """What this send will about cost, by what is known of prices at this moment; None if nothing is."""
        by_channel = self.by_channel(request.phone, request.sender_id)
        return estimate_iqd(by_channel, request.sms_type, request.provider, request.custom_text)

    def by_channel(self, phone: str | None, sender_id: str | None) -> dict[str, int]:
        """One part by each channel whose price is known: by SMS as OTPIQ lists it for that sender and that number's
        carrier; by the others, which it does not list, as the latest messages were charged.

        Without a sender the dearest approved one's; without a number the dearest Iraqi carrier's.
        """
        carriers = {carrier_of(phone)} if phone else {*Carrier} - {Carrier.OTHER}
        prices = [
            price
            for sender in self._senders or ()
            for carrier, price in sender.price_by_carrier.items()
            if carrier in carriers and (sender.sender_id == sender_id if sender_id else sender.status == "accepted")
        ]
        return {**self._unlisted, "sms": max(prices)} if prices else dict(self._unlisted)

    def _ask(self) -> Check:
        trouble = None
        try:
            self._senders = self._otpiq.senders()
            now = self._clock()
            note_prices(self._database, self._senders, now)
            self._unlisted = unlisted_prices(self._database)
            read_balance(self._database, self._otpiq, now)
        except (OtpiqError, StoreAway) as error:
            trouble = str(getattr(error, "kind", "store")) if self._otpiq.has_key else "no_key"
            log.warning("prices.unknown", kind=trouble)
        self._stale_at_s = self._monotonic_s() + (_KEEP_FAILURE_S if trouble else _KEEP_S)
        self._check = Check(at=self._clock(), trouble=trouble)
        return self._check


def estimate_iqd(by_channel: Mapping[str, int], sms_type: str, provider: str, text: str | None) -> int | None:
    """The dearest channel of the route: which one it will be is OTPIQ's to say. Where nothing is known of any of them
    the price by SMS stands in. A text is charged by its parts."""
    routes = {"custom": ("sms",), "whatsapp-template": ("whatsapp",)}
    known = [by_channel[channel] for channel in routes.get(sms_type, route(provider)) if channel in by_channel]
    price_iqd = max(known, default=by_channel.get("sms"))
    return None if price_iqd is None else price_iqd * parts_of(text or "")


def parts_of(text: str) -> int:
    """How many parts a text goes out in, each charged: 160 plain characters or 70 others, a little less when joined."""
    if _PLAIN.issuperset(text):
        length, (alone, joined) = len(text) + sum(character in _DOUBLE for character in text), _PLAIN_PART
    else:
        length, (alone, joined) = len(text.encode("utf-16-le")) // 2, _WIDE_PART  # as phones count: an emoji is two
    return 1 if length <= alone else -(-length // joined)


def read_balance(database: Database, otpiq: Otpiq, now: datetime) -> int | None:
    """Ask OTPIQ what the account holds (IQD) and note it. Raises OtpiqError."""
    iqd = otpiq.balance_iqd()
    if iqd is not None:
        with database.transaction() as session:
            session.add(BalanceReading(id=new_id(now), at=now, iqd=iqd))
    return iqd


def note_prices(database: Database, senders: Sequence[Sender], now: datetime) -> None:
    """Keep what has changed since the list was last read: a new price, or that it is on the list no more."""
    listed = {
        (sender.sender_id, carrier): price
        for sender in senders
        if len(sender.sender_id) <= _LONGEST_SENDER and is_clean_text(sender.sender_id)
        for carrier, price in sender.price_by_carrier.items()
    }
    if not listed:  # an answer that lists nothing is more likely a fault than the end of every sender
        return
    with database.transaction() as session:
        database.one_at_a_time(session, "prices")  # or two that read the same list would both note the change
        known = _known_prices(session)
        changed = {key: listed.get(key) for key in listed.keys() | known.keys() if listed.get(key) != known.get(key)}
        session.add_all(
            SenderPrice(id=new_id(now), at=now, sender_id=sender_id, carrier=carrier, iqd=iqd)
            for (sender_id, carrier), iqd in sorted(changed.items())
        )


def unlisted_prices(database: Database) -> dict[str, int]:
    """By channels that OTPIQ's list does not price: what the middle one of the latest that arrived was charged."""
    newest = [
        select(Message.channel, Message.charged_iqd)
        .where(Message.channel == channel, Message.status == status)
        .order_by(Message.id.desc())
        .limit(_LATELY)
        .subquery()
        for channel in CHANNELS
        if channel != "sms"
        for status in OUTCOMES["delivered"]
    ]
    charged: dict[str, list[int]] = defaultdict(list)
    with database.reading() as session:
        for channel, iqd in session.execute(union_all(*(select(found) for found in newest))):
            if iqd:
                charged[channel].append(iqd)
    return {channel: median_low(amounts) for channel, amounts in charged.items()}


def _known_prices(session: Session) -> dict[tuple[str, str], int | None]:
    later = aliased(SenderPrice)
    is_old = exists().where(
        later.sender_id == SenderPrice.sender_id, later.carrier == SenderPrice.carrier, later.id > SenderPrice.id
    )
    return {(row.sender_id, row.carrier): row.iqd for row in session.scalars(select(SenderPrice).where(~is_old))}
