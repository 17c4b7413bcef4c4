"""The static files: read once, named by their contents, compressed once, and kept by browsers for a year.

In memory, and not by a package that serves what a build step left on the disk: there is no build step (a checkout runs
as it is, an installed wheel may be read-only), and all of them together are smaller than one photograph.
"""

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import brotli
from flask import Flask, Response, abort, request
from flask.sessions import SecureCookieSessionInterface, SessionMixin
from werkzeug import Response as Answer

from .access import open_to_all

_FOLDER = Path(__file__).parents[1] / "static"
# Spelled out, because what a machine's own table says differs from machine to machine.
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".woff2": "font/woff2"}
_COMPRESSED_ALREADY = {".woff2"}
_IN_SHEET = re.compile(r'url\("(?P<path>[^":]+)"\)')


@dataclass(frozen=True, kw_only=True)
class File:
    """One file as it is served; `version` is a digest of its contents."""

    body: bytes
    version: str
    type: str
    is_compressible: bool


class _Sessions(SecureCookieSessionInterface):
    """A file is the same for everyone: no cookie is set beside it, and none decides whether a kept copy will do."""

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if request.endpoint != "static":
            super().save_session(app, session, response)


def register(app: Flask) -> None:
    files = _read(_FOLDER)
    app.session_interface = _Sessions()

    @app.get("/static/<path:filename>", endpoint="static")
    @open_to_all
    def static(filename: str) -> Answer:
        """Anyone: 200 or 304; 404 for what is not there. To be kept for a year when asked for by its version."""
        file = files.get(filename)
        return _answer(file) if file else abort(404)

    @app.url_defaults
    def name_version(endpoint: str, values: dict[str, Any]) -> None:
        if endpoint == "static" and values.get("filename") in files:
            values["v"] = files[values["filename"]].version


def _read(folder: Path) -> Mapping[str, File]:
    files = {str(path.relative_to(folder)): _file(path.suffix, path.read_bytes()) for path in _paths(folder)}
    # A stylesheet's own version must change with what it draws upon, so those come first.
    sheets = {name: _with_versions(file, files) for name, file in files.items() if name.endswith(".css")}
    return files | sheets


def _paths(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _file(suffix: str, body: bytes) -> File:
    return File(
        body=body,
        version=hashlib.sha256(body).hexdigest()[:12],
        type=_TYPES.get(suffix, "text/plain"),
        is_compressible=suffix not in _COMPRESSED_ALREADY,
    )


def _with_versions(sheet: File, files: Mapping[str, File]) -> File:
    """The sheet with its fonts and pictures asked for by version, as the pages ask for the sheet."""
    text = _IN_SHEET.sub(lambda url: f'url("{url["path"]}?v={files[url["path"]].version}")', sheet.body.decode())
    return _file(".css", text.encode())


def _answer(file: File) -> Answer:
    encoding = request.accept_encodings.best_match(("br", "gzip")) if file.is_compressible else None
    answer = Response(_encoded(file.body, encoding) if encoding else file.body, mimetype=file.type)
    if encoding:
        answer.content_encoding = encoding
    answer.vary.add("Accept-Encoding")
    answer.set_etag(file.version, weak=True)  # weak: the same file, however it is packed
    if request.args.get("v") == file.version:
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return answer.make_conditional(request)


@cache
def _encoded(body: bytes, encoding: str) -> bytes:
    """As small as it gets: done once for a file in a process's life, so that it may take its 40 ms."""
    return brotli.compress(body) if encoding == "br" else gzip.compress(body, mtime=0)
