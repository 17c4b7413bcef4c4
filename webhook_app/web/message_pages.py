"""The pages of messages: the list and what it is narrowed to, a search, and one message. Their routes are `pages`'."""

from typing import Any
from uuid import UUID

from flask import abort, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from .. import figures, reveals, searches, sending, sources, tracking
from ..figures import Filter
from ..figures.rows import StatusCount
from ..otpiq import OtpiqError
from ..phone import mask
from .asking import id_of, live, page
from .context import now, wasl
from .filtering import as_asked, asked_filter
from .pages import blueprint as blueprint

_LONGEST_QUERY = 200


@blueprint.get("/messages")
def messages() -> ResponseReturnValue:
    """400 names the argument that makes no sense; 303 without the ones that a form left empty."""
    if "" in request.args.values():
        filled: dict[str, Any] = {**as_asked()}
        return redirect(url_for("pages.messages", **filled), 303)
    filter_ = asked_filter()
    database, zone = wasl().database, wasl().settings.time_zone
    tabs = figures.tabs(database, filter_, zone)
    senders, _check = wasl().prices.last_known()
    return live(
        "messages",
        page=figures.page(database, filter_, zone, now(), before=id_of("before"), after=id_of("after")),
        tabs=tabs,
        matching=next(tab for tab in tabs if tab.status == filter_.status),
        filter=as_asked(),
        senders=[sender.sender_id for sender in senders or ()],
        **chip_words(filter_),
    )


@blueprint.post("/messages/search")
def search() -> ResponseReturnValue:
    """303 to the results. By POST, and to an address that tells nothing, so that a phone number never stands in one, in
    a history or in a proxy's log: from here on it is known by a message that was sent to it. 200 for a number that
    none was sent to."""
    query = asked_search()
    if not query:
        return redirect(url_for("pages.messages"), 303)
    number = figures.understand(query).number
    if number is None:
        search_id = searches.keep(wasl().database, current_user.id, query, now())
        return redirect(url_for("pages.found", search_id=search_id), 303)
    like = figures.newest_to(wasl().database, number)
    return redirect(url_for("pages.messages", like=like), 303) if like else _results(query)


@blueprint.get("/messages/search")
def search_again() -> ResponseReturnValue:
    """303 to the list, where one can search: of a search that found nobody's number nothing is kept."""
    return redirect(url_for("pages.messages"), 303)


@blueprint.get("/messages/search/<uuid:search_id>")
def found(search_id: UUID) -> ResponseReturnValue:
    """404 for another's search, or one of a day ago."""
    query = searches.find(wasl().database, current_user.id, search_id, now())
    if query is None:
        abort(404, _("This search is not kept any more: search again."))
    return _results(query, search_id)


def _results(query: str, search_id: UUID | None = None) -> str:
    return page(
        "messages_found.html",
        page=figures.search(wasl().database, query, now(), before=id_of("before"), after=id_of("after")),
        search=figures.understand(query),
        search_id=search_id,
        query=query,
        matching=how_many(Filter(), query),
        filter={},
    )


def how_many(filter_: Filter, query: str) -> StatusCount:
    """Of a search where there is one, else under a filter; capped."""
    if query:
        return StatusCount(status=None, count=figures.search_count(wasl().database, query))
    return figures.matching(wasl().database, filter_, wasl().settings.time_zone)


def chip_words(filter_: Filter) -> dict[str, Any]:
    """What a filter's chips need besides its arguments: the sources' names, and the masked number it is like."""
    repeatable = sending.find_repeatable(wasl().database, filter_.like) if filter_.like else None
    return {"sources": sources.named(wasl().database), "number": mask(repeatable.phone if repeatable else None)}


def asked_search() -> str:
    """What was typed; "" where nothing was asked for."""
    return request.form.get("q", "").replace("\0", "").strip()[:_LONGEST_QUERY]


@blueprint.route("/messages/<uuid:message_id>", methods=["GET", "POST"])
def message(message_id: UUID) -> ResponseReturnValue:
    """POST with a reason shows the whole number in this one answer; 400 with the form when the reason will not do."""
    number, errors = None, {}
    why = request.form.get("why", "")
    if request.method == "POST":
        try:
            number = reveals.reveal(wasl().database, message_id, current_user.name, why, now())
        except reveals.NoReason as wrong:
            errors = {"why": [_(str(wrong))]}
        except LookupError:
            abort(404, _("There is no message with this id, or it has no number."))
    detail = figures.find_detail(wasl().database, message_id, now())
    if detail is None:
        abort(404, _("There is no message with this id."))
    answer = live("message", detail=detail, number=number, errors=errors, why=why)
    if errors:
        answer.status_code = 400
    return answer


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
