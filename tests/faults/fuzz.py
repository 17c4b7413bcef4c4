"""What nobody should send: odd bodies, odd headers, requests that lie about their length, senders that are too slow.

Bodies and headers come with the right secret: what is answered 2xx has to be stored as it came. Each raw request
carries a second one inside, authentic too, that only a server misled about where the first one ends would take in: it
must never be stored. Full: 100,000 bodies, 20,000 headers, 1,000 raw requests, half on each store; a share sends every
raw request of the list at least once. No 5xx, no request without an end, memory flat, no traceback.
"""

import codecs
import contextlib
import gzip
import itertools
import json
import random
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from webhook_app.database import Database
from webhook_app.ids import new_id

from ..running import group_of, serving
from . import Stores, load, opened
from .checker import check

BODIES, HEADERS, RAW = 50_000, 10_000, 500  # of each store
SLOW_SENDERS, SLOW_S = 200, 60.0
_AT_ONCE = 16
_ENDS_WITHIN_S = 5.0
_GOOD_A_SECOND, _GOOD_WITHIN_S = 50, 1.0
_MAX_GROWTH_MB = 20.0
_KIB_64 = 64 * 1024
_DOCUMENTED = (
    {"smsId": "sms-1", "deliveryReportType": "all", "isFinal": False, "channel": "whatsapp", "status": "sent"},
    {"smsId": "sms-1", "deliveryReportType": "final", "isFinal": True, "channel": "sms", "status": "delivered"},
    {"smsId": "sms-1", "deliveryReportType": "all", "isFinal": True, "channel": "sms", "status": "failed"}
    | {"reason": "Carrier rejected the message", "senderId": "MyShop"},
)


def run(share: float, stores: Stores) -> Iterator[str]:
    for name, url in stores.items():
        with opened(url) as database:
            yield f"{name}: {_run(database, url, share)}"


def _run(database: Database, url: str, share: float) -> str:
    rng, record, cast = random.Random(4), load.Record(), load.prepare(database, 100)
    posts = _Posts(cast=cast, rng=rng)
    with tempfile.TemporaryDirectory() as folder:
        with serving(Path(folder), DATABASE_URL=url) as (master, port):
            workers = [pid for pid in group_of(master.pid) if pid != master.pid]
            _post_bodies(port, posts, int(BODIES * share / 2), record)
            warm_mb = _memory_mb(workers)
            _post_bodies(port, posts, int(BODIES * share / 2), record)
            _exchange_all(port, [odd_headers(posts.one(), rng) for _ in range(int(HEADERS * share))], record)
            _exchange_all(port, raw_requests(posts, rng, int(RAW * share)), record)
            slow = beside_slow_senders(port, load.traffic(cast, 10**9, seed=8), record, max(5.0, SLOW_S * share))
            growth_mb = _memory_mb(workers) - warm_mb
            is_alive = {*workers} <= {*group_of(master.pid)}
        load.take_back(database, Path(folder))
        log = (Path(folder) / "serve.log").read_text()
    said = [line[:300] for line in log.splitlines() if "level='info'" not in line and "callback.unplaced" not in line]
    assert is_alive, "\n".join(["a worker died", *said[-40:]])
    assert growth_mb < _MAX_GROWTH_MB * len(workers), f"{growth_mb:.0f} MB more"
    assert "Traceback" not in log, log[log.index("Traceback") :][:3_000]
    checked = check(database, record.attempted, record.acknowledged)
    told = ", ".join(f"{answer} {times}" for answer, times in record.answers.most_common())
    return f"answered {told}; {slow}; memory {growth_mb:+.1f} MB; {checked}"


def _memory_mb(pids: list[int]) -> float:
    told = (Path(f"/proc/{pid}/status").read_text() for pid in pids)
    return sum(int(text.partition("VmRSS:")[2].split(maxsplit=1)[0]) for text in told) / 1024


def beside_slow_senders(port: int, good: Iterator[load.Posted], record: load.Record, seconds: float) -> str:
    """Callbacks are answered at once beside senders who keep all the connections they can get, and never end."""
    beside, stop = load.Record(), threading.Event()
    senders = threading.Thread(target=_send_slowly, args=(port, stop))
    senders.start()
    try:
        some = itertools.islice(good, int(seconds * _GOOD_A_SECOND))
        load.post(port, some, beside, rate=_GOOD_A_SECOND, fresh=True, again=False)
    finally:
        stop.set()
        senders.join()
    record.attempted += beside.attempted
    record.acknowledged += beside.acknowledged
    assert beside.answers.keys() == {"200"}, f"beside {SLOW_SENDERS} slow senders: {dict(beside.answers)}"
    assert beside.took(0.99) < _GOOD_WITHIN_S, f"p99 {beside.took(0.99):.1f} s beside {SLOW_SENDERS} slow senders"
    return f"p99 {beside.took(0.99):.2f} s beside {SLOW_SENDERS} slow senders"


