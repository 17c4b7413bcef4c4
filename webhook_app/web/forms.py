"""The Send page's form: what was typed, turned into OTPIQ's own body, checked by the same rules as the API."""

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _
from werkzeug.datastructures import MultiDict

from ..marking import N_
from ..otpiq import InvalidSend, Problem, Sender, SendRequest, parse_send
from ..sending import Outcome, Repeatable
from ..status import Status

_FIELDS = {
    "verification": (
        "verificationCode",
        "provider",
        "senderId",
        "whatsappAccountId",
        "whatsappPhoneId",
        "templateName",
    ),
    "custom": ("customMessage", "senderId"),
    "whatsapp-template": ("templateName", "whatsappAccountId", "whatsappPhoneId", "templateParameters", "senderId"),
}
_TYPED = (
    "smsType", "phoneNumber", "verificationCode", "customMessage", "senderId", "provider", "whatsappAccountId",
    "whatsappPhoneId", "templateName", "templateParameters", "reference", "again",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why nothing went out, in a person's words, with the provider's own beside."""

    title: str
    advice: str
    provider_words: str
    errors: dict[str, list[str]]  # the provider's, of fields that are not there to be marked
    wait_minutes: int | None


def blank(sms_type: str | None, repeatable: Repeatable | None) -> dict[str, str]:
    """A fresh form; for "send again" filled like the first message, its number staying on the server."""
    form = {"smsType": sms_type or "verification", "once": secrets.token_urlsafe(16)}
    if repeatable is not None:
        form |= {**repeatable.fields, "reference": repeatable.reference or "", "again": str(repeatable.message_id)}
    return form


def typed(form: MultiDict[str, str]) -> dict[str, str]:
    """What came from the browser, as text, with a new once-token for the next try."""
    return {name: form.get(name, "") for name in _TYPED} | {"once": secrets.token_urlsafe(16)}


def with_sender(form: dict[str, str], senders: Iterable[Sender]) -> dict[str, str]:
    """An own text never goes out under OTPIQ's own sender: the first approved one is chosen until another is."""
    if form["smsType"] != "custom" or form.get("senderId"):
        return form
    approved = (sender.sender_id for sender in senders if sender.status == "accepted")
    return form | {"senderId": next(approved, "")}


def read(form: dict[str, str], repeatable: Repeatable | None) -> SendRequest:
    """Check the form. Only the chosen type's fields count. Raises InvalidSend, with texts in the reader's language."""
    sms_type = form["smsType"]
    names = ("smsType", "phoneNumber", "reference", *_FIELDS.get(sms_type, ()))
    body: dict[str, Any] = {name: form[name].replace("\r\n", "\n") for name in names if form[name]}
    if repeatable is not None and not form["phoneNumber"].strip():
        body["phoneNumber"] = repeatable.phone
    unfit = {}
    if "templateParameters" in body:
        try:
            body["templateParameters"] = _slots(body["templateParameters"].strip())
        except (ValueError, RecursionError):
            del body["templateParameters"]
            unfit["templateParameters"] = [Problem(N_('must be JSON such as {"body": {"1": "123456"}}'))]
    if sms_type == "custom" and not form["senderId"].strip():
        unfit["senderId"] = [Problem(N_("Choose a sender"))]
    try:
        request = parse_send(body)
    except InvalidSend as invalid:
        raise InvalidSend(invalid.errors | unfit) from None
    if unfit:
        raise InvalidSend(unfit)
    return request


def _slots(typed: str) -> Any:
    """A value a line for the slots of the body; or all of it, as OTPIQ wants it. Raises ValueError for no JSON."""
    if typed.startswith(("{", "[")):
        return json.loads(typed)
    return {"body": {str(place): value.strip() for place, value in enumerate(typed.split("\n"), start=1)}}


def words(errors: dict[str, list[Problem]]) -> dict[str, list[str]]:
    return {field: [_(problem.text, **problem.values) for problem in problems] for field, problems in errors.items()}


def at_fields(form: dict[str, str], errors: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Those of the provider's `errors` that name a field which is there to be seen."""
    shown = ("smsType", "phoneNumber", "reference", *_FIELDS.get(form["smsType"], ()))
    said = {field: " ".join(texts) for field, texts in errors.items() if field in shown}
    return {field: [_("OTPIQ's words: “%(words)s”", words=words)] for field, words in said.items()}


def refusal(form: dict[str, str], outcome: Outcome) -> Refusal:
    title, advice = _refusal_words(outcome)
    marked = at_fields(form, outcome.errors)
    return Refusal(
        title=title,
        advice=advice,
        provider_words=outcome.words if outcome.state != Status.UNSENT else "",
        errors={field: list(texts) for field, texts in outcome.errors.items() if field not in marked},
        wait_minutes=outcome.wait_minutes,
    )


def _refusal_words(outcome: Outcome) -> tuple[str, str]:
    nothing_charged = _("Nothing was sent and nothing charged.")
    by_kind = {
        "credit": (
            _("The balance does not cover this message."),
            _("It needs %(needed)s IQD and the account holds %(held)s. Top it up at OTPIQ, then send again.",
              needed=_amount(outcome, "requiredCredit"), held=_amount(outcome, "yourCredit")),
        ),
        "threshold": (
            _("The project's spending limit would be passed."),
            _("%(spent)s of %(limit)s IQD are spent. Raise the limit at OTPIQ, or wait for the next period.",
              spent=_amount(outcome, "currentSpending"), limit=_amount(outcome, "spendingThreshold")),
        ),
        "trial": (
            _("The account is in trial mode."),
            _("It reaches only its owner's own number until it is upgraded at OTPIQ."),
        ),
        "sender": (_("This sender is not approved."), _("Choose an approved one, or leave OTPIQ's own.")),
        "phone": (_("OTPIQ does not take this number."), _("Check its digits and country code.")),
        "invalid": (
            _("OTPIQ found a mistake in the request."),
            _("See what it says of each field.") if outcome.errors else nothing_charged,
        ),
        "key": (_("OTPIQ refuses the key that Wasl uses."), _("Set a valid OTPIQ_API_KEY and start again.")),
        "rate": (_("Too many messages in a short time."), nothing_charged),
        "not_sent": (_("OTPIQ could not be reached: not sent."), _("It is safe to send again.")),
        "budget_day": (_("Not sent: today's budget is spent."), _("Raise it on Settings, or wait until tomorrow.")),
        "budget_month": (_("Not sent: this month's budget is spent."), _("Raise it on Settings, or wait a while.")),
    }  # fmt: skip
    return by_kind.get(outcome.kind or "", (_("OTPIQ refused the message."), nothing_charged))


def _amount(outcome: Outcome, name: str) -> str:
    known = outcome.numbers.get(name)
    return f"{known:,}" if known is not None else "?"
