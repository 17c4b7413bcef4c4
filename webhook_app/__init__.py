"""Wasl: sends through OTPIQ, loses no callback, shows what arrived. `create_app` puts the rooms together."""

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from . import logs, settings, web
from .accounts import SIGN_IN_LASTS
from .database import Database
from .inbox import Inbox
from .otpiq import Otpiq
from .pricing import PriceList
from .refusals import Refusals
from .schema import find_beside
from .settings import Settings
from .spool import Spool
from .stamp import Stamper, session_keys
from .web.callbacks import Door
from .web.context import Wasl, now

PATIENCE_S = 3.0  # with the store: less than the inbox has, so that no callback goes two ways


def create_app(config: Settings | None = None) -> Flask:
    """The whole program for one process. Raises settings.BadSetting; the store's schema must be up to date."""
    config = config or settings.load()
    logs.configure(config.log)
    app = Flask(__name__, static_folder=None, template_folder=str(find_beside("templates")))
    database = Database(config.database_url, patience_s=PATIENCE_S)
    spool = Spool(config.spool_dir)
    otpiq = Otpiq(config.otpiq_base_url, config.otpiq_api_key)
    house = Wasl(
        settings=config,
        database=database,
        otpiq=otpiq,
        stamper=Stamper(config.secret_keys, config.public_url),
        prices=PriceList(otpiq, database, now),
        spool=spool,
        inbox=Inbox(database, spool),
        refusals=Refusals(database, database.writer),
    )
    _set_cookies(app, config)
    web.register(app, house)
    if config.is_https:
        # https is always a proxy's work here, so the one in front of us names the caller.
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1)  # type: ignore[method-assign]
    app.wsgi_app = Door(app.wsgi_app, house)  # type: ignore[method-assign]
    return app


def _set_cookies(app: Flask, config: Settings) -> None:
    newest, *older = session_keys(config.secret_keys)
    app.config.update(
        SECRET_KEY=newest,
        SECRET_KEY_FALLBACKS=older,
        SESSION_COOKIE_NAME="__Host-wasl" if config.is_https else "wasl",
        SESSION_COOKIE_SECURE=config.is_https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=SIGN_IN_LASTS,
    )
