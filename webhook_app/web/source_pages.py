"""The Sources pages, for developers: programs that send by themselves and let their callbacks come here; and the
self-test, which tries the way that callbacks take.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from flask import Blueprint, abort, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import ngettext

from .. import figures, probing, replaying, sources
from ..ids import new_id
from ..naming import BadName
from ..sources import AddressRule
from .asking import id_of, page
from .context import now, wasl

blueprint = Blueprint("source_pages", __name__)
_TAKEN_IN_AT_ONCE = 1_000


@blueprint.route("/sources", methods=["GET", "POST"], endpoint="sources")
def source_list() -> ResponseReturnValue:
    """200 the list, 303 after making one, 400 with the form when the name will not do."""
    errors, form = {}, {"name": request.form.get("name", "")}
    if request.method == "POST":
        try:
            added = sources.add(wasl().database, form["name"], now())
            flash(_("Source %(name)s was made: put its URL and secret into the program.", name=added.name), "success")
            return _back(added.id)
        except BadName as wrong:
            errors = {"name": [_(str(wrong))]}
    rows = figures.source_rows(wasl().database, wasl().stamper)
    unplaced = figures.unplaced(wasl().database)
    return page("sources.html", rows=rows, unplaced=unplaced, errors=errors, form=form), 400 if errors else 200


@blueprint.post("/sources/<uuid:source_id>/rotate")
def rotate(source_id: UUID) -> ResponseReturnValue:
    """303 back to the source, with a new address or with why not."""
    with _rules_told():
        sources.rotate(wasl().database, source_id, now())
        flash(_("Put the new URL and secret into the program. Until you retire the old ones, both work."), "success")
    return _back(source_id)


@blueprint.post("/sources/<uuid:source_id>/addresses/<uuid:address_id>/retire")
def retire(source_id: UUID, address_id: UUID) -> ResponseReturnValue:
    """303 back to the source, without that address or with why not."""
    with _rules_told():
        sources.retire(wasl().database, source_id, address_id, now())
        flash(_("The old address is retired: what still comes there is kept, and changes nothing."), "success")
    return _back(source_id)


@blueprint.post("/sources/<uuid:source_id>/addresses/<uuid:address_id>/restore")
def restore(source_id: UUID, address_id: UUID) -> ResponseReturnValue:
    """303 back to the source, with that address in use again and what came meanwhile taken in, or with why not."""
    with _rules_told():
        sources.restore(wasl().database, source_id, address_id)
        flash(_("The address is in use again."), "success")
    _take_in(source_id)
    return _back(source_id)


@blueprint.post("/sources/<uuid:source_id>/pause")
def pause(source_id: UUID) -> ResponseReturnValue:
    """303 back to the source."""
    with _rules_told():
        sources.pause(wasl().database, source_id, now())
    return _back(source_id)


@blueprint.post("/sources/<uuid:source_id>/resume")
def resume(source_id: UUID) -> ResponseReturnValue:
    """303 back to the source; what came while it was paused is taken in, as much as takes no more than seconds."""
    with _rules_told():
        sources.resume(wasl().database, source_id)
    _take_in(source_id)
    return _back(source_id)


@blueprint.route("/callbacks/self-test", methods=["GET", "POST"])
def self_test() -> ResponseReturnValue:
    """200 what can be tried; after a POST also what came of it. 400 when there is no such address."""
    rows = figures.source_rows(wasl().database, wasl().stamper)
    address_id = id_of("address")
    if address_id and not any(address_id == address.id for row in rows for address in row.addresses):
        abort(400, _("address: is none of a source's"))
    stamp = wasl().stamper.issue(address_id or new_id(now()))
    probe = probing.probe(stamp) if request.method == "POST" else None
    has_public_url = wasl().settings.can_be_called
    return page("self_test.html", rows=rows, address_id=address_id, probe=probe, has_public_url=has_public_url)


def _take_in(source_id: UUID) -> None:
    """What was held and need not be any more."""
    held = figures.held_callbacks(wasl().database, source_id, _TAKEN_IN_AT_ONCE)
    moved = sum(replaying.replay(wasl().database, callback_ids=held).moved.values()) if held else 0
    if moved:
        text = ngettext("%(n)s callback was taken in.", "%(n)s callbacks were taken in.", moved, n=f"{moved:,}")
        flash(text, "success")


@contextmanager
def _rules_told() -> Iterator[None]:
    """A rule that stands against it is said on the page; 404 where there is nothing of this id."""
    try:
        yield
    except AddressRule as rule:
        flash(_(str(rule)), "error")
    except LookupError:
        abort(404, _("There is no such source or address."))


def _back(source_id: UUID) -> ResponseReturnValue:
    return redirect(url_for("source_pages.sources", _anchor=f"source-{source_id}"), 303)
