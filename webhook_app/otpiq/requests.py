"""What may be asked of OTPIQ: `POST /sms`, checked whole before anything leaves."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ..marking import N_
from ..phone import BadPhone, normalise
from ..stamp import Stamp
from .document import is_clean_text, is_deep, is_writable

SMS_TYPES = ("verification", "custom", "whatsapp-template")
PROVIDERS = ("auto", "whatsapp-sms", "telegram-sms", "whatsapp-telegram-sms", "sms", "whatsapp", "telegram")
MAX_SENDER_ID = 11
MAX_CODE = 20
MAX_TEXT = 1600
MAX_NAME = 200
MAX_REFERENCE = 100
_TELLING = 4  # shorter parameters, such as "10", stand in many a name
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Problem(NamedTuple):
    """One broken rule, kept apart from its numbers so that a page can say it in the reader's language."""

    text: str
    values: Mapping[str, object] = {}

    def __str__(self) -> str:
        return self.text % self.values


class InvalidSend(ValueError):
    """All errors at once, by the field's name in the contract."""

    def __init__(self, errors: dict[str, list[Problem]]) -> None:
        super().__init__("invalid send request")
        self.errors = errors


@dataclass(frozen=True, kw_only=True)
class SendRequest:
    """A checked request. The code and the template's parameters live here for the length of the call, nowhere else."""

    phone: str
    sms_type: str
    provider: str
    sender_id: str | None
    custom_text: str | None
    whatsapp_account_id: str | None
    whatsapp_phone_id: str | None
    template_name: str | None
    reference: str | None
    verification_code: str | None = field(repr=False)
    template_parameters: Mapping[str, Any] | None = field(repr=False)
    anti_fraud: Mapping[str, Any] = field(default_factory=dict, repr=False)  # passed on under the caller's own key
    report_replaced: bool = False  # the caller named a deliveryReport of its own

    def to_wire(self, stamp: Stamp) -> dict[str, Any]:
        """The body of `POST /sms`: `trace()` with the secret parts put in."""
        return {
            **self.anti_fraud,
            **self.trace(stamp.url),
            **_given(
                phoneNumber=self.phone,
                verificationCode=self.verification_code,
                templateParameters=self.template_parameters,
            ),
            "deliveryReport": {
                "webhookUrl": stamp.url,
                "deliveryReportType": "all",
                "webhookSecret": stamp.secret,
            },
        }

    def trace(self, webhook_url: str) -> dict[str, Any]:
        """What may be kept of the request: no number, no code, no template parameters, no secret."""
        return {
            "smsType": self.sms_type,
            "provider": self.provider,
            **_given(
                senderId=self.sender_id,
                customMessage=self.custom_text,
                whatsappAccountId=self.whatsapp_account_id,
                whatsappPhoneId=self.whatsapp_phone_id,
                templateName=self.template_name,
            ),
            "deliveryReport": {"webhookUrl": webhook_url, "deliveryReportType": "all"},
        }

    def secrets(self) -> tuple[str, ...]:
        """What must not be kept of an answer that echoes it."""
        return tuple(filter(None, (self.verification_code, *_leaves(self.template_parameters or {}))))


def parse_send(body: Mapping[str, Any]) -> SendRequest:
    """Check OTPIQ's own body and our `reference`. Raises InvalidSend with every error; ignores unknown fields."""
    check = _Check(body)
    sms_type = check.one_of("smsType", SMS_TYPES, required=True)
    request = SendRequest(
        phone=check.phone("phoneNumber"),
        sms_type=sms_type or "",
        provider=check.one_of("provider", PROVIDERS) or "auto",
        sender_id=check.text("senderId", MAX_SENDER_ID, required=sms_type == "custom"),
        # Another type's fields are left out like unknown ones: a text beside a code would be kept with it.
        verification_code=check.text("verificationCode", MAX_CODE, of=sms_type == "verification"),
        custom_text=check.text("customMessage", MAX_TEXT, of=sms_type == "custom"),
        whatsapp_account_id=check.text("whatsappAccountId", MAX_NAME, required=sms_type == "whatsapp-template"),
        whatsapp_phone_id=check.text("whatsappPhoneId", MAX_NAME, required=sms_type == "whatsapp-template"),
        template_name=check.text("templateName", MAX_NAME, required=sms_type == "whatsapp-template"),
        template_parameters=check.parameters("templateParameters", of=sms_type == "whatsapp-template"),
        reference=check.text("reference", MAX_REFERENCE),
        anti_fraud=check.anti_fraud(),
        report_replaced=check.delivery_report("deliveryReport"),
    )
    check.holds_no_code(request)
    if check.errors:
        raise InvalidSend(check.errors)
    return request


def example(kept: Mapping[str, Any]) -> dict[str, Any]:
    """A body like the one that `trace` kept, to try by hand: what is never kept is named in its place."""
    unkept: dict[str, Any] = {"phoneNumber": "PHONE_NUMBER"}
    if kept.get("smsType") == "verification":
        unkept["verificationCode"] = "CODE"
    if kept.get("smsType") == "whatsapp-template":
        unkept["templateParameters"] = {"body": {"1": "TEXT"}}
    return {name: value for name, value in kept.items() if name != "deliveryReport"} | unkept


