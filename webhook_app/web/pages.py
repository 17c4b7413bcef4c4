"""The pages: arguments in, one question to the rooms below, a template out. No rule and no arithmetic lives here."""

from types import SimpleNamespace
from uuid import UUID

from flask import Blueprint, abort, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from .. import figures, sending, sources, tracking
from ..figures import Filter
from ..naming import BadName
from ..otpiq import InvalidSend, OtpiqError
from ..otpiq.requests import SMS_TYPES
from ..phone import BadPhone, Carrier, mask, normalise
from ..sending import Asked
from ..status import CHANNELS, OUTCOMES, UNKNOWN_CHANNEL, Status
from . import forms
from .access import own_path
from .asking import choice, id_of, live, moment, page
from .context import now, wasl

blueprint = Blueprint("pages", __name__)
THEME_COOKIE = "wasl_theme"


@blueprint.get("/")
def overview() -> ResponseReturnValue:
    range_ = choice("range", figures.RANGES) or "today"
    shown = figures.overview(wasl().database, range_, wasl().settings.time_zone, now())
    steps = {
        "key": wasl().settings.otpiq_api_key is not None,
        "public_url": wasl().settings.is_https or wasl().settings.environment == "simulator",
        "sent": bool(shown.latest),
    }
    return live("overview", overview=shown, is_first_run=not shown.latest, steps=steps)


@blueprint.get("/messages")
def messages() -> ResponseReturnValue:
    filter_ = Filter(
        status=choice("status", tuple(Status)),
        outcome=choice("outcome", tuple(OUTCOMES)),
        carrier=choice("carrier", tuple(Carrier)),
        channel=choice("channel", (*CHANNELS, UNKNOWN_CHANNEL)),
        sms_type=choice("type", (*SMS_TYPES, "unknown")),
        source_id=id_of("source"),
        since=moment("from"),
        until=moment("to"),
    )
    database, zone = wasl().database, wasl().settings.time_zone
    return live(
        "messages",
        page=figures.page(database, filter_, zone, now(), before=id_of("before"), after=id_of("after")),
        tabs=figures.tabs(database, filter_, zone),
        filter=_as_typed(),
        sources=sources.named(database),
        query=None,
    )


@blueprint.post("/messages/search")
def search() -> ResponseReturnValue:
    """By POST, so that a phone number never stands in an address, a history or a proxy's log."""
    query, like = request.form.get("q", "").replace("\0", "").strip()[:200], id_of("like")
    if like is not None:  # the next page of a search by number: the number itself stays on the server
        repeatable = sending.find_repeatable(wasl().database, like)
        query = repeatable.phone if repeatable else ""
    if not query:
        return redirect(url_for("pages.messages"), 303)
    found = figures.search(wasl().database, query, now(), before=id_of("before"))
    number = _as_number(query)
    like = found.rows[0].id if number and found.rows else None
    shown = mask(number) if number else query
    return page("messages.html", page=found, query=shown, like=like, filter=_as_typed(), tabs=(), sources=())


@blueprint.get("/messages/<uuid:message_id>")
def message(message_id: UUID) -> ResponseReturnValue:
    detail = figures.find_detail(wasl().database, message_id, now())
    if detail is None:
        abort(404, _("There is no message with this id."))
    return live("message", detail=detail)


@blueprint.post("/messages/<uuid:message_id>/check")
def check(message_id: UUID) -> ResponseReturnValue:
    """Ask OTPIQ about this message now; 303 back to it."""
    try:
        changed = tracking.check(wasl().database, wasl().otpiq, message_id, now)
        flash(_("OTPIQ told something new.") if changed else _("OTPIQ knows nothing new."), "success")
    except LookupError:
        abort(404, _("There is no message with this id."))
    except tracking.NothingToAskBy:
        flash(_("OTPIQ gave no smsId for this message, so it cannot be asked about it."), "error")
    except OtpiqError:
        flash(_("OTPIQ gave no answer that helps; what it said stands in the timeline."), "error")
    return redirect(url_for("pages.message", message_id=message_id), 303)


@blueprint.get("/send")
def send() -> ResponseReturnValue:
    repeatable = _repeatable(request.args.get("again"))
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
        estimate_iqd=wasl().prices.estimate_iqd(asked_for.phone, asked_for.sender_id),
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
    return _send_page(form, refusal=forms.refusal(outcome)), 400


@blueprint.post("/send/look")
def look() -> str:
    """While someone types: the number as it was understood, and what the message would cost. Sends nothing."""
    form = forms.typed(request.form)
    phone = _as_number(form["phoneNumber"])
    return page("_send_look.html", to=phone, **_price_tag(phone, form["senderId"]))


@blueprint.route("/sources", methods=["GET", "POST"], endpoint="sources")
def source_list() -> ResponseReturnValue:
    """200 the list, 303 after making one, 400 with the form when the name will not do."""
    errors, form = {}, {"name": request.form.get("name", "")}
    if request.method == "POST":
        try:
            added = sources.add(wasl().database, form["name"], now())
            flash(_("Source %(name)s was made: put its URL and secret into the program.", name=added.name), "success")
            return redirect(url_for("pages.sources"), 303)
        except BadName as wrong:
            errors = {"name": [_(str(wrong))]}
    rows = figures.source_rows(wasl().database, wasl().stamper)
    unplaced = figures.unplaced(wasl().database)
    return page("sources.html", rows=rows, unplaced=unplaced, errors=errors, form=form), 400 if errors else 200


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
    return page(
        "send.html",
        form=form,
        errors=errors or {},
        refusal=refusal,
        senders=wasl().prices.senders(),
        again_to=mask(repeatable.phone) if repeatable else None,
        **_price_tag(repeatable.phone if repeatable else None, form.get("senderId")),
    )


def _price_tag(phone: str | None, sender_id: str | None) -> dict[str, int | None]:
    wasl().prices.senders()
    estimate_iqd = wasl().prices.estimate_iqd(phone, sender_id)
    balance_iqd = figures.latest_balance_iqd(wasl().database)
    after_iqd = None if balance_iqd is None or estimate_iqd is None else balance_iqd - estimate_iqd
    return {"estimate_iqd": estimate_iqd, "balance_after_iqd": after_iqd}


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


def _as_typed() -> SimpleNamespace:
    """The filter as it stands in the address, for links and chips."""
    names = {"sms_type": "type", "source_id": "source", "since": "from", "until": "to"}
    shown = ("status", "outcome", "carrier", "channel", "sms_type", "source_id", "since", "until")
    return SimpleNamespace(**{name: request.args.get(names.get(name, name)) or None for name in shown})
