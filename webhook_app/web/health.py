"""For whatever watches over the program: does it live, and would a callback be stored now?"""

from flask import Blueprint, Response, jsonify

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
def readyz() -> Response:
    """Anyone. 200 when a callback would be stored now, 503 when the store is away."""
    wasl().database.ping()
    return jsonify(status="ready")
