"""Requests get a thread once they have arrived whole: nobody waits for those who send, read or leave slowly."""

import contextlib
import socket
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import RequestParser
from gunicorn.workers.gthread import ThreadWorker

from webhook_app.ids import new_id
from webhook_app.serving.worker import Arriving, Worker

from .faults.fuzz import LIES, Lie
from .faults.load import Posted
from .rows import NOW, callback
from .running import serving, talk

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
OUTER, INNER = (Posted(target_id=new_id(NOW), raw=callback(word)) for word in ("sent", "read"))


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with serving(tmp_path_factory.mktemp("arriving")) as (_server, port):
        yield port


def arrived(raw: bytes) -> Arriving:
    return Arriving(give_up_at_s=time.monotonic() + 10, data=bytearray(raw))


def parse(arriving: Arriving) -> None:
    """As a thread does: head and body."""
    next(RequestParser(Config(), arriving.for_parser(), ("127.0.0.1", 1))).body.read()


@pytest.mark.parametrize("raw", [HEALTH, OUTER.request(), *(lie.about(OUTER, INNER).raw for lie in LIES if lie.means)])
def test_a_request_is_whole_when_the_parser_asks_for_no_more(raw: bytes) -> None:
    begun = arrived(b"")
    for byte in raw:
        if begun.is_whole():
            break
        begun.data.append(byte)
    assert begun.is_whole()
    parse(begun)
    assert not begun.ran_out
    for length in range(0, len(begun.data), 7):
        assert not arrived(raw[:length]).is_whole()


@pytest.mark.parametrize("lie", [lie for lie in LIES if not lie.means], ids=lambda lie: repr(lie.fields[:40]))
def test_a_request_that_lies_is_refused_or_never_whole(lie: Lie) -> None:
    asked = arrived(lie.about(OUTER, INNER).raw)
    if asked.is_whole():
        with contextlib.suppress(Exception):
            parse(asked)
            assert asked.ran_out, "not refused, and the connection would be kept"


def test_requests_sent_at_once_are_answered_one_after_the_other(port: int) -> None:
    assert talk(port, HEALTH * 5 + LAST).count(b"HTTP/1.1 200 OK") == 6


def test_who_asks_whether_to_go_on_is_told(port: int) -> None:
    head, _, body = OUTER.request(fresh=True).partition(b"\r\n\r\n")
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(head + b"\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        answer = b"".join(iter(lambda: connection.recv(1000), b""))
        assert b"HTTP/1.1 200 OK" in answer


def test_clients_that_do_not_close_hold_up_nobody(port: int) -> None:
    with contextlib.ExitStack() as staying:
        for _ in range(20):
            connection = staying.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
            connection.sendall(LAST)
        began_s = time.monotonic()
        talk(port, LAST)
        assert time.monotonic() - began_s < 4


def test_a_worker_with_requests_under_way_leaves_a_newcomer_to_another_for_one_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: list[socket.socket] = []
    monkeypatch.setattr(ThreadWorker, "accept", lambda _worker, listener: taken.append(listener))
    worker: Any = object.__new__(Worker)
    worker.keepalived_conns, worker.pending_conns = deque(["idle"]), deque(["sending"])

    def accepts(under_way: int) -> bool:
        before = len(taken)
        worker.nr_conns = 2 + under_way
        with socket.socket() as listener:
            worker.accept(listener)
        return len(taken) > before

    assert [accepts(1) for _ in range(4)] == [False, True, False, True]
    assert [accepts(0) for _ in range(3)] == [True, True, True]


def test_a_body_that_breaks_its_own_rules_is_400(port: int) -> None:
    head = OUTER.request(fresh=True).partition(b"\r\nContent-Type")[0]
    assert talk(port, head + b"\r\nTransfer-Encoding: chunked\r\n\r\ng\r\n").startswith(b"HTTP/1.1 400 ")


def test_a_body_that_is_too_long_ends_the_connection(port: int) -> None:
    head = OUTER.request().partition(b"\r\nContent-Type")[0]
    answer = talk(port, head + b"\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000 + HEALTH)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length:" + b" " * 100_000 + b"x y",
        b"Content-Length" + b" " * 100_000,
        b"\nContent-Length:" * 7_000,
        b"Expect:" + b"\t" * 100_000,
        b"Transfer-Encoding: chunked\r\n\r\n" + b"0\r\n" * 30_000,
    ],
    ids=["spaces after", "spaces before", "many", "expect", "chunks"],
)
def test_looking_at_what_has_come_costs_no_more_than_its_bytes(head: bytes) -> None:
    """In the event loop, before any limit of the parser: a quadratic search would stop everybody for half a minute."""
    arriving = Arriving(give_up_at_s=0, data=bytearray(b"POST / HTTP/1.1\r\n" + head + b"\r\n\r\n"))
    began_s = time.thread_time()
    arriving.is_whole()
    arriving.asks_to_go_on()
    assert time.thread_time() - began_s < 1