def _send_slowly(port: int, stop: threading.Event) -> None:
    """Each sends a byte now and then, or none at all; for one that is cut off comes another."""
    starts, senders = itertools.cycle(_SLOW_STARTS), dict[socket.socket, bytes]()
    with contextlib.ExitStack() as opened_here:
        while not stop.is_set():
            while len(senders) < SLOW_SENDERS:
                sender = opened_here.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
                senders[sender] = start = next(starts)
                sender.sendall(start)
                sender.setblocking(False)
            stop.wait(_SLOWLY_S)
            senders = {sender: start for sender, start in senders.items() if _drip(sender, start[-1:])}


def _drip(sender: socket.socket, more: bytes) -> bool:
    """Whether it is still listened to."""
    try:
        sender.send(more)
        return sender.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


_SLOWLY_S = 0.5
_SLOW_HEAD = b"POST /sign-in HTTP/1.1\r\nHost: wasl\r\n"
_SLOW_STARTS = (
    b"",
    b"POST /sign-",
    _SLOW_HEAD + b"X-Slow: s",
    _SLOW_HEAD + b"Content-Length: 5000\r\n\r\n{",
    _SLOW_HEAD + b"Content-Length: 65537\r\n\r\n{",  # the first length that is too long
    _SLOW_HEAD + b"Transfer-Encoding: chunked\r\n\r\n1000\r\n{",
    # What looks like the end of it, and what looks so over and over:
    _SLOW_HEAD + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n{\r\n0\r\n\r\n",
    _SLOW_HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n" + b"0\r\n" * 40_000,
    b"GET /healthz HTTP/1.1\r\nHost: wasl\r\n\r\nGET /heal",  # the second half comes slowly
    b"GET /healthz HTTP/1.1\r\nHost: wasl\r\nConnection: close\r\n\r\n",  # and then does not close
)


# Bodies


@dataclass(frozen=True, kw_only=True)
class _Posts:
    """Callbacks with odd bodies, for messages of ours, for sources and for nobody."""

    cast: load.Cast
    rng: random.Random

    def one(self, raw: bytes | None = None) -> load.Posted:
        targets = (self.rng.choice(self.cast.messages), self.rng.choice(self.cast.sources), new_id(datetime.now(UTC)))
        return load.Posted(
            target_id=self.rng.choices(targets, (6, 3, 1))[0], raw=odd_body(self.rng) if raw is None else raw
        )


def _post_bodies(port: int, posts: _Posts, count: int, record: load.Record) -> None:
    load.post(port, (posts.one() for _ in range(count)), record, connections=32, again=False)
    assert record.answers.keys() <= {"200", "413"}, dict(record.answers)


def odd_body(rng: random.Random) -> bytes:
    """A documented body, bent in one way or two."""
    fields = dict(rng.choice(_DOCUMENTED))
    if rng.random() < 0.6:
        name = rng.choice([*fields, "status", "channel", "more", "verificationCode", "ﺱﺗﺎﺗﻮﺳ", ""])
        fields[name] = rng.choice(_ODD_VALUES)
    bend = rng.choice(_BENDS)
    return bend(json.dumps(fields, ensure_ascii=rng.random() < 0.8).encode(errors="surrogatepass"), rng)


_ODD_VALUES: tuple[object, ...] = (
    *(None, True, False, 0, -1, 0.5, 1e308, 10**400, -(10**4_000), "", " ", "\0", "a\0b", "\ud800", "\udc00x", "😀"),
    *(
        "SENT",
        "Delivered",
        "read",
        "expired",
        "undelivered",
        "ﺖﻣ",
        "x" * 41,
        "x" * 501,
        "x" * 5_000,
        "'; DROP TABLE",
        [],
        {},
    ),
    *(
        ["sent"],
        {"status": "sent"},
        [[[[]]]],
        "\u202e",
        "\ufeff",
        "\r\n",
        "<script>",
        "%s%n",
        "${x}",
        "../..",
        "NaN",
        "٣",
    ),
)


def _cut(raw: bytes, rng: random.Random) -> bytes:
    return raw[: rng.randrange(len(raw))]


def _flip(raw: bytes, rng: random.Random) -> bytes:
    bent = bytearray(raw)
    for _ in range(rng.randint(1, 8)):
        bent[rng.randrange(len(bent))] = rng.randrange(256)
    return bytes(bent)


def _splice(raw: bytes, rng: random.Random) -> bytes:
    start, end = sorted(rng.sample(range(len(raw)), 2))
    return raw[:start] + raw[start:end] * rng.randint(0, 3) + raw[rng.randrange(len(raw)) :]


def _nest(raw: bytes, rng: random.Random) -> bytes:
    depth = rng.choice((1, 40, 49, 50, 51, 60, 990, 1_000, 5_000))
    opened, closed = rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
    closing = closed * (depth if rng.random() < 0.7 else rng.randrange(depth + 1))
    return raw[:-1] + b',"deep":' + opened * depth + b"1" + closing + b"}"


def _at_the_limit(raw: bytes, rng: random.Random) -> bytes:
    padding = _KIB_64 + rng.choice((-1, 0, 1, 2)) - len(raw)
    return rng.choice((raw + b" " * padding, raw[:-1] + b" " * padding + b"}", b"\n" * padding + raw))


def _doubled(raw: bytes, rng: random.Random) -> bytes:
    name, value = rng.choice((b"status", b"smsId", b"more", b"st\\u0061tus")), rng.choice((b'"read"', b"1", b"null"))
    return raw[:-1] + b', "' + name + b'": ' + value + b', "' + name + b'": "sent"}'


def _in_other_letters(raw: bytes, rng: random.Random) -> bytes:
    codec = rng.choice(
        ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be", "utf-7", "cp1256", "cp037", "utf-8-sig")
    )
    bent = codecs.encode(raw.decode(errors="replace"), codec, "replace")
    return bent[: rng.choice((None, -1))]


_BENDS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *[lambda raw, rng: raw] * 6,
    *(_cut, _flip, _splice, _nest, _doubled, _in_other_letters),
    *(lambda raw, rng: _flip(_splice(raw, rng) or b"?", rng), lambda raw, rng: _at_the_limit(raw, rng)),
    lambda raw, rng: rng.randbytes(rng.randrange(2_000)),
    lambda raw, rng: b"[" + raw + b"]",
    lambda raw, rng: raw * rng.randint(2, 5),
    lambda raw, rng: gzip.compress(raw),
    lambda raw, rng: raw.replace(b'"', b"'"),
    lambda raw, rng: raw.replace(b"}", b",}"),
    lambda raw, rng: re.sub(rb": (\"?\w+\"?)", lambda _: b": " + rng.choice(_NUMBERS), raw, count=rng.randint(1, 3)),
    lambda raw, rng: rng.choice(
        (b"", b" ", b"\0", b"null", b"1", b'"sent"', b"[]", b"{}", b"\xff\xfe", b"status=sent&a=b")
    ),
    lambda raw, rng: b"\\u00" + raw.replace(b"s", b"\\u0073"),
)
_NUMBERS = (
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"-0",
    b"01",
    b"0x1",
    b"9" * 5_000,
    b"1" + b"0" * 400,
    b"1.",
    b"+1",
    b"1e-999",
)


