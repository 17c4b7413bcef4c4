"""OTPIQ's delivery callbacks: authentic or not, from the headers and the raw bytes alone; then on to `receiving`."""

from uuid import UUID

from flask import Blueprint, Response, abort, jsonify, request

from .. import receiving
from ..ids import new_id
from ..receiving import Arrival
from ..stamp import verify_signature
from .access import open_to_all
from .context import now, wasl, whole_body

blueprint = Blueprint("callbacks", __name__)
SECRET_HEADER = "X-OTPIQ-Webhook-Secret"  # noqa: S105 - a header's name
_KEPT_HEADERS = ("Content-Type", "Content-Encoding", "User-Agent")
_MAX_KEPT = 200


@blueprint.post("/callbacks/otpiq/<target_id>")
@open_to_all
def receive(target_id: str) -> Response:
    """OTPIQ (and whoever has the id's secret) may call. 200 once stored, whatever it says; 401 not authentic; 413 over
    64 KiB; 503 when the store is away, to be sent again."""
    secret = request.headers.get(SECRET_HEADER, "").encode("latin-1", errors="replace")
    key = wasl().stamper.check(target_id, secret)
    if key is None:
        abort(401)
    raw = whole_body()
    if not _signature_fits(secret, raw):
        abort(401)
    at = now()
    arrival = Arrival(id=new_id(at), target_id=UUID(target_id), key=key, raw=raw, headers=_headers_to_keep(), at=at)
    (verdict,) = receiving.receive(wasl().database, [arrival])
    return jsonify(status="ok", verdict=verdict)


def _signature_fits(secret: bytes, raw: bytes) -> bool:
    """OTPIQ's second scheme is checked where its signature is present; its absence proves nothing."""
    signature = request.headers.get("X-OTPIQ-Webhook-Signature")
    if signature is None:
        return True
    timestamp = request.headers.get("X-OTPIQ-Webhook-Timestamp", "")
    return verify_signature(secret, timestamp, signature, raw, now_s=now().timestamp())


def _headers_to_keep() -> dict[str, str]:
    kept = {
        name: value[:_MAX_KEPT]
        for name, value in request.headers.items()
        if name in _KEPT_HEADERS or name.lower().startswith("x-otpiq-")
    }
    for name, value in kept.items():
        if name.lower() in (SECRET_HEADER.lower(), "x-otpiq-webhook-signature"):
            kept[name] = f"{value[:4]}… ({len(value)} characters, right)"
    return kept
