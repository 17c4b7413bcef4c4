"""Whether callbacks get here: one is posted to our own public address, the way OTPIQ posts them, and the first link of
the way that is broken is named.

It is no callback: the door knows a probe by how its body begins, and says what came instead of taking it in.
"""

import hashlib
import json
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from .marking import N_
from .otpiq.deadline import DeadlineTransport
from .stamp import Stamp

LINKS = ("name", "connection", "certificate", "path", "headers", "body", "time")  # in the order they are passed
BEGINNING = b'{"waslProbe":'
PATIENCE_S = 10.0  # OTPIQ's own: it expects an answer within that
_CLOCK_MAY_BE_OFF = timedelta(minutes=5)
_TEXT = "Ends in ÷, 中, 🙂 — and سلام"  # what a proxy that knows one alphabet would spoil
_MOST_READ = 64 * 1024
_MOST_TOLD = 200

# How each link can break: what that means, and what to do. `%(told)s` is what the other side said.
WORDS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("name", "unknown"): (
        N_("No DNS server knows this name."),
        N_("Look for a slip in WASL_PUBLIC_URL; a new name takes a while until it is known."),
    ),
    ("connection", "refused"): (
        N_("Nothing listens there."),
        N_("Is the proxy in front of Wasl running, is the port the right one, does a firewall close it?"),
    ),
    ("connection", "late"): (
        N_("Nobody answered when it was to be connected."),
        N_("Often a firewall drops what comes; or this network does not let its own machines call the public address."),
    ),
    ("certificate", "invalid"): (
        N_("The certificate is not trusted: %(told)s."),
        N_("Renew it, and let the server send the whole chain. OTPIQ does not call where it cannot trust."),
    ),
    ("certificate", "none"): (
        N_("No encrypted connection came about."),
        N_("Is it an https port at all? The certificate belongs into the proxy in front of Wasl."),
    ),
    ("path", "redirect"): (
        N_("It was sent on to %(told)s."),
        N_("OTPIQ does not follow. Set WASL_PUBLIC_URL to the address that answers by itself."),
    ),
    ("path", "status"): (
        N_("Something else answered, with HTTP %(told)s."),
        N_("The proxy must hand /callbacks/otpiq/ on to Wasl as it is, and ask nobody to sign in there."),
    ),
    ("path", "gateway"): (
        N_("The proxy answered, with HTTP %(told)s, and not Wasl behind it."),
        N_("Is Wasl running, and does the proxy look for it at the right port?"),
    ),
    ("path", "other"): (
        N_("Something else answered: it is no answer of Wasl's."),
        N_("The proxy must hand /callbacks/otpiq/ on to Wasl as it is, and ask nobody to sign in there."),
    ),
    ("path", "cut"): (
        N_("The connection was closed before an answer came."),
        N_("Does the proxy find Wasl running behind it?"),
    ),
    ("headers", "secret"): (
        N_("Wasl answered, but the secret did not arrive as it was sent."),
        N_(
            "The proxy must hand the header X-OTPIQ-Webhook-Secret on, and every process needs the same "
            "WASL_SECRET_KEYS. Or does the address lead to another Wasl?"
        ),
    ),
    ("body", "refused"): (
        N_("The body was refused with HTTP %(told)s."),
        N_("The proxy must let bodies of up to 64 KiB through."),
    ),
    ("body", "changed"): (
        N_("The body did not arrive byte for byte."),
        N_("Something on the way rewrites what it carries: it must leave /callbacks/otpiq/ alone."),
    ),
    ("time", "late"): (
        N_("No answer came within %(told)s s."),
        N_("OTPIQ waits no longer either. Look at the load, the disk and the store: wasl doctor."),
    ),
    ("time", "clock"): (
        N_("The clock here is %(told)s min off that of the server before us."),
        N_("Signatures hold for minutes only: let both set their clocks by NTP."),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Broken:
    """`link` is one of LINKS; `kind` says how it broke, `told` what the other side said of it."""

    link: str
    kind: str
    told: str = ""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What became of one; without `broken` it came back whole."""

    url: str
    broken: Broken | None
    took_s: float
    links: tuple[str, ...]  # of LINKS, those that this address has
    valid_until: datetime | None  # of the certificate, where it was seen


def probe(stamp: Stamp, *, context: ssl.SSLContext | None = None, patience_s: float = PATIENCE_S) -> Probe:
    """Post one to this address. Takes `patience_s` at the most, and however long the name takes to be found."""
    body = json.dumps({"waslProbe": secrets.token_hex(8), "text": _TEXT}, ensure_ascii=False, separators=(",", ":"))
    transport = DeadlineTransport(context or ssl.create_default_context(), keep_alive_s=0)
    started_s = time.monotonic()
    transport.give_up_at_s = started_s + patience_s
    begun: list[str] = []
    seen: dict[str, Any] = {}
    client = httpx.Client(transport=transport, timeout=patience_s, follow_redirects=False, trust_env=False)
    with client:
        try:
            broken = _look(client, stamp, body.encode(), begun.append, seen)
        except httpx.HTTPError as error:
            broken = _on_the_way(error, begun, patience_s)
        except (httpx.InvalidURL, UnicodeError):
            broken = Broken(link="name", kind="unknown")
    return Probe(
        url=stamp.url,
        broken=broken,
        took_s=time.monotonic() - started_s,
        links=tuple(link for link in LINKS if link != "certificate" or stamp.url.startswith("https:")),
        valid_until=seen.get("valid_until"),
    )


def in_english(done: Probe) -> str:
    """For the command line: the pages say the same in their reader's language."""
    if done.broken is None:
        return f"a callback gets there whole, in {done.took_s:.2f} s"
    meaning, advice = WORDS[done.broken.link, done.broken.kind]
    return f"a callback does not get there ({done.broken.link}): {meaning % {'told': done.broken.told}} {advice}"


def is_probe(raw: bytes) -> bool:
    return raw.startswith(BEGINNING)


def answer_to(raw: bytes) -> str:
    """What the door's verdict on a probe is: a digest of what came."""
    return f"probe {hashlib.sha256(raw).hexdigest()}"


def _look(
    client: httpx.Client, stamp: Stamp, body: bytes, begin: Callable[[str], None], seen: dict[str, Any]
) -> Broken | None:
    request = client.build_request(
        "POST",
        stamp.url,
        content=body,
        headers={"Content-Type": "application/json", "X-OTPIQ-Webhook-Secret": stamp.secret},
        extensions={"trace": lambda event, _info: begin(event)},
    )
    answer = client.send(request, stream=True)
    try:
        stream = answer.extensions.get("network_stream")
        seen["valid_until"] = _valid_until(stream.get_extra_info("ssl_object")) if stream is not None else None
        read = b"".join(_first(answer.iter_raw()))
        return _in_answer(answer, read, body)
    finally:
        answer.close()


def _first(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """As much of an answer as ours could be long."""
    left = _MOST_READ
    for chunk in chunks:
        yield chunk
        left -= len(chunk)
        if left < 0:
            return


def _valid_until(tls: ssl.SSLObject | None) -> datetime | None:
    ends = (tls.getpeercert() or {}).get("notAfter") if tls is not None else None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(ends)), UTC) if ends else None


