"""What pages have in common: arguments read out of the address, and a template, or its live part, as the answer."""

import hashlib
from datetime import date, datetime
from typing import Any
from uuid import UUID

from flask import Response, abort, g, make_response, render_template, request
from flask_babel import gettext as _

from .. import figures
from .context import now, wasl

_YEARS = range(2000, 2100)  # what an id can hold, with room for any zone


def live(name: str, **values: Any) -> Response:
    """The page, or (`?fragment=live`) its moving part with an ETag: 304 when nothing changed."""
    if not request.args.get("fragment"):
        return make_response(page(f"{name}.html", **values))
    answer = make_response(page(f"_{name}_live.html", **values))
    answer.set_etag(_digest(answer.get_data(as_text=True)), weak=True)  # weak: the same rows, however they are packed
    return answer.make_conditional(request)  # type: ignore[return-value]


def _digest(fragment: str) -> str:
    """Of what there is to see: a form's token is another one each second, and an older one will do."""
    return hashlib.sha256(fragment.replace(g.get("csrf_token", ""), "").encode()).hexdigest()[:20]


def page(template: str, **values: Any) -> str:
    frame = figures.frame(wasl().database, wasl().settings.environment, now(), wasl().spool.waiting())
    return render_template(template, frame=frame, **values)


def choice(name: str, allowed: tuple[str, ...]) -> str | None:
    """An argument of a list of words. 400 names it when it is another word."""
    value = request.args.get(name) or None
    if value is not None and value not in allowed:
        abort(400, _("%(name)s: must be one of %(allowed)s", name=name, allowed=", ".join(allowed)))
    return value


def id_of(name: str) -> UUID | None:
    value = request.values.get(name)
    try:
        return UUID(value) if value else None
    except ValueError:
        abort(400, _("%(name)s: must be an id such as 01980f2e-77b1-7c20-9d0e-5f3a1b2c6c41", name=name))


def moment(name: str) -> date | datetime | None:
    """A day (2026-11-22), or a moment in the reader's zone (2026-11-22T15:00)."""
    value = request.args.get(name)
    if not value:
        return None
    try:
        day = date.fromisoformat(value) if len(value) == 10 else None
        moment = datetime.fromisoformat(value)
        if moment.year not in _YEARS:
            raise ValueError
        return day or (moment if moment.tzinfo else moment.replace(tzinfo=wasl().settings.time_zone))
    except ValueError:
        abort(
            400,
            _("%(name)s: must be a day such as 2026-11-22 or a time such as 2026-11-22T15:00, from 2000 on", name=name),
        )
