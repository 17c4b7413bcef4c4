"""`wasl serve` beside those who send slowly, oddly, or never end, spoken to over raw sockets."""

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select

from webhook_app import accounts, schema
from webhook_app.database import Database
from webhook_app.ids import new_id
from webhook_app.models import Callback
from webhook_app.serving import THREADS
from webhook_app.stamp import Stamper

from .conftest import SECRET_KEY
from .running import serving, talk

BODY = b'{"smsId":"sms-1","deliveryReportType":"all","isFinal":true,"channel":"sms","status":"delivered"}'
LENGTH = f"Content-Length: {len(BODY)}"
CHUNKED = "Transfer-Encoding: chunked"
CLOSE = "Connection: close"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("serving")
    with serving(folder) as (_server, port):
        yield port
    assert "Traceback" not in (folder / "serve.log").read_text()


def head(*lines: str, secret: str | None = None) -> bytes:
    """Of an authentic callback, unless `secret` is another."""
    stamp = Stamper((SECRET_KEY,), "http://wasl").issue(new_id(datetime.now(UTC)))
    path = stamp.url.removeprefix("http://wasl")
    told = [f"POST {path} HTTP/1.1", "Host: wasl", f"X-OTPIQ-Webhook-Secret: {secret or stamp.secret}", *lines]
    return "\r\n".join(told).encode() + b"\r\n\r\n"


def chunked(body: bytes, trailers: bytes = b"") -> bytes:
    half = len(body) // 2
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:]))
    return chunks + b"0\r\n" + trailers + b"\r\n"


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=15)


def answers(received: bytes) -> list[int]:
    """Final ones: "100 Continue" is none."""
    return [int(found) for found in re.findall(rb"HTTP/1\.1 ([2-5][0-9]{2}) ", received)]


def read_answers(connection: socket.socket, count: int) -> list[int]:
    received = b""
    while len(answers(received)) < count or not received.endswith(b"}\n"):
        more = connection.recv(65536)
        assert more, received
        received += more
    return answers(received)


# Many at once


def test_callbacks_that_wait_for_their_commit_keep_no_thread_from_a_page(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "1") as (_server, port), contextlib.ExitStack() as opened:
        database = Database(f"sqlite:///{tmp_path / 'wasl.db'}")
        waiting = [opened.enter_context(connect(port)) for _ in range(2 * THREADS)]
        with database.writing():
            for connection in waiting:
                connection.sendall(head(LENGTH, CLOSE) + BODY)
            time.sleep(0.5)
            began_s = time.monotonic()
            assert answers(talk(port, f"GET /healthz HTTP/1.1\r\nHost: wasl\r\n{CLOSE}\r\n\r\n".encode())) == [200]
            assert time.monotonic() - began_s < 2
            waiting[0].settimeout(0.01)
            with pytest.raises(TimeoutError):
                waiting[0].recv(1)
            waiting[0].settimeout(15)
        assert [read_answers(connection, 1) for connection in waiting] == [[200]] * len(waiting)
        with database.reading() as session:
            assert session.scalar(select(func.count()).select_from(Callback)) == len(waiting)
        database.engine.dispose()


def test_sends_that_hang_keep_no_callback_waiting(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'wasl.db'}")
    schema.upgrade(database)
    _id, key = accounts.add_key(database, "shop", datetime.now(UTC))
    database.engine.dispose()
    body = b'{"phoneNumber": "9647701234567", "smsType": "verification", "verificationCode": "1234"}'
    send = f"POST /api/sms HTTP/1.1\r\nHost: wasl\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as silent, contextlib.ExitStack() as opened:
        otpiq = {"OTPIQ_API_KEY": "sk_dev_test", "OTPIQ_BASE_URL": f"http://127.0.0.1:{silent.getsockname()[1]}/api"}
        _server, port = opened.enter_context(serving(tmp_path, "--workers", "1", **otpiq))
        for _ in range(2 * THREADS):
            opened.enter_context(connect(port)).sendall(send.encode() + body)
        time.sleep(2)  # all threads are at it, and as many wait for one
        began_s = time.monotonic()
        assert answers(talk(port, head(LENGTH, CLOSE) + BODY)) == [200]
        assert time.monotonic() - began_s < 5


# Slow ones


