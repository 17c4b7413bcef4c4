"""The pages: arguments in, one question to the rooms below, a template out. No rule and no arithmetic lives here."""

from typing import Any
from uuid import UUID

from flask import Blueprint, abort, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from .. import budgets, figures, pricing, sending
from ..otpiq import InvalidSend
from ..otpiq.requests import SMS_TYPES
from ..phone import BadPhone, mask, normalise
from ..sending import Asked
from ..status import Status
from . import forms, ranges
from .access import own_path
from .asking import choice, live, page
from .context import now, wasl

blueprint = Blueprint("pages", __name__)
THEME_COOKIE = "wasl_theme"


@blueprint.get("/")
def overview() -> ResponseReturnValue:
    """400 with the form, what was typed in it and today's figures when a range of one's own will not do."""
    asked = ranges.asked()
    shown = figures.overview(wasl().database, asked.range)
    if shown.is_empty:
        wasl().prices.refresh_aside()  # so that the step "the key works" ticks itself
    answer = live(
        "overview",
        overview=shown,
        asked=asked,
        has_public_url=wasl().settings.can_be_called,
        stopped=_stopped(),
    )
    if asked.error and answer.status_code == 200:
        answer.status_code = 400
    return answer


@blueprint.get("/send")
def send() -> ResponseReturnValue:
    """404 for `again` of a message that is not there, or has no number."""
    again = request.args.get("again")
    repeatable = _repeatable(again)
    if again and repeatable is None:
        abort(404, _("There is no message with this id, or it has no number."))
    return _send_page(forms.blank(choice("type", SMS_TYPES), repeatable))


@blueprint.post("/send")
def send_now() -> ResponseReturnValue:
    """303 to the message's live page; 400 with the form when something is wrong or OTPIQ refused."""
    form = forms.typed(request.form)
    repeatable = _repeatable(form["again"])
    try:
        asked_for = forms.read(form, repeatable)
    except InvalidSend as invalid:
        return _send_page(form, errors=forms.words(invalid.errors)), 400
    wasl().prices.refresh_aside()
    asked = Asked(
        by=f"user:{current_user.name}",
        once_key=request.form.get("once", "").replace("\0", "")[:100] or None,
        body=repr(sorted(request.form.items(multi=True))).encode(errors="replace"),
        again_of=repeatable.message_id if repeatable else None,
        estimate_iqd=wasl().prices.estimate_iqd(asked_for),
        zone=wasl().settings.time_zone,
    )
    try:
        outcome = sending.send(wasl().database, wasl().otpiq, wasl().stamper, asked_for, asked, now)
    except sending.StillRunning as running:  # a double click: the first one is on its way
        return redirect(url_for("pages.message", message_id=running.message_id), 303)
    except sending.KeyReused:
        flash(_("This form was sent before with other contents. Look at it once more, then send it."), "error")
        return _send_page(form), 400
    if outcome.state in (Status.ACCEPTED, Status.UNCONFIRMED):
        return redirect(url_for("pages.message", message_id=outcome.message_id), 303)
    marked = forms.at_fields(form, outcome.errors)
    return _send_page(form, errors=marked, refusal=forms.refusal(form, outcome)), 400


def send_anew() -> ResponseReturnValue:
    """400 with the form as it was typed, where nobody knows whether this person sent it: they look, and send it."""
    flash(_("This form is from another sign-in. Look at it once more, then send it."), "error")
    return _send_page(forms.typed(request.form)), 400


@blueprint.post("/send/look")
def look() -> str:
    """While someone types: the number as it was understood, and what the message would cost. Sends nothing."""
    form = forms.typed(request.form)
    phone = _as_number(form["phoneNumber"])
    return page("_send_look.html", form=form, to=phone, **_price_tag(phone, form))


@blueprint.post("/theme")
def theme() -> ResponseReturnValue:
    """303 back; light, dark, or as the device does."""
    answer = redirect(own_path(request.form.get("next")), 303)
    chosen = request.form.get("theme")
    if chosen in ("light", "dark"):
        answer.set_cookie(
            THEME_COOKIE, chosen, max_age=365 * 86400, httponly=True, samesite="Lax", secure=wasl().settings.is_https
        )
    else:
        answer.delete_cookie(THEME_COOKIE)
    return answer


def _send_page(
    form: dict[str, str], errors: dict[str, list[str]] | None = None, refusal: forms.Refusal | None = None
) -> str:
    repeatable = _repeatable(form.get("again"))
    senders = wasl().prices.senders()
    form = forms.with_sender(form, senders or ())
    return page(
        "send.html",
        form=form,
        errors=errors or {},
        refusal=refusal,
        senders=senders,
        again_to=mask(repeatable.phone) if repeatable else None,
        went_out=repeatable is None or repeatable.went_out,
        stopped=_stopped(),
        **_price_tag(repeatable.phone if repeatable else None, form),
    )


def _stopped() -> budgets.Spent | None:
    """The budget that stops sending now, if one does."""
    held = budgets.current(wasl().database)
    return budgets.stopping(wasl().database, held, wasl().settings.time_zone, now())


def _price_tag(phone: str | None, form: dict[str, str]) -> dict[str, Any]:
    """What it costs by each channel, about, and what is left then."""
    wasl().prices.senders()
    by_channel = wasl().prices.by_channel(phone, form.get("senderId"))
    sms_type, provider = form["smsType"], form.get("provider") or "auto"
    text = form.get("customMessage") if sms_type == "custom" else None
    estimate_iqd = pricing.estimate_iqd(by_channel, sms_type, provider, text)
    balance_iqd = figures.latest_balance_iqd(wasl().database)
    after_iqd = None if balance_iqd is None or estimate_iqd is None else balance_iqd - estimate_iqd
    return {"by_channel": by_channel, "estimate_iqd": estimate_iqd, "balance_after_iqd": after_iqd}


def _repeatable(message_id: str | None) -> sending.Repeatable | None:
    try:
        return sending.find_repeatable(wasl().database, UUID(message_id)) if message_id else None
    except ValueError:
        abort(400, _("again: must be the id of a message"))


def _as_number(query: str) -> str | None:
    try:
        return normalise(query)
    except BadPhone:
        return None
