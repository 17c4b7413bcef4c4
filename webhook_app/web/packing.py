"""Pages travel compressed: a picture drawn in SVG is mostly repetition, and phones are on slow networks."""

import gzip
import secrets

import brotli
from flask import Response, request

_LEAST_BYTES = 1000  # below this a packet is a packet
_MOST_PADDING = 100


def pack(answer: Response) -> Response:
    """After each request: HTML as small as the browser takes it. What is streamed or for programs stays as it is."""
    if answer.mimetype != "text/html" or answer.is_streamed:
        return answer
    answer.vary.add("Accept-Encoding")
    encoding = request.accept_encodings.best_match(("br", "gzip"))
    page = answer.get_data()
    if encoding and len(page) >= _LEAST_BYTES:
        answer.set_data(_packed(page + _padding(), encoding))
        answer.content_encoding = encoding
    return answer


def _packed(page: bytes, encoding: str) -> bytes:
    """At levels where a page takes about a millisecond; the last percent would take ten."""
    return brotli.compress(page, quality=5) if encoding == "br" else gzip.compress(page, 5, mtime=0)


def _padding() -> bytes:
    """A comment of random length, for pages hold secrets (a form's token, a source's URL).

    Who can make a browser ask for a page with words of their choice, and sees the size of the answer go by, could
    guess a secret by how well the two compress together (the BREACH attack). Sizes vary more than a guess changes them.
    """
    return f"<!-- {secrets.token_urlsafe(secrets.randbelow(_MOST_PADDING))} -->".encode()