@contextlib.contextmanager
def beside_the_slow(port: int) -> Iterator[list[socket.socket]]:
    """380 connections that give nothing for what they take; those that drip come first."""
    half_a_head = head(LENGTH)[:60]
    starts = [head(LENGTH) + b"{"] * 50 + [half_a_head] * 200 + [b""] * 100
    starts += [head(LENGTH, CLOSE, secret="wrong") + BODY] * 30  # and do not hang up
    stop = threading.Event()
    with contextlib.ExitStack() as opened:
        slow = [opened.enter_context(connect(port)) for _ in starts]
        for connection, start in zip(slow, starts, strict=True):
            connection.sendall(start)
        dripping = threading.Thread(target=drip, args=(slow[:50], stop))
        dripping.start()
        try:
            yield slow
        finally:
            stop.set()
            dripping.join()


def drip(connections: list[socket.socket], stop: threading.Event) -> None:
    while not stop.wait(1):
        for connection in connections:
            with contextlib.suppress(OSError):  # cut off by now
                connection.send(b" ")


def test_a_good_callback_is_answered_at_once_beside_hundreds_of_slow_ones_and_these_are_cut_off(port: int) -> None:
    began = time.monotonic()
    with beside_the_slow(port) as slow:
        took = []
        for _ in range(20):
            sent = time.monotonic()
            assert answers(talk(port, head(LENGTH, CLOSE) + BODY)) == [200]
            took.append(time.monotonic() - sent)
        assert max(took) < 2
        for connection in (slow[0], slow[60]):  # a body, and a head, that do not come
            connection.settimeout(20)
            with contextlib.suppress(ConnectionResetError):
                assert answers(connection.recv(65536)) in ([], [400], [408])
        assert 8 < time.monotonic() - began < 20
        assert answers(talk(port, head(LENGTH, CLOSE) + BODY)) == [200]


def test_those_who_do_not_read_what_they_asked_for_stop_nobody(port: int) -> None:
    with contextlib.ExitStack() as opened:
        for _ in range(200):
            greedy = opened.enter_context(socket.socket())
            greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            greedy.connect(("127.0.0.1", port))
            greedy.setblocking(False)
            greedy.send(b"GET /static/vendor/htmx.min.js HTTP/1.1\r\nHost: wasl\r\n\r\n" * 20)
        sent = time.monotonic()
        assert answers(talk(port, head(LENGTH, CLOSE) + BODY)) == [200]
        assert time.monotonic() - sent < 5


@pytest.mark.parametrize(
    "start",
    [
        b"Transfer-Encoding: chunked\r\n\r\nffff\r\n{\r\n0\r\n\r\n",
        b"Content-Length: 1234567890123456789\r\n\r\n{",
        b"Content-Length: 65537\r\n\r\n{",
        b"Expect: 100-continue\r\nContent-Length: 50\r\n\r\n",
    ],
    ids=["an end inside a chunk", "a length of 19 digits", "too long by one", "waits to go on"],
)
def test_those_who_announce_more_than_they_send_keep_no_thread(port: int, start: bytes) -> None:
    with contextlib.ExitStack() as opened:
        for _ in range(200):
            opened.enter_context(connect(port)).sendall(b"POST /sign-in HTTP/1.1\r\nHost: wasl\r\n" + start)
        sent = time.monotonic()
        assert answers(talk(port, head(LENGTH, CLOSE) + BODY)) == [200]
        assert time.monotonic() - sent < 2


# In pieces, and several at once


@pytest.mark.parametrize("size", [1, 7, 150])
def test_a_request_in_pieces_is_one_request(port: int, size: int) -> None:
    request = head(LENGTH, CLOSE) + BODY
    with connect(port) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(request), size):
            connection.sendall(request[start : start + size])
            time.sleep(0.001)
        assert read_answers(connection, 1) == [200]


