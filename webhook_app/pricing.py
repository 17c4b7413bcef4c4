"""What a send will about cost, and what the account holds: OTPIQ's own lists, asked for seldom."""

import threading
import time
from collections.abc import Callable
from datetime import datetime

import structlog

from .database import Database, StoreAway
from .ids import new_id
from .models import BalanceReading
from .otpiq import Otpiq, OtpiqError, Sender
from .phone import Carrier, carrier_of

_KEEP_S = 600.0
_KEEP_FAILURE_S = 60.0

log = structlog.get_logger()


class PriceList:
    """The account's sender ids with their prices, kept for ten minutes in this process; a failure for one.

    Whenever they are asked for, the balance is asked for and noted too.
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
        self._stale_at_s = 0.0

    def senders(self) -> tuple[Sender, ...] | None:
        """None when OTPIQ does not tell and never told. May wait for OTPIQ."""
        with self._lock:
            if self._monotonic_s() >= self._stale_at_s:
                self._ask()
            return self._senders

    def refresh_aside(self) -> None:
        """Ask in a thread of its own if it is time, for whoever cannot wait: a send has a deadline."""
        if self._monotonic_s() >= self._stale_at_s and not self._lock.locked():
            threading.Thread(target=self.senders, name="prices", daemon=True).start()

    def estimate_iqd(self, phone: str | None, sender_id: str | None) -> int | None:
        """The price by SMS with that sender to that number's carrier, by the list as last read; None if unknown.

        Without a sender the dearest approved one's; without a number the dearest Iraqi carrier's.
        """
        carriers = {carrier_of(phone)} if phone else {*Carrier} - {Carrier.OTHER}
        prices = [
            price
            for sender in self._senders or ()
            for carrier, price in sender.price_by_carrier.items()
            if carrier in carriers and (sender.sender_id == sender_id if sender_id else sender.status == "accepted")
        ]
        return max(prices, default=None)

    def _ask(self) -> None:
        try:
            self._senders = self._otpiq.senders()
            read_balance(self._database, self._otpiq, self._clock())
            self._stale_at_s = self._monotonic_s() + _KEEP_S
        except (OtpiqError, StoreAway) as error:
            log.warning("prices.unknown", kind=getattr(error, "kind", "store"))
            self._stale_at_s = self._monotonic_s() + _KEEP_FAILURE_S


def read_balance(database: Database, otpiq: Otpiq, now: datetime) -> int | None:
    """Ask OTPIQ what the account holds (IQD) and note it. Raises OtpiqError."""
    iqd = otpiq.balance_iqd()
    if iqd is not None:
        with database.transaction() as session:
            session.add(BalanceReading(id=new_id(now), at=now, iqd=iqd))
    return iqd
