"""The truth of one simulated account: every send, what it cost, what became of it, and every callback tried.

Kept in memory and read by tests and people through GET /__ledger. Codes, texts and parameters never come
here, and a webhook's secret is never shown.
"""

import secrets
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from webhook_app.simulator.checks import Send
from webhook_app.simulator.plots import Callback, Event, Plot, Truth, headline


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One POST of one callback: the status it was answered with, or the name of what went wrong."""

    at: datetime
    http_status: int | None = None
    error: str | None = None

    @classmethod
    def now(cls, http_status: int | None, error: str | None) -> Self:
        return cls(at=datetime.now(UTC), http_status=http_status, error=error)

    @property
    def acknowledged(self) -> bool:
        return self.http_status is not None and 200 <= self.http_status < 300


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One accepted send. `attempts` grows, under the ledger's lock, by the number of the plot's event."""

    sms_id: str
    send: Send
    plot: Plot
    callbacks: tuple[Callback, ...]
    cost_iqd: int
    balance_after_iqd: int
    at: datetime
    accepted_s: float  # time.monotonic() at acceptance
    attempts: dict[int, list[Attempt]] = field(default_factory=dict)

    def happened(self, elapsed_s: float) -> tuple[Event, ...]:
        """The events that have truly happened `elapsed_s` simulated seconds after acceptance."""
        return tuple(event for event in self.plot.events if event.after_s <= elapsed_s)

    @property
    def planned(self) -> Truth:
        """How the story ends, told or not."""
        return headline(self.plot.events)

    @property
    def sent(self) -> Truth | None:
        """What the callbacks posted so far say, answered or not; None before the first."""
        return self._told(list(self.attempts))

    @property
    def acknowledged(self) -> Truth | None:
        """What the callbacks answered with 2xx so far say; None before the first."""
        return self._told([n for n, tries in self.attempts.items() if any(a.acknowledged for a in tries)])

    def _told(self, events: Sequence[int]) -> Truth | None:
        return headline(self.plot.events[n] for n in sorted(events)) if events else None


@dataclass(frozen=True, kw_only=True)
class RefusedCall:
    """A POST /sms turned down. `phone` and `webhook_url` are as given, when they were texts at all."""

    at: datetime
    why: str
    http_status: int
    phone: str | None
    webhook_url: str | None
    digest: str | None


class Ledger:
    """All calls of one run, safe to write and read from any thread."""

    def __init__(self, credit_iqd: int) -> None:
        self._lock = threading.Lock()
        self._balance_iqd = credit_iqd
        self._entries: dict[str, Entry] = {}
        self._refused: list[RefusedCall] = []
        self._sends_by_phone: Counter[str] = Counter()

    @property
    def balance_iqd(self) -> int:
        with self._lock:
            return self._balance_iqd

    @property
    def sends(self) -> list[Entry]:
        """The accepted sends, oldest first."""
        with self._lock:
            return list(self._entries.values())

    @property
    def refused(self) -> list[RefusedCall]:
        with self._lock:
            return list(self._refused)

    def find(self, sms_id: str) -> Entry | None:
        with self._lock:
            return self._entries.get(sms_id)

    def count(self, phone: str) -> int:
        """Note one more call for this number and return how many that makes."""
        with self._lock:
            self._sends_by_phone[phone] += 1
            return self._sends_by_phone[phone]

    def accept(self, send: Send, plot: Plot, callbacks: tuple[Callback, ...], cost_iqd: int) -> Entry | None:
        """Charge the send and write it down; None when the balance does not cover it."""
        with self._lock:
            if cost_iqd > self._balance_iqd:
                return None
            self._balance_iqd -= cost_iqd
            entry = Entry(
                sms_id=f"sms-{secrets.token_hex(12)}",
                send=send,
                plot=plot,
                callbacks=callbacks,
                cost_iqd=cost_iqd,
                balance_after_iqd=self._balance_iqd,
                at=datetime.now(UTC),
                accepted_s=time.monotonic(),
            )
            self._entries[entry.sms_id] = entry
            return entry

    def refuse(
        self, why: str, http_status: int, *, phone: str | None, webhook_url: str | None, digest: str | None
    ) -> None:
        call = RefusedCall(
            at=datetime.now(UTC), why=why, http_status=http_status, phone=phone, webhook_url=webhook_url, digest=digest
        )
        with self._lock:
            self._refused.append(call)

    def note(self, entry: Entry, event: int, attempt: Attempt) -> None:
        """Write down one try at the callback for one event."""
        with self._lock:
            entry.attempts.setdefault(event, []).append(attempt)

    def as_json(self, webhook_url: str | None = None) -> dict[str, Any]:
        """The whole ledger, or the part of one callback address."""
        with self._lock:
            entries = [e for e in self._entries.values() if webhook_url in (None, _url(e.send))]
            refused = [r for r in self._refused if webhook_url in (None, r.webhook_url)]
            return {
                "balance": self._balance_iqd,
                "sends": [_entry_json(entry) for entry in entries],
                "refused": [_refused_json(call) for call in refused],
            }


def _url(send: Send) -> str | None:
    return send.report.webhook_url if send.report else None


def _entry_json(entry: Entry) -> dict[str, Any]:
    return {
        **_send_json(entry.send),
        "at": entry.at.isoformat(),
        "smsId": entry.sms_id,
        "misbehaviour": entry.plot.misbehaviour,
        "charged": True,
        "cost": entry.cost_iqd,
        "balanceAfter": entry.balance_after_iqd,
        "planned": _truth_json(entry.planned),
        "sent": _truth_json(entry.sent),
        "acknowledged": _truth_json(entry.acknowledged),
        "callbacks": [_callback_json(entry, n) for n in dict.fromkeys(c.event for c in entry.callbacks)],
    }


def _send_json(send: Send) -> dict[str, Any]:
    return {
        "phone": send.phone,
        "smsType": send.sms_type,
        "provider": send.provider,
        "senderId": send.sender_id,
        "webhookUrl": _url(send),
        "deliveryReportType": send.report.report_type if send.report else None,
        "digest": send.digest,
    }


def _truth_json(truth: Truth | None) -> dict[str, Any] | None:
    return {"status": truth.status, "channel": truth.channel, "reason": truth.reason} if truth else None


def _callback_json(entry: Entry, number: int) -> dict[str, Any]:
    event = entry.plot.events[number]
    attempts = entry.attempts.get(number, [])
    return {
        "channel": event.channel,
        "status": event.status,
        "isFinal": event.is_final,
        "reason": event.reason,
        "timesPlanned": sum(callback.event == number for callback in entry.callbacks),
        "timesSent": len(attempts),
        "attempts": [{"at": a.at.isoformat(), "httpStatus": a.http_status, "error": a.error} for a in attempts],
    }


def _refused_json(call: RefusedCall) -> dict[str, Any]:
    return {
        "at": call.at.isoformat(),
        "why": call.why,
        "httpStatus": call.http_status,
        "charged": False,
        "phone": call.phone,
        "webhookUrl": call.webhook_url,
        "digest": call.digest,
    }
