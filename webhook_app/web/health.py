"""For whatever watches over the program: does it live, and would a callback be taken in now?"""

from flask import Blueprint, Response, jsonify

from ..database import StoreAway
from .access import open_to_all
from .context import wasl

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
@open_to_all
def healthz() -> Response:
    """Anyone. 200 while the process answers."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
@open_to_all
def readyz() -> tuple[Response, int]:
    """Anyone. 200 when a callback would be durable now: `ready`, or `spooling` while the store does not take all of
    them; else 503 `away`."""
    spooled = wasl().spool.waiting()
    try:
        wasl().database.ping()
        is_away = wasl().inbox.store_is_away  # it can be read while its disk is full
    except StoreAway:
        is_away = True
    status = ("spooling" if _can_spool() else "away") if is_away else "spooling" if spooled else "ready"
    return jsonify(status=status, spooled=spooled), 503 if status == "away" else 200


def _can_spool() -> bool:
    try:
        wasl().spool.check()
    except OSError:
        return False
    return True
