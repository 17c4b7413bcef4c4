"""OTPIQ's delivery callbacks: authentic or not, from the headers and the raw bytes alone; then on to the inbox.

The one route that stands in front of Flask instead of in it. It needs no session, no template and no form, and Flask's
way to a view that needs none costs more than storing the callback does (`make bench`).
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

import structlog

from .. import logs, probing
from ..ids import new_id
from ..inbox import NotDurable, Overloaded
from ..receiving import Arrival
from ..refusals import Cause
from ..stamp import verify_signature
from .context import MAX_BODY_BYTES, Wasl

SECRET_HEADER = "X-OTPIQ-Webhook-Secret"  # noqa: S105 - a header's name
PATH = "/callbacks/otpiq/"
_SECRET, _SIGNATURE, _TIMESTAMP = (
    f"HTTP_X_OTPIQ_WEBHOOK_{name}" for name in ("SECRET", "SIGNATURE", "TIMESTAMP")
)  # WSGI's names of headers
_KEPT = ("CONTENT_TYPE", "HTTP_CONTENT_ENCODING", "HTTP_USER_AGENT")
_MAX_KEPT = 200
_HEADERS = [("Content-Type", "application/json"), ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
_COME_AGAIN = ("Retry-After", "5")

Environ = Mapping[str, Any]
log = structlog.get_logger()


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, words: str, cause: Cause | None, *headers: tuple[str, str]) -> None:
        super().__init__(words)
        self.status = status
        self.words = words
        self.cause = cause  # counted under it
        self.headers = headers


_COME_LATER = {
    kind: _Refused(HTTPStatus.SERVICE_UNAVAILABLE, f"{words}: send it again", cause, _COME_AGAIN)
    for kind, words, cause in (
        (Overloaded, "Too many callbacks at once", Cause.OVERLOADED),
        (NotDurable, "The store is away, so nothing was taken in", Cause.STORE_AWAY),
    )
}


class Answer:
    """What WSGI iterates over. Iterating waits for the commit; who would rather not asks to be told when it is time."""

    def __init__(self, outcome: "Future[str]", start: Callable[["Future[str]"], bytes]) -> None:
        self._outcome = outcome
        self._start = start

    def when_known(self, tell: Callable[[], None]) -> None:
        self._outcome.add_done_callback(lambda _outcome: tell())

    def __iter__(self) -> Iterator[bytes]:
        outcome = self._outcome
        del self._outcome  # which knows whom to tell, who knows this: a circle is memory until the next collection
        yield self._start(outcome)


class Door:
    """WSGI: `POST /callbacks/otpiq/<id>` is answered here, all else by the app behind."""

    def __init__(self, app: Callable[..., Iterable[bytes]], house: Wasl) -> None:
        self._app = app
        self._house = house

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        before, _, target_id = environ["PATH_INFO"].rpartition("/")
        if f"{before}/" != PATH or not target_id:
            return self._app(environ, start_response)
        outcome: Future[str]
        try:
            outcome = self._receive(environ, target_id)
        except Exception as fault:  # noqa: BLE001 - told like what the inbox could not do
            outcome = Future()
            outcome.set_exception(fault)

        def start(outcome: "Future[str]") -> bytes:
            status, answer, headers = self._answer(environ, target_id, outcome)
            body = json.dumps(answer, separators=(",", ":")).encode() + b"\n"
            start_response(f"{status.value} {status.phrase}", [*_HEADERS, *headers, ("Content-Length", str(len(body)))])
            return body

        return Answer(outcome, start)

    def _answer(
        self, environ: Environ, target_id: str, outcome: "Future[str]"
    ) -> tuple[HTTPStatus, dict[str, str], Iterable[tuple[str, str]]]:
        """OTPIQ (and whoever has the id's secret) may call. 200 once durable, whatever it says; 400 the body broke off;
        401 not authentic; 405 no POST; 413 over 64 KiB; 503 to be sent again."""
        try:
            return HTTPStatus.OK, {"status": "ok", "verdict": outcome.result()}, ()
        except (_Refused, Overloaded, NotDurable) as why:
            refused = why if isinstance(why, _Refused) else _COME_LATER[type(why)]
            if refused.cause is not None:
                self._house.refusals.count(refused.cause, lambda: _sample(environ, target_id))
            words = {"error": refused.words} if refused.status is HTTPStatus.BAD_REQUEST else {}
            return refused.status, {"message": refused.words} | words, refused.headers
        except Exception as fault:  # noqa: BLE001 - a traceback is no answer
            log.error("fault", path="callbacks", error=type(fault).__name__, where=logs.where(fault))
            return HTTPStatus.INTERNAL_SERVER_ERROR, {"message": "Something broke on our side"}, [_COME_AGAIN]

    def _receive(self, environ: Environ, target_id: str) -> "Future[str]":
        if environ["REQUEST_METHOD"] != "POST":
            raise _Refused(HTTPStatus.METHOD_NOT_ALLOWED, "Only POST is taken here", None, ("Allow", "POST"))
        secret = environ.get(_SECRET, "").encode("latin-1", errors="replace")
        key = self._house.stamper.check(target_id, secret)
        if key is None:
            raise _Refused(HTTPStatus.UNAUTHORIZED, "not authentic", _why_not_authentic(target_id, secret))
        raw = _body(environ)
        if not _signature_fits(environ, secret, raw):
            raise _Refused(HTTPStatus.UNAUTHORIZED, "not authentic", Cause.BAD_SIGNATURE)
        if probing.is_probe(raw):
            answered: Future[str] = Future()
            answered.set_result(probing.answer_to(raw))
            return answered
        return self._house.inbox.put(_arrival(environ, UUID(target_id), key, raw))


def _why_not_authentic(target_id: str, secret: bytes) -> Cause:
    """For our own eyes: whoever asks is told no more than that it is not authentic."""
    try:
        UUID(target_id)
    except ValueError:
        return Cause.BAD_ADDRESS
    return Cause.WRONG_SECRET if secret else Cause.NO_SECRET


def _body(environ: Environ) -> bytes:
    """The raw bytes, all of them: a body that was cut must not pass for the one that was sent."""
    length = int(environ["CONTENT_LENGTH"]) if environ.get("CONTENT_LENGTH") else None
    too_big = _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is larger than 64 KiB", Cause.TOO_BIG)
    if length is not None and length > MAX_BODY_BYTES:
        raise too_big
    try:
        raw: bytes = environ["wsgi.input"].read(MAX_BODY_BYTES + 1 if length is None else length)
    except Exception:  # noqa: BLE001 - each server has errors of its own for a body that is none
        raise _Refused(HTTPStatus.BAD_REQUEST, "the body broke off", Cause.CUT_SHORT) from None
    if len(raw) > MAX_BODY_BYTES:
        raise too_big
    if length is not None and len(raw) < length:
        raise _Refused(HTTPStatus.BAD_REQUEST, "the body broke off", Cause.CUT_SHORT)
    return raw


def _signature_fits(environ: Environ, secret: bytes, raw: bytes) -> bool:
    """OTPIQ's second scheme is checked where its signature is present; its absence proves nothing."""
    if _SIGNATURE not in environ:
        return True
    return verify_signature(secret, environ.get(_TIMESTAMP, ""), environ[_SIGNATURE], raw, now_s=time.time())


def _arrival(environ: Environ, target_id: UUID, key: str, raw: bytes) -> Arrival:
    at = datetime.now(UTC)
    return Arrival(id=new_id(at), target_id=target_id, key=key, raw=raw, headers=_kept_headers(environ), at=at)


def _kept_headers(environ: Environ) -> dict[str, str]:
    kept = {name: value for name, value in environ.items() if name in _KEPT or name.startswith("HTTP_X_OTPIQ_")}
    return {
        name.removeprefix("HTTP_").replace("_", "-").title(): _shortened(value)
        if name in (_SECRET, _SIGNATURE)
        else value[:_MAX_KEPT]
        for name, value in kept.items()
        if value
    }


def _shortened(secret: str) -> str:
    """Enough to tell two secrets apart, too little to use one."""
    digest = hashlib.sha256(secret.encode("latin-1", errors="replace")).hexdigest()
    return f"{secret[:4]}… ({len(secret)} characters, sha256 {digest[:8]})"


def _sample(environ: Environ, target_id: str) -> dict[str, str]:
    """What a refused request looked like. Of its secret only the length: it may be a right one, at a wrong id."""
    kept = _kept_headers(environ)
    for name in (_SECRET, _SIGNATURE):
        if environ.get(name):
            kept[name.removeprefix("HTTP_").replace("_", "-").title()] = f"{len(environ[name])} characters"
    return {"Address": f"{PATH}{target_id[:_MAX_KEPT]}", **kept}
