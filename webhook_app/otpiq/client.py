"""The HTTP client: one call, one answer or one error that says whether anything left. It never repeats a call."""

import json
import re
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx
import structlog

from ..stamp import Stamp
from ..status import Fact
from .deadline import DeadlineTransport
from .document import Unreadable, read_object
from .errors import NotSent, OtpiqError, OutcomeUnknown, UnknownMessage, classify
from .reports import amount, clean_sms_id, parse_tracking
from .requests import SendRequest

log = structlog.get_logger()

# Callers of ours give up after 10 s (the contract lists their time-outs): they must hear our answer before that.
DEADLINE_S = 9.0
_CONNECT_S = 4.0
_ASK_S = 3.0  # for a GET: a page or a send waits for it
_KEEP_ALIVE_S = 5.0  # short: a connection the other side has just closed turns a send into one in doubt
_MAX_ANSWER_BYTES = 64 * 1024
_PHONE = re.compile(r"[0-9]{10,15}")
_SALVAGE = re.compile(rb'"smsId"\s*:\s*"([A-Za-z0-9_-]{1,200})"')


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """OTPIQ took the message. `trace` is the answer as received, scrubbed."""

    sms_id: str
    cost_iqd: int | None
    balance_iqd: int | None
    payment_type: str
    trace: str

    def fact(self, at: datetime) -> Fact:
        return Fact(at=at, sms_id=self.sms_id, cost_iqd=self.cost_iqd, cost_from="answer")


@dataclass(frozen=True, kw_only=True)
class Tracking:
    facts: tuple[Fact, ...]
    phone: str | None
    trace: str


@dataclass(frozen=True, kw_only=True)
class Sender:
    """A sender id of the account; prices in IQD by our carrier names (zain, asiacell, korek, other)."""

    sender_id: str
    status: str
    price_by_carrier: Mapping[str, int]


class Otpiq:
    """Safe to share between threads: each gets its own httpx client, all share one SSL context (making one is slow)."""

    def __init__(self, base_url: str, api_key: str | None, *, deadline_s: float = DEADLINE_S) -> None:
        self._base_url = base_url
        self._api_key = api_key
        self._deadline_s = deadline_s
        self._ssl = ssl.create_default_context()
        self._local = threading.local()

    @property
    def has_key(self) -> bool:
        return self._api_key is not None

    def send(self, request: SendRequest, stamp: Stamp, deadline_s: float = DEADLINE_S) -> Accepted:
        """`POST /sms`, once. Raises NotSent, Refused (and its kinds) or OutcomeUnknown."""
        hidden = (*request.secrets(), stamp.secret, request.phone)
        status, raw = self._call(
            "POST", "/sms", request.to_wire(stamp), deadline_s=min(deadline_s, self._deadline_s), hidden=hidden
        )
        body, trace = _read(raw, hidden)
        if not 200 <= status < 300:
            raise _with_salvage(_error(status, body, trace, hidden), raw)
        sms_id = clean_sms_id(body.get("smsId"))
        if sms_id is None:
            raise _in_doubt("the answer has no smsId", status, trace, raw)
        return Accepted(
            sms_id=sms_id,
            cost_iqd=amount(body.get("cost")),
            balance_iqd=amount(body.get("remainingCredit")),
            payment_type="postpaid" if body.get("paymentType") == "postpaid" else "prepaid",
            trace=trace,
        )

    def track(self, sms_id: str, at: datetime, phone: str | None = None) -> Tracking:
        """`GET /sms/track/<smsId>`; `phone`, where known, is kept out of what is kept of the answer.

        Raises UnknownMessage and the other errors of a call.
        """
        hidden = (phone,) if phone else ()
        body, raw = self._get(f"/sms/track/{quote(sms_id, safe='')}", hidden)
        told_id = clean_sms_id(body.get("smsId"))
        if told_id != sms_id and (told_id or "status" not in body):
            # Not evidence for this one; taken in, it would settle a send in doubt and ring "sent twice".
            trace = _read(raw, hidden)[1]
            raise OutcomeUnknown("the answer is about no message, or another", http_status=200, trace=trace)
        told = body.get("phoneNumber")
        told = told if isinstance(told, str) and re.fullmatch(r"[0-9]{10,15}", told) else None
        trace = _read(raw, (*hidden, told) if told else hidden)[1]
        return Tracking(facts=parse_tracking(body, at), phone=told, trace=trace)

    def balance_iqd(self) -> int | None:
        """`GET /info`: the credit left."""
        return amount(self._get("/info")[0].get("credit"))

    def senders(self) -> tuple[Sender, ...]:
        """`GET /sender-ids`."""
        listed = self._get("/sender-ids")[0].get("data")
        return tuple(
            Sender(
                sender_id=entry["senderId"],
                status=str(entry.get("status", "")),
                price_by_carrier=_prices(entry.get("pricePerSms")),
            )
            for entry in (listed if isinstance(listed, list) else ())
            if isinstance(entry, dict) and isinstance(entry.get("senderId"), str)
        )

    def _get(self, path: str, hidden: tuple[str, ...] = ()) -> tuple[dict[str, Any], bytes]:
        status, raw = self._call("GET", path, deadline_s=min(_ASK_S, self._deadline_s), hidden=hidden)
        body, trace = _read(raw, hidden)
        if status == 200 and not body:
            raise OutcomeUnknown("the answer makes no sense", http_status=status, trace=trace)
        if status == 404:
            raise UnknownMessage("OTPIQ does not know this", http_status=status, trace=trace)
        if status != 200:
            raise _error(status, body, trace, hidden)
        return body, raw

    def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        deadline_s: float | None = None,
        hidden: tuple[str, ...] = (),
    ) -> tuple[int, bytes]:
        if self._api_key is None:
            raise NotSent("OTPIQ_API_KEY is not set")
        if deadline_s is not None and deadline_s <= 0:
            raise NotSent("no time was left for the call")
        received = bytearray()
        status: int | None = None
        deadline_s = deadline_s or self._deadline_s
        client, transport = self._client()
        transport.give_up_at_s = time.monotonic() + deadline_s
        timeout = httpx.Timeout(deadline_s, connect=min(_CONNECT_S, deadline_s))
        try:
            with client.stream(method, self._base_url + path, json=body, timeout=timeout) as response:
                status = response.status_code
                for chunk in response.iter_raw():
                    received += chunk
                    if len(received) > _MAX_ANSWER_BYTES:
                        raise httpx.ReadError("too long")
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
            log.warning("otpiq.not_reached", error=type(error).__name__)
            raise NotSent("OTPIQ could not be reached") from None
        except httpx.HTTPError as error:
            log.warning("otpiq.no_whole_answer", error=type(error).__name__)
            words = (
                "no whole answer came in time" if isinstance(error, httpx.TimeoutException) else "no whole answer came"
            )
            trace = _read(bytes(received), hidden)[1]
            raise _in_doubt(words, status, trace, bytes(received)) from None
        return status, bytes(received)

    def _client(self) -> tuple[httpx.Client, DeadlineTransport]:
        mine: tuple[httpx.Client, DeadlineTransport] | None = getattr(self._local, "mine", None)
        if mine is None:
            transport = DeadlineTransport(self._ssl, keep_alive_s=_KEEP_ALIVE_S)
            client = httpx.Client(
                transport=transport,
                headers={"Authorization": f"Bearer {self._api_key}", "Accept-Encoding": "identity"},
                follow_redirects=False,
                trust_env=False,
            )
            mine = self._local.mine = (client, transport)
        return mine