# Headers and raw requests


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request as bytes; `honest` is the callback it truly carries, if it carries one."""

    raw: bytes
    honest: load.Posted | None = None


def odd_headers(posted: load.Posted, rng: random.Random) -> Asked:
    """An authentic callback in odd company. A secret that stands there once is the right one."""
    line, *fields = posted.request(fresh=True).partition(b"\r\n\r\n")[0].split(b"\r\n")
    for _ in range(rng.randint(1, 6)):
        name, value = rng.choice(_ODD_FIELDS)
        fields.insert(rng.randrange(len(fields) + 1), name + b": " + (value or rng.randbytes(9).hex().encode()))
    rng.shuffle(fields)
    return Asked(raw=b"\r\n".join([line, *fields]) + b"\r\n\r\n" + posted.raw, honest=posted)


_ODD_FIELDS: tuple[tuple[bytes, bytes], ...] = tuple(
    (name, value)
    for name, values in {
        b"Content-Type": (
            b"text/plain",
            b"application/json; charset=utf-16",
            b"multipart/form-data",
            b"\xff",
            b"a/b/c;;=",
        ),
        b"Content-Encoding": (b"gzip", b"br, gzip", b"x" * 300, b"\xe9"),
        b"User-Agent": (b"\xd9\x88\xd8\xb5\xd9\x84", b"-" * 4_000, b"", b"a\tb"),
        b"X-OTPIQ-Webhook-Secret": (b"wrong", b"", b"\xff\xff"),
        b"X-OTPIQ-Webhook-Signature": (b"sha256=00", b"\xc3\xa9", b""),
        b"X-OTPIQ-Webhook-Timestamp": (b"1", b"9" * 13, "١٢٣".encode(), b"-1", b"nan"),
        b"X-OTPIQ-Webhook-Event": (b"delivered", b"\x80" * 50),
        b"X-Otpiq-" + b"Long" * 20: (b"v" * 5_000, b""),
        b"X-Forwarded-For": (b"1.2.3.4, \xff", b"::::", b"unknown"),
        b"X-Forwarded-Proto": (b"https, http", b"ftp"),
        b"X-Forwarded-Host": (b"evil.example", b"a:b:c"),
        b"X-Forwarded-Prefix": (b"/other", b"//"),
        b"X_OTPIQ_Webhook_Secret": (b"wrong",),
        b"Host": (b"", b"a b", b"[::1", b"x" * 300, b"\xff", b"evil.example@wasl"),
        b"Cookie": (b"session=" + b"e" * 4_000, b"=;=;=", b"session=\xff"),
        b"Accept-Language": (b"ar;q=x", b"*" * 500, b"\xff", b"en-" * 200),
        b"Authorization": (b"Basic =", b"Bearer \xff", b"Bearer " + b"k" * 4_000, b"Digest a=,b"),
        b"Idempotency-Key": (b"k" * 300, b"\x7f"),
        b"If-Modified-Since": (b"yesterday", b"Thu, 99 Jan 99999 00:00:00 GMT"),
        b"Range": (b"bytes=5-1,,", b"x"),
        b"Expect": (b"100-continue", b"more"),
        b"Connection": (b"upgrade, HTTP2-Settings", b"keep-alive", b"\xff"),
        b"Upgrade": (b"h2c", b"websocket"),
        b"Date": (b"",),
        b"!#$%&'*+-.^_`|~": (b"",),
    }.items()
    for value in values
)


@dataclass(frozen=True, kw_only=True)
class Lie:
    """Where a request says that it ends, and where it does. `means`: the body it truly has; None: it has to be refused.

    In the templates: `body` and `inner` (a whole second request), `length` and `size` of the body, `all` of what
    follows the head.
    """

    fields: bytes
    follows: bytes
    means: bytes | None = None

    def about(self, outer: load.Posted, inner: load.Posted) -> Asked:
        said: dict[bytes, object] = {b"body": outer.raw, b"inner": inner.request(fresh=True), b"length": len(outer.raw)}
        follows = self.follows % said
        line, host, secret, *_rest = outer.request().split(b"\r\n")
        fields = self.fields % (said | {b"all": len(follows)})
        honest = None if self.means is None else replace(outer, raw=self.means % said)
        return Asked(raw=b"\r\n".join([line, host, secret, fields, b"", follows]), honest=honest)


_CHUNKS = b"%(length)x\r\n%(body)b\r\n0\r\n\r\n"
_BOTH = b"%(body)b%(inner)b"
_NONE_THEN = b"0\r\n\r\n%(inner)b"
_LENGTH, _CHUNKED = b"Content-Length: %(length)d", b"Transfer-Encoding: chunked"


def _lines(text: str) -> list[bytes]:
    """One entry a line, with the escapes of a literal."""
    return [line.encode().decode("unicode_escape").encode("latin-1") for line in text.strip("\n").split("\n")]


_OTHER_LENGTHS = _lines(r"""
: %(length)d, %(length)d
: +%(length)d
: -1
: -%(length)d
: 0x10
: 1e2
:
: \xd9\xa9
: \xb2
: 1_0
: 1 0
: 1.0
: %(length)d;
: %(length)d\0
: %(length)d\r%(length)d
: 99999999999999999999999999999999999999999999999999999999999999999999999999999999999999
 : %(length)d
