"""The web: blueprints, the access rule, headers, and the one table that turns errors into answers."""

from collections.abc import Callable
from typing import Any

import structlog
from flask import Flask, g, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from flask.wrappers import Response
from flask_babel import get_locale
from flask_babel import gettext as _
from flask_login import current_user
from flask_wtf.csrf import CSRFError, CSRFProtect
from werkzeug.exceptions import HTTPException

from .. import figures, logs
from ..database import StoreAway
from . import (
    access,
    api,
    callback_pages,
    export,
    files,
    formats,
    health,
    language,
    message_pages,
    packing,
    pages,
    settings_pages,
    source_pages,
    spend_pages,
)
from .context import MAX_BODY_BYTES, Wasl, is_for_programs, now, wasl

_RETRY_AFTER_S = "5"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

log = structlog.get_logger()
csrf = CSRFProtect()


def register(app: Flask, house: Wasl) -> None:
    """Everything a request meets, in the order it meets it."""
    app.extensions["wasl"] = house
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES + 1  # context.whole_body says why
    app.config["WTF_CSRF_TIME_LIMIT"] = None  # a dashboard stays open for days; the token ends with the sign-in
    app.config["WASL_TIME_ZONE"] = house.settings.time_zone.key
    language.register(app, house.settings.time_zone.key)
    formats.register(app)
    access.login_manager.init_app(app)
    csrf.init_app(app)
    csrf.exempt(api.blueprint)  # programs carry a key, not a cookie
    for blueprint in (access.blueprint, api.blueprint, health.blueprint, language.blueprint):
        app.register_blueprint(blueprint)
    for blueprint in {module.blueprint for module in (pages, message_pages, export)}:  # one and the same
        app.register_blueprint(blueprint)
    for pages_of in (callback_pages, settings_pages, source_pages, spend_pages):
        app.register_blueprint(pages_of.blueprint)
    files.register(app)
    app.before_request(access.close_by_default)
    app.after_request(packing.pack)
    app.after_request(_set_headers)
    app.context_processor(_page_context)
    for error, answer in _ANSWERS.items():
        app.register_error_handler(error, answer)


def _page_context() -> dict[str, Any]:
    chosen = language.LANGUAGES[str(get_locale())]
    return {
        "now": now(),
        "settings_time_zone": wasl().settings.time_zone.key,
        "theme": request.cookies.get(pages.THEME_COOKIE)
        if request.cookies.get(pages.THEME_COOKIE) in ("light", "dark")
        else "",
        "language": chosen.tag,
        "direction": chosen.direction,
        "languages": language.LANGUAGES.values(),
    }


def _set_headers(answer: Response) -> Response:
    for name, value in _HEADERS.items():
        answer.headers.setdefault(name, value)
    if wasl().settings.is_https:
        answer.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    answer.headers.setdefault("Cache-Control", "no-store")
    return answer


def _on_http_error(error: HTTPException) -> ResponseReturnValue:
    titles = {
        400: _("This cannot be shown"),
        401: _("Please sign in"),
        404: _("Nothing is here"),
        405: _("Not in this way"),
        413: _("Too much at once"),
    }
    texts = {
        401: _("This is only for people who are signed in."),
        404: _("No page has this address."),
        405: _("This address takes other kinds of requests."),
        413: _("The request is larger than this program takes."),
    }
    status = error.code or 500
    title = titles.get(status, _("This did not work"))
    # Words of our own stay; werkzeug's are always English.
    is_ours = error.description and error.description != type(error).description
    text = error.description if is_ours else texts.get(status, _("The request could not be understood."))
    return _trouble(status, title, text or title, error.get_headers())


def _on_old_form(_error: CSRFError) -> ResponseReturnValue:
    text = _("Its page was open for too long, or in another sign-in.")
    if request.endpoint == "pages.send_now":
        if current_user.is_authenticated:
            return pages.send_anew()
        text = _("You are not signed in any more. Sign in in another tab, then load this page again to go on.")
    return _trouble(400, _("This form is too old"), text)


def _on_store_away(error: StoreAway) -> ResponseReturnValue:
    log.error("store.away", path=request.endpoint, error=str(error))
    text = _("The store does not answer. Callbacks are kept aside until it is back.")
    if request.method == "POST":
        text = _("The store does not answer, so nothing was sent. Callbacks are kept aside until it is back.")
    return _trouble(503, _("The store is away"), text, [("Retry-After", _RETRY_AFTER_S)])


def _on_fault(error: Exception) -> ResponseReturnValue:
    log.error("fault", path=request.endpoint, error=type(error).__name__, where=logs.where(error))
    return _trouble(500, _("Something broke on our side"), _("This was not expected, and has been logged."))


def _trouble(status: int, title: str, text: str, headers: Any = ()) -> ResponseReturnValue:
    """JSON for programs, a page for people; the same words for both, and never a traceback."""
    kept = [(name, value) for name, value in headers if name in ("Allow", "Retry-After")]
    if is_for_programs(request.path):
        body = {"message": text} | ({"error": text} if status == 400 else {})
        return jsonify(body), status, kept
    return (
        render_template("error.html", status=status, title=title, text=text, frame=_frame_if_possible()),
        status,
        kept,
    )


def _frame_if_possible() -> figures.Frame | None:
    """The error page keeps its navigation, unless the trouble is that nothing can be read."""
    try:
        if not current_user.is_authenticated:
            return None
        return figures.frame(wasl().database, wasl().settings.environment, now(), wasl().spool.waiting())
    except Exception:  # noqa: BLE001 - whatever it is, there is an error to show already
        g._login_user = access.login_manager.anonymous_user()
        return None


_ANSWERS: dict[type[Exception], Callable[[Any], ResponseReturnValue]] = {
    CSRFError: _on_old_form,
    HTTPException: _on_http_error,
    StoreAway: _on_store_away,
    Exception: _on_fault,
}