def _error(status: int, body: dict[str, Any], trace: str, hidden: tuple[str, ...]) -> OtpiqError:
    error = classify(status, body, trace)
    error.words, error.errors = _scrub(error.words, hidden), _scrub(error.errors, hidden)
    return error


def _in_doubt(words: str, status: int | None, trace: str, raw: bytes) -> OtpiqError:
    return _with_salvage(OutcomeUnknown(words, http_status=status, trace=trace), raw)


def _with_salvage(error: OtpiqError, raw: bytes) -> OtpiqError:
    """A cut answer may still name the smsId, by which the message can be asked for later."""
    found = _SALVAGE.search(raw) if isinstance(error, OutcomeUnknown) else None
    error.salvaged_sms_id = found[1].decode() if found else None
    return error


def _read(raw: bytes, hidden: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    """The answer's object ({} where it is none), and its text to keep, with what is hidden taken out."""
    try:
        body = read_object(raw)
    except Unreadable:
        return {}, _scrub(raw[:2000].decode(errors="replace"), hidden)
    return body, json.dumps(_scrub(body, hidden), ensure_ascii=False)


def _scrub(value: Any, hidden: tuple[str, ...]) -> Any:
    if isinstance(value, str):
        for secret in hidden:
            value = value.replace(secret, "•••")
            if _PHONE.fullmatch(secret):
                value = _other_spellings(secret).sub("•••", value)
        return value.encode(errors="replace").decode().replace("\0", "�")
    if isinstance(value, int | float) and not isinstance(value, bool) and str(value) in hidden:
        return "•••"
    if isinstance(value, dict):
        return {_scrub(name, hidden): _scrub(inner, hidden) for name, inner in value.items()}
    if isinstance(value, list):
        return [_scrub(inner, hidden) for inner in value]
    return value


def _other_spellings(phone: str) -> re.Pattern[str]:
    """The same number with a leading 0, a + or 00, and with any separators."""
    return re.compile(r"(?:[+(0-9][0-9\s().-]{0,8})?" + r"[\s().-]{0,2}".join(phone[-9:]))


def _prices(listed: object) -> dict[str, int]:
    names = {"korekTelecom": "korek", "asiaCell": "asiacell", "zainIraq": "zain", "others": "other"}
    prices = listed if isinstance(listed, dict) else {}
    return {ours: price for theirs, ours in names.items() if (price := amount(prices.get(theirs))) is not None}
