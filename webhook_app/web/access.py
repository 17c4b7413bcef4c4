"""Who may call a route: signed-in people, unless the route is marked otherwise; signing in and out."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from flask import Blueprint, abort, current_app, g, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user

from .. import accounts
from .context import now, wasl

blueprint = Blueprint("access", __name__)
View = TypeVar("View", bound=Callable[..., Any])
login_manager = LoginManager()


class Visitor(UserMixin):  # type: ignore[misc]
    """Whoever is signed in here; the cookie holds the sign-in's token, so that signing out really ends it."""

    def __init__(self, token: str, account: accounts.Account) -> None:
        self.token = token
        self.id = account.id
        self.name = account.name
        self.language = account.language

    def get_id(self) -> str:
        return self.token


@login_manager.user_loader  # type: ignore[untyped-decorator]
def load_visitor(token: str) -> Visitor | None:
    account = accounts.signed_in(wasl().database, token, now())
    return Visitor(token, account) if account else None


def open_to_all(view: View) -> View:
    """Mark a route that needs no sign-in. What it checks instead is its own affair."""
    view.wasl_open = True  # type: ignore[attr-defined]
    return view


def needs_api_key(view: View) -> View:
    """Mark a route for programs with `Authorization: Bearer` and one of our keys, named in `g.key_name`; else 401."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> ResponseReturnValue:
        scheme, _space, key = request.headers.get("Authorization", "").partition(" ")
        name = accounts.key_name(wasl().database, key.strip()) if scheme.lower() == "bearer" else None
        if name is None:
            abort(401, "Send one of your Wasl keys as Authorization: Bearer sk_live_…")
        g.key_name = name
        return view(*args, **kwargs)  # type: ignore[no-any-return]

    return open_to_all(guarded)  # type: ignore[return-value]


def close_by_default() -> ResponseReturnValue | None:
    """Before every request: without a mark on the route, only signed-in people pass."""
    view = current_app.view_functions.get(request.endpoint or "")
    if view is None or getattr(view, "wasl_open", False) or current_user.is_authenticated:
        return None
    if request.args.get("fragment"):
        abort(401)  # a poll must not be answered with a sign-in page
    back_to = request.full_path.rstrip("?") if request.method == "GET" else None
    return redirect(url_for("access.sign_in", next=back_to))


@blueprint.route("/sign-in", methods=["GET", "POST"])
@open_to_all
def sign_in() -> ResponseReturnValue:
    """200 the form, 303 in, 400 wrong name or password, 429 too many wrong tries."""
    form = request.form
    name = form.get("name", "").replace("\0", "")  # PostgreSQL takes no NUL
    page: dict[str, Any] = {
        "name": name,
        "next": request.values.get("next"),
        "error": None,
        "slowed": None,
    }
    if request.method == "GET":
        return (
            redirect(url_for("pages.overview"))
            if current_user.is_authenticated
            else render_template("sign_in.html", **page)
        )
    try:
        token = accounts.sign_in(wasl().database, name, form.get("password", ""), request.remote_addr or "", now())
    except accounts.Slowed as slowed:
        page["slowed"] = slowed.wait_s
        return render_template("sign_in.html", **page), 429, {"Retry-After": str(slowed.wait_s)}
    visitor = load_visitor(token) if token else None
    if visitor is None:
        page["error"] = _("This name and password do not belong together.")
        return render_template("sign_in.html", **page), 400
    session.clear()
    session.permanent = True
    login_user(visitor)
    return redirect(own_path(form.get("next")), 303)


@blueprint.post("/sign-out")
@open_to_all
def sign_out() -> ResponseReturnValue:
    """303 to the sign-in page; the sign-in is gone from the store, whoever holds a copy of its cookie."""
    if current_user.is_authenticated:
        accounts.sign_out(wasl().database, current_user.token)
    logout_user()
    session.clear()
    return redirect(url_for("access.sign_in"), 303)


def own_path(path: str | None) -> str:
    """A path of this program, for redirects: never another host, whatever stands in the form."""
    read = (path or "").replace("\\", "/")  # as browsers do, which also take any number of slashes for two
    is_own = read.startswith("/") and not read.startswith("//") and read.isprintable()
    return path if is_own and path else url_for("pages.overview")
