"""What POST /sms accepts: as strict as the contract, so that what passes here passes at the provider.

No text here repeats a value it was sent, except a sender name: a code must not reach a log through an error.
"""

import hashlib
import ipaddress
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from webhook_app.simulator.account import MAX_SENDER_LENGTH, SENDER_STATUSES
from webhook_app.simulator.plots import ROUTES

_KEY = re.compile(r"Bearer sk_(live|dev)_\S+")
_PHONE = re.compile(r"[0-9]{10,15}")
_HEADER_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")
_MAX_CODE_LENGTH = 20
_WHATSAPP_FIELDS = ("whatsappAccountId", "whatsappPhoneId", "templateName")
_NEVER_KEPT = ("verificationCode", "templateParameters")


class Refused(Exception):
    """A call that is turned down; `why` is for the ledger, the rest is the answer."""

    def __init__(self, why: str, http_status: int, body: dict[str, Any], location: str | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.http_status = http_status
        self.body = body
        self.location = location


@dataclass(frozen=True, kw_only=True)
class Report:
    """The deliveryReport of one send. The secret is kept only to be echoed, and shown nowhere."""

    webhook_url: str
    report_type: str
    secret: str | None = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Send:
    """One valid send without its content: the code, the text and the parameters end where this begins."""

    phone: str
    sms_type: str
    provider: str
    sender_id: str | None
    report: Report | None
    digest: str


def check_key(authorization: str | None) -> None:
    """Raise Refused unless the header carries a key of the provider's shape."""
    if not _KEY.fullmatch(authorization or ""):
        raise Refused("bad key", 401, {"message": "Invalid or missing API key"})


def check_send(body: object) -> Send:
    """Turn the JSON of POST /sms into a Send. Raises Refused naming the first rule it breaks."""
    if not isinstance(body, dict):
        raise invalid("The body must be a JSON object")
    phone = body.get("phoneNumber")
    if not isinstance(phone, str) or not _PHONE.fullmatch(phone):
        raise invalid("phoneNumber must be 10 to 15 digits, country code first, without +")
    sms_type = body.get("smsType")
    if sms_type not in ("verification", "custom", "whatsapp-template"):
        raise invalid("smsType must be one of: verification, custom, whatsapp-template")
    provider = body.get("provider", "auto")
    if not isinstance(provider, str) or provider not in ROUTES:
        raise invalid(f"provider must be one of: {', '.join(ROUTES)}")
    _check_content(body, str(sms_type))
    return Send(
        phone=phone,
        sms_type=str(sms_type),
        provider=provider,
        sender_id=_checked_sender(body.get("senderId"), required=sms_type == "custom"),
        report=_checked_report(body.get("deliveryReport")),
        digest=digest_of(body),
    )


def invalid(text: str) -> Refused:
    """The provider's plain validation error."""
    return Refused(text, 400, {"error": text})


def digest_of(body: dict[str, Any]) -> str:
    """A fingerprint of a request, by which repeats can be told; codes, parameters and the secret are no part of it."""
    kept = {name: value for name, value in body.items() if name not in _NEVER_KEPT}
    if isinstance(kept.get("deliveryReport"), dict):
        kept["deliveryReport"] = {k: v for k, v in kept["deliveryReport"].items() if k != "webhookSecret"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def _check_content(body: dict[str, Any], sms_type: str) -> None:
    for name in _WHATSAPP_FIELDS:
        if name in body and not _is_text(body[name]):
            raise invalid(f"{name} must be a non-empty string")
    if sms_type == "verification":
        code = body.get("verificationCode")
        if not _is_text(code) or len(str(code)) > _MAX_CODE_LENGTH:
            raise invalid("verificationCode is required: 1 to 20 characters")
    elif sms_type == "custom":
        if not _is_text(body.get("customMessage")):
            raise invalid("customMessage is required for custom messages")
    else:
        missing = [name for name in _WHATSAPP_FIELDS if name not in body]
        if missing:
            raise invalid(f"{', '.join(missing)} required for whatsapp-template messages")
        if not isinstance(body.get("templateParameters"), dict):
            raise invalid("templateParameters must be an object")


def _checked_sender(sender_id: object, *, required: bool) -> str | None:
    if sender_id is None and not required:
        return None
    if not isinstance(sender_id, str) or not sender_id:
        raise invalid("senderId is required for custom messages")
    if len(sender_id) > MAX_SENDER_LENGTH:
        raise invalid(f"senderId must be at most {MAX_SENDER_LENGTH} characters")
    if SENDER_STATUSES.get(sender_id) != "accepted":
        text = f'SenderID "{sender_id}" is not approved for this account'
        raise Refused("sender not approved", 400, {"error": text})
    return sender_id


def _checked_report(report: object) -> Report | None:
    if report is None:
        return None
    if not isinstance(report, dict):
        raise invalid("deliveryReport must be an object")
    url, secret = report.get("webhookUrl"), report.get("webhookSecret")
    if not isinstance(url, str) or not _may_call(url):
        raise invalid("deliveryReport.webhookUrl must be an https address")
    report_type = report.get("deliveryReportType", "all")
    if report_type not in ("all", "final"):
        raise invalid("deliveryReport.deliveryReportType must be one of: all, final")
    if secret is not None and not (isinstance(secret, str) and _HEADER_VALUE.fullmatch(secret)):
        raise invalid("deliveryReport.webhookSecret must be a string that fits in a header")
    return Report(webhook_url=url, report_type=str(report_type), secret=secret)


def _may_call(url: str) -> bool:
    """https anywhere; plain http only on this machine, where the app under test listens without a certificate."""
    try:
        httpx.URL(url)  # what the postman will do with it: refuse now rather than fail then
        parts = urlsplit(url)
    except (ValueError, httpx.InvalidURL):
        return False
    if not parts.hostname:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""
