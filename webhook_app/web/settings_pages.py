"""The Settings page: what is set and how Wasl is; keys and budgets can be changed here, the rest where it stands."""

import platform
from importlib import metadata
from typing import Any

from flask import Blueprint, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from .. import accounts, budgets, figures
from ..naming import BadName
from ..refusals import INTAKE_KEPT
from .asking import page
from .context import now, wasl
from .formats.senders import trouble_words

blueprint = Blueprint("settings_pages", __name__)


@blueprint.get("/settings")
def settings() -> ResponseReturnValue:
    return _page()


@blueprint.post("/settings/check")
def check() -> ResponseReturnValue:
    """Ask OTPIQ with the key now; 303 back. Nothing is sent and nothing costs."""
    found = wasl().prices.check()
    if found.trouble is None:
        flash(_("The key works: OTPIQ told the balance and the senders."), "success")
    else:
        flash(trouble_words(found), "error")
    return redirect(url_for("settings_pages.settings"), 303)


@blueprint.post("/settings/budgets")
def set_budgets() -> ResponseReturnValue:
    """303 back; 400 with the form, as it was typed, when an amount will not do."""
    typed: dict[str, Any] = {period: request.form.get(period, "") for period in ("day", "month")}
    stops = request.form.getlist("stops")
    try:
        budgets.put(wasl().database, typed["day"], typed["month"], current_user.name, now(), stops=stops)
    except budgets.BadBudget as wrong:
        errors = {period: [_(text)] for period, text in wrong.errors.items()}
        return _page(typed=typed | {"stops": stops}, errors=errors), 400
    flash(_("The budgets are set."), "success")
    return redirect(url_for("settings_pages.settings", _anchor="budgets"), 303)


@blueprint.post("/settings/keys")
def add_key() -> ResponseReturnValue:
    """200 with the new key, shown this once: it must go through no cookie and no address. 400 for a bad name."""
    name = request.form.get("name", "")
    try:
        _id, key = accounts.add_key(wasl().database, name, now())
    except BadName as wrong:
        return _page(typed={"name": name}, errors={"name": [_(str(wrong))]}), 400
    return _page(new_key=key, new_key_name=name.strip())


@blueprint.post("/settings/keys/revoke")
def revoke_key() -> ResponseReturnValue:
    """303 back; it is fine if the key was revoked meanwhile."""
    name = request.form.get("name", "").replace("\0", "")
    try:
        accounts.revoke_key(wasl().database, name, now())
        flash(_("The key %(name)s is revoked: programs that use it are refused from now on.", name=name), "success")
    except LookupError:
        flash(_("No key in force has this name."), "error")
    return redirect(url_for("settings_pages.settings", _anchor="keys"), 303)


def _page(**more: Any) -> str:
    house = wasl()
    house.prices.refresh_aside()
    senders, last_check = house.prices.last_known()
    given: dict[str, Any] = {"typed": {}, "errors": {}, "new_key": None}
    return page(
        "settings.html",
        settings=house.settings,
        senders=senders,
        last_check=last_check,
        costs=figures.sender_costs(house.database),
        users=accounts.users(house.database),
        keys=accounts.keys(house.database),
        budgets=budgets.current(house.database),
        vitals=figures.vitals(house.database, now()),
        spooled=house.spool.waiting(),
        intake_days=INTAKE_KEPT.days,
        version=_version(),
        python_version=platform.python_version(),
        **given | more,
    )


def _version() -> str | None:
    """None in a checkout that was never installed."""
    try:
        return metadata.version("wasl")
    except metadata.PackageNotFoundError:
        return None