class _Check:
    """Reads fields one by one and gathers what is wrong with each."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.body = body
        self.errors: dict[str, list[Problem]] = {}

    def holds_no_code(self, request: SendRequest) -> None:
        """What is kept of a request must not repeat what is not."""
        kept = {
            "reference": request.reference,
            "templateName": request.template_name,
            "whatsappAccountId": request.whatsapp_account_id,
            "whatsappPhoneId": request.whatsapp_phone_id,
            "senderId": request.sender_id,
        }
        codes = [secret for secret in request.secrets() if len(secret) >= _TELLING]
        for name, value in kept.items():
            if value and any(code in value for code in codes):
                self._wrong(name, N_("must not repeat the code or a template parameter: those are never kept"))

    def text(self, name: str, limit: int, *, required: bool = False, of: bool | None = None) -> str | None:
        """`of`: whether the field belongs to this type of message: then it is required, else checked and left out."""
        value = self.body.get(name)
        if value is None or value == "":
            if required or of:
                self._wrong(name, N_("is required"))
            return None
        if not isinstance(value, str):
            self._wrong(name, N_("must be text in quotes"))
            return None
        if len(value) > limit:
            self._wrong(name, N_("must be at most %(limit)s characters, not %(given)s"), limit=limit, given=len(value))
        if not is_clean_text(value) or _CONTROL.search(value):
            self._wrong(name, N_("must not contain control characters"))
        if not value.strip():
            self._wrong(name, N_("must not be blank"))
        return None if of is False else value

    def one_of(self, name: str, allowed: tuple[str, ...], *, required: bool = False) -> str | None:
        value = self.body.get(name)
        if value in (None, "") and not required:
            return None
        if not isinstance(value, str) or value not in allowed:
            self._wrong(name, N_("must be one of %(allowed)s"), allowed=", ".join(allowed))
            return None
        return value

    def phone(self, name: str) -> str:
        value = self.body.get(name)
        if value in (None, ""):
            self._wrong(name, N_("is required"))
        elif not isinstance(value, str):
            self._wrong(name, N_("must be text in quotes"))
        else:
            try:
                return normalise(value)
            except BadPhone as error:
                self._wrong(name, str(error))
        return ""

    def parameters(self, name: str, *, of: bool) -> Mapping[str, Any] | None:
        value = self.body.get(name)
        if value is None:
            if of:
                self._wrong(name, N_("is required"))
            return None
        if not isinstance(value, dict):
            self._wrong(name, N_('must be an object such as {"body": {"1": "123456"}}'))
            return None
        if is_deep(value):
            self._wrong(name, N_("is nested too deeply"))
        elif not all(map(is_clean_text, (*_leaves(value), *_keys(value)))):
            self._wrong(name, N_("must not contain control characters"))
        elif not is_writable(value):
            self._wrong(name, N_("contains a number that is too large"))
        return value if of else None

    def anti_fraud(self) -> Mapping[str, Any]:
        """Tolerated under both names the field's clients use; anything but an object is ignored."""
        given = {key: self.body[key] for key in ("antiFraud", "anti_fraud") if isinstance(self.body.get(key), dict)}
        for name, value in given.items():
            # Found out now: once the row says "sending", a body that cannot be written would look like one that left.
            if not is_writable(value):
                self._wrong(name, N_("cannot be written as JSON"))
        return given

    def delivery_report(self, name: str) -> bool:
        """The caller's own report is checked, then replaced by our stamp."""
        value = self.body.get(name)
        if value is None:
            return False
        if not isinstance(value, dict):
            self._wrong(name, N_("must be an object"))
            return False
        report = _Check(value)
        url = report.text("webhookUrl", 2000, required=True)
        if url and not _is_https(url):
            report._wrong("webhookUrl", N_("must be an https address"))
        report.one_of("deliveryReportType", ("all", "final"))
        report.text("webhookSecret", 500)
        self.errors |= {f"{name}.{inner}": problems for inner, problems in report.errors.items()}
        return True

    def _wrong(self, name: str, text: str, **values: object) -> None:
        self.errors.setdefault(name, []).append(Problem(text, values))


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _leaves(value: object) -> tuple[str, ...]:
    if isinstance(value, Mapping):
        return tuple(leaf for inner in value.values() for leaf in _leaves(inner))
    if isinstance(value, list):
        return tuple(leaf for inner in value for leaf in _leaves(inner))
    return () if value is None or isinstance(value, bool) else (str(value),)


def _keys(value: object) -> tuple[str, ...]:
    if isinstance(value, Mapping):
        return tuple(key for name, inner in value.items() for key in (str(name), *_keys(inner)))
    if isinstance(value, list):
        return tuple(key for inner in value for key in _keys(inner))
    return ()


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname)