def test_requests_sent_ahead_are_answered_each(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(
            b"".join((head(LENGTH) + BODY, head(CHUNKED) + chunked(BODY)) * 5) + head(LENGTH, CLOSE) + BODY
        )
        assert read_answers(connection, 11) == [200] * 11


def test_a_request_and_half_the_next_are_answered_as_they_come(port: int) -> None:
    first, second = head(LENGTH) + BODY, head(LENGTH) + BODY
    with connect(port) as connection:
        connection.sendall(first + second[:50])
        assert read_answers(connection, 1) == [200]
        connection.sendall(second[50:])
        assert read_answers(connection, 1) == [200]


def test_many_requests_on_one_connection_are_answered_each(port: int) -> None:
    with connect(port) as connection:
        for number in range(200):
            connection.sendall(head(CHUNKED) + chunked(BODY) if number % 2 else head(LENGTH) + BODY)
            assert read_answers(connection, 1) == [200]


def test_a_refused_one_does_not_end_a_kept_connection(port: int) -> None:
    with connect(port) as connection:
        for secret, code in ((None, 200), ("wrong", 401), (None, 200)):
            connection.sendall(head(LENGTH, secret=secret) + BODY)
            assert read_answers(connection, 1) == [code]


def test_who_says_close_is_hung_up_on(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(head(LENGTH, CLOSE) + BODY)
        assert read_answers(connection, 1) == [200]
        connection.settimeout(2)
        assert connection.recv(1) == b""


# Chunks


@pytest.mark.parametrize("trailers", [b"", b"X-Checksum: abc\r\n", b"X-OTPIQ-Webhook-Secret: wrong\r\nA: b\r\n"])
def test_chunks_with_and_without_trailers_are_a_body(port: int, trailers: bytes) -> None:
    with connect(port) as connection:
        for _ in range(2):
            connection.sendall(head(CHUNKED) + chunked(BODY, trailers))
            assert read_answers(connection, 1) == [200]


def test_chunks_one_at_a_time_are_a_body(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(head(CHUNKED, CLOSE))
        for piece in (b"%x\r\n" % len(BODY), BODY, b"\r\n", b"0\r\n", b"\r\n"):
            time.sleep(0.05)
            connection.sendall(piece)
        assert read_answers(connection, 1) == [200]


# Expect: 100-continue


@pytest.mark.parametrize("framing", [LENGTH, CHUNKED])
def test_who_waits_to_be_told_to_go_on_is_told(port: int, framing: str) -> None:
    with connect(port) as connection:
        connection.settimeout(3)
        connection.sendall(head(framing, "Expect: 100-continue"))
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY if framing == LENGTH else chunked(BODY))
        assert read_answers(connection, 1) == [200]
        connection.sendall(head(LENGTH) + BODY)  # the connection is in order
        assert read_answers(connection, 1) == [200]


def test_who_asks_whether_to_go_on_and_does_not_wait_is_answered(port: int) -> None:
    assert answers(talk(port, head(LENGTH, CLOSE, "Expect: 100-continue") + BODY)) == [200]


def test_who_waits_to_be_told_is_refused_right_away_when_the_body_is_too_big(port: int) -> None:
    with connect(port) as connection:
        connection.settimeout(3)
        connection.sendall(head(f"Content-Length: {70 * 1024}", "Expect: 100-continue"))
        assert read_answers(connection, 1) == [413]


# What is no request of ours


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /callbacks/otpiq/x HTTP/1.1\nHost: wasl\nContent-Length: 2\n\n{}",
        b"GET /healthz HTTP/1.1\r\nHost: wasl\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"\0" * 500 + b"\r\n\r\n",
        b"hello\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: wasl\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    ],
    ids=["bare LF", "LF CR LF", "TLS", "zeros", "a word", "blank lines", "two lengths"],
)
def test_garbage_is_answered_with_a_4xx_or_hung_up_on_soon(port: int, request_bytes: bytes) -> None:
    began = time.monotonic()
    codes = answers(talk(port, request_bytes))
    assert all(400 <= code < 500 for code in codes)
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("garbage", [b"\x80\x2e\x01\x03", b"x" * 300_000], ids=["a little", "a lot"])
def test_garbage_without_an_end_is_hung_up_on(port: int, garbage: bytes) -> None:
    with connect(port) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(garbage)
        assert all(400 <= code < 500 for code in answers(connection.recv(65536)))


@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("size", [70 * 1024, 1024 * 1024])
def test_who_sends_too_much_reads_the_413(port: int, framing: str, size: int) -> None:
    big = b"x" * size
    lines, body = ((f"Content-Length: {size}",), big) if framing == "length" else ((CHUNKED,), chunked(big))
    received = talk(port, head(*lines) + body)
    assert answers(received) == [413]
    assert set(json.loads(received.partition(b"\r\n\r\n")[2])) == {"message"}
