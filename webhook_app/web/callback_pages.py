"""The Callbacks pages, for developers: what came in and what became of it, what was refused and why, and replaying."""

from uuid import UUID

from flask import Blueprint, abort, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from .. import figures, replaying
from .access import own_path
from .asking import choice, id_of, live, page
from .context import now, wasl

blueprint = Blueprint("callback_pages", __name__)
_UNPLACED = ("quarantined", "orphan")
_REPLAYED_AT_ONCE = 1_000


@blueprint.get("/callbacks")
def callbacks() -> ResponseReturnValue:
    verdict = choice("verdict", figures.VERDICTS)
    database = wasl().database
    return live(
        "callbacks",
        minutes=figures.intake_minutes(database, now()),
        unplaced=figures.unplaced(database),
        page=figures.callback_page(database, verdict, before=id_of("before"), after=id_of("after")),
        verdict=verdict,
    )


@blueprint.get("/callbacks/refused")
def refused() -> ResponseReturnValue:
    database = wasl().database
    return live(
        "callbacks_refused",
        minutes=figures.intake_minutes(database, now()),
        causes=figures.refused_causes(database, now()),
    )


@blueprint.get("/callbacks/<uuid:callback_id>")
def callback(callback_id: UUID) -> ResponseReturnValue:
    detail = figures.find_callback(wasl().database, callback_id)
    if detail is None:
        abort(404, _("There is no callback with this id."))
    return page("callbacks_one.html", detail=detail)


@blueprint.post("/callbacks/<uuid:callback_id>/replay")
def replay(callback_id: UUID) -> ResponseReturnValue:
    """Put one through today's code again; 303 back to it, or to the page of ours that asked."""
    done = replaying.replay(wasl().database, callback_ids=[callback_id])
    if not done.looked_at:
        abort(404, _("There is no callback with this id."))
    if done.messages:
        words = _("It told its message something new.")
    elif done.moved:
        words = _("It leads to something now, yet it told nothing new.")
    else:
        words = _("Nothing changed.")
    flash(words, "success")
    own = url_for("callback_pages.callback", callback_id=callback_id)
    return redirect(own_path(request.form.get("next") or own), 303)


@blueprint.post("/callbacks/replay")
def replay_all() -> ResponseReturnValue:
    """The newest quarantined ones or orphans, as many as take no more than seconds; 303 back to them."""
    verdict = request.form.get("verdict", "")
    if verdict not in _UNPLACED:
        abort(400, _("%(name)s: must be one of %(allowed)s", name="verdict", allowed=", ".join(_UNPLACED)))
    newest = figures.newest_callbacks(wasl().database, verdict, _REPLAYED_AT_ONCE)
    done = replaying.replay(wasl().database, verdicts=[verdict], callback_ids=newest)
    known = {"moved": f"{sum(done.moved.values()):,}", "looked_at": f"{done.looked_at:,}"}
    words = _("%(moved)s of %(looked_at)s lead to something now.", **known) if done.moved else _("Nothing changed.")
    flash(words, "success")
    if done.looked_at == _REPLAYED_AT_ONCE:
        more = _("Only the newest %(looked_at)s were replayed; the command wasl replay takes them all.", **known)
        flash(more, "info")
    return redirect(url_for("callback_pages.callbacks", verdict=verdict), 303)
