"""Which language a reader is spoken to in: as they chose, else as their browser asks, else English; and choosing it."""

from dataclasses import dataclass

from babel import Locale
from flask import Blueprint, Flask, abort, current_app, g, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import Babel
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.exceptions import HTTPException

from .. import accounts
from .access import login_manager, open_to_all, own_path
from .catalogues import catalogue
from .context import is_for_programs, wasl
from .formats import translation

blueprint = Blueprint("language", __name__)
COOKIE = "wasl_language"
# The first part of what browsers ask for. Kurdish is asked for in general ("ku") more often than as Sorani ("ckb").
_ASKED = {"en": "en", "ar": "ar_IQ", "ckb": "ckb_IQ", "ku": "ckb_IQ"}


@dataclass(frozen=True, kw_only=True)
class Language:
    """`locale` is Babel's name for it, `tag` the browsers'; `name` is what its speakers call it."""

    locale: str
    name: str

    @property
    def tag(self) -> str:
        return self.locale.replace("_", "-")

    @property
    def direction(self) -> str:
        return str(Locale.parse(self.locale).text_direction)


LANGUAGES = {
    locale: Language(locale=locale, name=name)
    for locale, name in (("en", "English"), ("ar_IQ", "العربية"), ("ckb_IQ", "کوردی"))
}


def register(app: Flask, time_zone: str) -> None:
    babel = Babel(app, default_timezone=time_zone, locale_selector=of_reader)
    with app.app_context():
        domain = babel.domain_instance
        domain.cache.update({(locale, domain.domain[0]): catalogue(locale) for locale in LANGUAGES})
    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]
        gettext=lambda text: translation.texts().ugettext(text),
        ngettext=lambda one, many, num: translation.texts().ungettext(one, many, num),
        newstyle=True,
    )
    app.jinja_env.globals["here"] = here


def of_reader() -> str:
    """A locale of LANGUAGES. Programs always read English: they look for words they know."""
    if is_for_programs(request.path):
        return "en"
    chosen = _of_visitor() or request.cookies.get(COOKIE)
    return chosen if chosen in LANGUAGES else _of_browser()


@blueprint.post("/language")
@open_to_all
def choose() -> ResponseReturnValue:
    """303 back, in that language from now on: in this browser and wherever this user signs in. 400 for another word."""
    locale = request.form.get("language", "")
    if locale not in LANGUAGES:
        abort(400, _("%(name)s: must be one of %(allowed)s", name="language", allowed=", ".join(LANGUAGES)))
    if current_user.is_authenticated:
        accounts.choose_language(wasl().database, current_user.id, locale)
    answer = redirect(own_path(request.form.get("next")), 303)
    answer.set_cookie(
        COOKIE, locale, max_age=365 * 86400, httponly=True, samesite="Lax", secure=wasl().settings.is_https
    )
    return answer


def here() -> str:
    """The address to come back to after choosing; for a page that came by POST the one above it that can be opened."""
    if request.method == "GET":
        return request.full_path if request.query_string else request.path
    path = request.path
    while path and not _opens(path):
        path = path.rpartition("/")[0]
    return path or url_for("pages.overview")


def _opens(path: str) -> bool:
    try:
        return bool(current_app.url_map.bind("").match(path, method="GET"))
    except HTTPException:
        return False


def _of_visitor() -> str | None:
    try:
        return getattr(current_user, "language", None)
    except Exception:  # noqa: BLE001 - whatever it is, a page has to tell of it, in some language
        g._login_user = login_manager.anonymous_user()
        return None


def _of_browser() -> str:
    for asked, quality in request.accept_languages:
        locale = _ASKED.get(asked.lower().replace("_", "-").partition("-")[0])
        if locale and quality:
            return locale
    return "en"