def _on_the_way(error: httpx.HTTPError, begun: list[str], patience_s: float) -> Broken:
    """Where it got stuck, by what was begun last."""
    causes = list(_causes(error))
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        told = next((cause.verify_message for cause in causes if isinstance(cause, ssl.SSLCertVerificationError)), "")
        return Broken(link="certificate", kind="invalid" if told else "none", told=told)
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return Broken(link="name", kind="unknown")
    is_late = isinstance(error, httpx.TimeoutException)
    last = begun[-1] if begun else ""
    if "start_tls" in last:
        return Broken(link="certificate", kind="none")
    if not begun or "connect_tcp" in last:
        return Broken(link="connection", kind="late" if is_late else "refused")
    return Broken(link="time", kind="late", told=f"{patience_s:g}") if is_late else Broken(link="path", kind="cut")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _in_answer(answer: httpx.Response, read: bytes, body: bytes) -> Broken | None:
    try:
        told = json.loads(read)
    except (ValueError, RecursionError):
        told = None
    ours = told if isinstance(told, dict) else {}
    if answer.is_redirect:
        there = answer.headers.get("Location", "").partition("?")[0]  # a query may hold what nobody should read
        return Broken(link="path", kind="redirect", told=there[:_MOST_TOLD])
    if answer.status_code == 401 and ours.get("message") == "not authentic":
        return Broken(link="headers", kind="secret")
    if answer.status_code in (400, 413):
        return Broken(link="body", kind="refused", told=str(answer.status_code))
    if answer.status_code in (502, 503, 504) and not ours:
        return Broken(link="path", kind="gateway", told=str(answer.status_code))
    if answer.status_code != 200:
        return Broken(link="path", kind="status", told=str(answer.status_code))
    verdict = ours.get("verdict")
    if not isinstance(verdict, str):
        return Broken(link="path", kind="other")
    if verdict != answer_to(body):
        return Broken(link="body", kind="changed")
    return _clock(answer)


def _clock(answer: httpx.Response) -> Broken | None:
    """Whoever stands before us has a clock too: signatures hold for minutes only."""
    try:
        ahead = datetime.now(UTC) - parsedate_to_datetime(answer.headers.get("Date", ""))
    except (TypeError, ValueError):
        return None
    if abs(ahead) <= _CLOCK_MAY_BE_OFF:
        return None
    return Broken(link="time", kind="clock", told=f"{ahead.total_seconds() / 60:+.0f}")
