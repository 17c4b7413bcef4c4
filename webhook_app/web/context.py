"""What every route needs: the rooms below, put together once by `create_app`."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from flask import abort, current_app, request

from ..database import Database
from ..inbox import Inbox
from ..otpiq import Otpiq
from ..pricing import PriceList
from ..refusals import Refusals
from ..settings import Settings
from ..spool import Spool
from ..stamp import Stamper

MAX_BODY_BYTES = 64 * 1024
_FOR_PROGRAMS = ("/api/", "/callbacks/otpiq/", "/healthz", "/readyz")


@dataclass(frozen=True, kw_only=True)
class Wasl:
    settings: Settings
    database: Database
    otpiq: Otpiq
    stamper: Stamper
    prices: PriceList
    spool: Spool
    inbox: Inbox
    refusals: Refusals


def wasl() -> Wasl:
    return cast(Wasl, current_app.extensions["wasl"])


def now() -> datetime:
    return datetime.now(UTC)


def is_for_programs(path: str) -> bool:
    """Whether programs read what stands at `path`: JSON, and English."""
    return f"{path}/".startswith(_FOR_PROGRAMS)


def whole_body() -> bytes:
    """The raw bytes of a request. 413 when there are more than MAX_BODY_BYTES, 400 when fewer came than announced.

    Flask is told to allow one byte more: it cuts a chunked body at its limit without a word, and a body that was cut
    must not pass for the one that was sent.
    """
    raw = request.get_data()
    if len(raw) > MAX_BODY_BYTES:
        abort(413)
    if request.content_length not in (None, len(raw)):
        abort(400, "the body broke off")
    return raw
