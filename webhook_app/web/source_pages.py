"""The Sources pages, for developers: programs that send by themselves and let their callbacks come here."""

from flask import Blueprint, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from .. import figures, sources
from ..naming import BadName
from .asking import page
from .context import now, wasl

blueprint = Blueprint("source_pages", __name__)


@blueprint.route("/sources", methods=["GET", "POST"], endpoint="sources")
def source_list() -> ResponseReturnValue:
    """200 the list, 303 after making one, 400 with the form when the name will not do."""
    errors, form = {}, {"name": request.form.get("name", "")}
    if request.method == "POST":
        try:
            added = sources.add(wasl().database, form["name"], now())
            flash(_("Source %(name)s was made: put its URL and secret into the program.", name=added.name), "success")
            return redirect(url_for("source_pages.sources"), 303)
        except BadName as wrong:
            errors = {"name": [_(str(wrong))]}
    rows = figures.source_rows(wasl().database, wasl().stamper)
    unplaced = figures.unplaced(wasl().database)
    return page("sources.html", rows=rows, unplaced=unplaced, errors=errors, form=form), 400 if errors else 200