\t: %(length)d
\0: %(length)d
""")
_OTHER_CODINGS = _lines(r"""
Transfer-Encoding: chunked
Transfer-Encoding:\tchunked
Transfer-Encoding: CHUNKED
Transfer-Encoding : chunked
Transfer-Encoding\0: chunked
Transfer-Encoding: xchunked
Transfer-Encoding: chunked, identity
Transfer-Encoding: identity, chunked
Transfer-Encoding: gzip, chunked
Transfer-Encoding: "chunked"
Transfer-Encoding: chunked;q=1
Transfer-Encoding: \x0bchunked
Transfer-Encoding: \xff
Transfer-Encoding:\r\n chunked
Transfer-Encoding: identity\r\nTransfer-Encoding: chunked
 Transfer-Encoding: chunked
X: y\r\n Transfer-Encoding: chunked
X: y\nTransfer-Encoding: chunked
X: y\rTransfer-Encoding: chunked
""")
_BROKEN_CHUNKS = _lines(r"""
0x5\r\nhello\r\n0\r\n\r\n
-5\r\nhello\r\n0\r\n\r\n
+5\r\nhello\r\n0\r\n\r\n
5 \r\nhello\r\n0\r\n\r\n
 5\r\nhello\r\n0\r\n\r\n
1_0\r\nhello\r\n0\r\n\r\n
g\r\nhello\r\n0\r\n\r\n
\r\nhello\r\n0\r\n\r\n
\xd9\xa5\r\nhello\r\n0\r\n\r\n
5\nhello\r\n0\r\n\r\n
5\r\nhello0\r\n\r\n
4\r\nhello\r\n0\r\n\r\n
6\r\nhello\r\n0\r\n\r\n
ffffffff\r\nhello\r\n0\r\n\r\n
ffffffffffffffffffff\r\nhello\r\n0\r\n\r\n
5;a=b c\r\nhello\r\n0\r\n\r\n
5;a="\r\n"\r\nhello\r\n0\r\n\r\n
5;\n\r\nhello\r\n0\r\n\r\n
5\r\nhello\r\n0\n\n
5\r\nhello\r\n0\r\nno trailer\r\n\r\n
5\r\nhello\r\n0\r\n A: b\r\n\r\n
5\r\nhello\r\n0\r\nA: b\n\r\n
5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n
""")
_FIRST_LINES = _lines(r"""
POST
POST\x20
POST  / HTTP/1.1
POST / HTTP/0.9
POST / HTTP/2.0
POST / HTTP/1.10
POST / http/1.1
POST / HTTP/1.1 HTTP/1.1
POST\t/\tHTTP/1.1
POST /\0 HTTP/1.1
post / HTTP/1.1
GET * HTTP/1.1
GET http://wasl/healthz HTTP/1.1
GET //evil.example/%2e%2e/ HTTP/1.1
GET /%00%ff%zz HTTP/1.1
GET /\xd9\x88 HTTP/1.1
GET /?\xff HTTP/1.1
GET /messages?status=%ff&status[]=x HTTP/1.1
GET /static/../../etc/passwd HTTP/1.1
GET /static/%2e%2e%2f%2e%2e%2fREADME.md HTTP/1.1
HEAD / HTTP/1.1
OPTIONS /api/sms HTTP/1.1
TRACE / HTTP/1.1
CONNECT wasl:80 HTTP/1.1
PRI * HTTP/2.0
PROXY TCP4 1.2.3.4 1.2.3.4 1 2
POST /callbacks/otpiq/ HTTP/1.1
POST /callbacks/otpiq/%00 HTTP/1.1
PUT /callbacks/otpiq/x HTTP/1.1
\xff\xfe
\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03
""")
_BODY, _BOTH, _NONE_THEN = b"%(body)b", b"%(body)b%(inner)b", b"0\r\n\r\n%(inner)b"
_CHUNKS = b"%(length)x\r\n%(body)b\r\n0\r\n\r\n"
_LENGTH, _ALL, _CHUNKED = b"Content-Length: %(length)d", b"Content-Length: %(all)d", b"Transfer-Encoding: chunked"
LIES: tuple[Lie, ...] = (
    *(Lie(fields=_ALL + b"\r\n" + coding, follows=_NONE_THEN) for coding in _OTHER_CODINGS),
    *(Lie(fields=b"Content-Length" + length, follows=_BOTH) for length in _OTHER_LENGTHS),
    *(Lie(fields=_CHUNKED, follows=chunks + b"%(inner)b") for chunks in _BROKEN_CHUNKS),
    Lie(fields=_CHUNKED + b"\r\nContent-Length: 4", follows=b"%(length)x\r\n%(inner)b"),
    *(Lie(fields=one + b"\r\n" + other, follows=_BOTH) for one in (_LENGTH, _ALL) for other in (_LENGTH, _ALL)),
    # Never ended:
    *(Lie(fields=_CHUNKED, follows=_CHUNKS[:end]) for end in (-1, -2, -4, -5, -7)),
    *(Lie(fields=_CHUNKED, follows=short) for short in (b"", b"5", b"5\r\n", b"5\r\nhello", b"5" * 9_000)),
    Lie(fields=_CHUNKED, follows=b"0\r\n" + b"A: b\r\n" * 20_000),
    *(Lie(fields=_ALL + b"0", follows=_BODY), Lie(fields=_LENGTH, follows=b"")),
    # Odd, but they say plainly where they end:
    Lie(fields=_CHUNKED, follows=_CHUNKS, means=_BODY),
    Lie(fields=b"tRANSFER-eNCODING:chunked \t", follows=_CHUNKS, means=_BODY),
    Lie(fields=_CHUNKED, follows=b"0000" + _CHUNKS, means=_BODY),
    Lie(fields=_CHUNKED, follows=_CHUNKS.replace(b"\r\n", b';a="b;c";d\r\n', 1), means=_BODY),
    Lie(fields=_CHUNKED, follows=_CHUNKS[:-2] + b"X-OTPIQ-Webhook-Secret: no\r\n\r\n", means=_BODY),
    Lie(fields=b"Transfer_Encoding: chunked\r\n" + _ALL, follows=_NONE_THEN, means=_NONE_THEN),
    Lie(fields=b"X-Content-Length: 1\r\nContent-Length:\t%(all)d \t", follows=_BOTH, means=_BOTH),
    Lie(fields=b"Expect: 100-continue\r\n" + _LENGTH, follows=_BODY, means=_BODY),
    Lie(fields=b"Connection: close\r\n" + _LENGTH, follows=_BOTH, means=_BODY),
)


def raw_requests(posts: _Posts, rng: random.Random, count: int) -> list[Asked]:
    """All that are listed, then bent ones: with a wrong secret, for who knows what they say."""
    asked = [lie.about(posts.one(_body(rng)), posts.one(_body(rng))) for lie in LIES]
    asked += [Asked(raw=line + b"\r\nHost: wasl\r\nContent-Length: 2\r\n\r\n{}") for line in _FIRST_LINES]
    while len(asked) < count:
        strange = _without_secrets(asked[rng.randrange(len(LIES) + len(_FIRST_LINES))].raw)
        asked.append(Asked(raw=rng.choice((_flip, _splice, _cut))(strange, rng)))
    return asked


def _without_secrets(raw: bytes) -> bytes:
    return re.sub(rb"(?i)(webhook-secret: *)[\w-]+", rb"\1wrong", raw)


def _body(rng: random.Random) -> bytes:
    return json.dumps({**_DOCUMENTED[0], "more": rng.getrandbits(60)}).encode()


def _exchange_all(port: int, asked: Sequence[Asked], record: load.Record) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for one, codes in zip(asked, pool.map(lambda one: exchange(port, one.raw), asked), strict=True):
            _judge(one, codes, record)


def _judge(asked: Asked, codes: list[int], record: load.Record) -> None:
    # A transfer coding that is not known: RFC 9112 wants a 501.
    assert all(code < 500 or (code == 501 and b"ransfer" in asked.raw) for code in codes), (codes, asked.raw[:2_000])
    record.answers[" ".join(map(str, codes)) or "closed"] += 1
    if asked.honest is not None:
        record.attempted[asked.honest.pair] += 1
        if codes[:1] == [200]:
            record.acknowledged[asked.honest.pair] += 1


def exchange(port: int, raw: bytes) -> list[int]:
    """Send it, say that nothing follows, and return the final status codes of all that is answered, in time."""
    began_s, answer = time.monotonic(), b""
    with socket.create_connection(("127.0.0.1", port), timeout=_ENDS_WITHIN_S) as connection:
        try:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65_536):
                answer += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass
    assert time.monotonic() - began_s < _ENDS_WITHIN_S, raw[:2_000]
    return [code for found in _STATUS.findall(answer) if (code := int(found)) >= 200]


_STATUS = re.compile(rb"^HTTP/1\.[01] ([0-9]{3}) ", re.MULTILINE)
