"""gunicorn's threaded worker, but a request is given a thread when all of it is here, not when its caller connects.

gunicorn reads heads and bodies in its threads, without a limit of time, and closes connections in its one event loop,
waiting for the caller. So a hundred callers who send a byte a second, or nothing, or do not hang up, stop everybody.
Here they wait in the event loop and cost nothing else.
"""

import gc
import re
import selectors
import socket
import time
from collections import deque
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

from ..web.context import MAX_BODY_BYTES

_REQUEST_WITHIN_S = 10.0
_LINGER_S = 2.0  # for a caller still sending, so that he reads our answer instead of a reset connection
_MOST_BYTES = MAX_BODY_BYTES * 2  # with room for the head; what is longer the parser refuses
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_LAST_CHUNK = re.compile(rb"\r\n0+(;[^\r\n]*)?\r\n([^\r\n]+\r\n)*\r\n\Z")


class _Connection(TConn):  # type: ignore[misc]
    received = b""
    is_whole = False  # all of the request was received before a thread took it
    is_cut = False  # nothing more is read from it

    def hand_over(self) -> None:
        """Give the parser what was received."""
        self.init()
        self.parser.unreader.unread(self.received)
        self.received = b""


class Worker(ThreadWorker):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_threads: set[_Connection] = set()
        self._lingering: deque[_Connection] = deque()

    def load_wsgi(self) -> None:
        """What is loaded now stays: the garbage collector need not look at it again and again."""
        super().load_wsgi()
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)

    def accept(self, listener: socket.socket) -> None:
        try:
            sock, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # another worker was faster, or the caller went away
            return
        self.nr_conns += 1
        self._await_request(_Connection(self.cfg, sock, address, listener.getsockname()))

    def on_client_socket_readable(self, conn: _Connection, sock: socket.socket) -> None:
        """The next request on a kept connection begins; as a rule it is here in one piece."""
        self.poller.unregister(sock)
        self.keepalived_conns.remove(conn)
        if _receive(conn):
            self._to_thread(conn)
        else:
            self._await_request(conn)

    def _await_request(self, conn: _Connection) -> None:
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + _REQUEST_WITHIN_S
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._on_bytes, conn))

    def _on_bytes(self, conn: _Connection, sock: socket.socket) -> None:
        if _receive(conn):
            self.poller.unregister(sock)
            self.pending_conns.remove(conn)
            self._to_thread(conn)

    def _to_thread(self, conn: _Connection) -> None:
        """Or away with it, when not even a head has come."""
        if conn.received and (conn.is_whole or _HEAD_END.search(conn.received) or len(conn.received) > _MOST_BYTES):
            conn.hand_over()
            self.enqueue_req(conn)
        else:
            self.nr_conns -= 1
            conn.close()

    def enqueue_req(self, conn: _Connection) -> None:
        conn.timeout = time.monotonic() + _REQUEST_WITHIN_S
        self._in_threads.add(conn)
        super().enqueue_req(conn)

    def murder_pending(self) -> None:
        """Called with every turn of the loop: end the waiting for what does not come."""
        now_s = time.monotonic()
        # Who stops waits less long for those who have connected and say nothing.
        waited_s = now_s if self.alive else now_s + _REQUEST_WITHIN_S - _LINGER_S
        while self.pending_conns and self.pending_conns[0].timeout < waited_s:
            conn = self.pending_conns.popleft()
            self.poller.unregister(conn.sock)
            self._to_thread(conn)
        while self._lingering and self._lingering[0].timeout < now_s:
            self._hang_up(self._lingering.popleft())
        for conn in self._in_threads:
            if conn.timeout < now_s and not conn.is_whole and not conn.is_cut:
                conn.is_cut = True
                _shut(conn.sock, socket.SHUT_RD)  # the thread that reads sees an end; what it writes still goes out

    def _keepalive_after(self, conn: _Connection, keepalive: bool) -> bool:
        """A thread does not wait for the rest of a body nobody wants."""
        return bool(super()._keepalive_after(conn, keepalive and conn.is_whole))

    def finish_request(self, conn: _Connection, future: Any) -> None:
        self._in_threads.discard(conn)
        if not future.cancelled() and future.exception() is None and future.result():
            conn.is_whole = False  # the next request may have begun
            super().finish_request(conn, future)
        elif conn.is_whole:
            self._hang_up(conn)
        else:
            self._linger(conn)

    def _linger(self, conn: _Connection) -> None:
        """Read on without a thread until the caller has hung up, for a moment."""
        _shut(conn.sock, socket.SHUT_WR)
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + _LINGER_S
        self._lingering.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._discard, conn))

    def _discard(self, conn: _Connection, sock: socket.socket) -> None:
        try:
            ended = not sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            ended = True
        if ended:
            self._lingering.remove(conn)
            self._hang_up(conn)

    def _hang_up(self, conn: _Connection) -> None:
        with suppress(KeyError, ValueError):  # it comes from a thread
            self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()


def _receive(conn: _Connection) -> bool:
    """Take what has come; whether there is nothing to wait for any more."""
    try:
        received = conn.sock.recv(65536)
    except BlockingIOError:
        return False
    except OSError:
        received = b""
    conn.received += received
    conn.is_whole = _is_whole(conn.received)
    return conn.is_whole or not received or len(conn.received) > _MOST_BYTES or _is_too_long(conn.received)


def _is_whole(received: bytes) -> bool:
    """Whether the head, and the body it announces, are here. What is odd goes on as it is: the parser refuses it."""
    end = _HEAD_END.search(received)
    if end is None:
        return False
    head = received[: end.end()]
    if _CHUNKED.search(head):
        return _LAST_CHUNK.search(received, end.start()) is not None
    length = _LENGTH.search(head)
    return length is None or len(received) - end.end() >= int(length[1])


def _is_too_long(received: bytes) -> bool:
    """Whether the head announces more than will be read, so that nobody need wait for it."""
    length = _LENGTH.search(received)
    return length is not None and int(length[1]) > MAX_BODY_BYTES and _HEAD_END.search(received) is not None


def _shut(sock: socket.socket, how: int) -> None:
    with suppress(OSError):  # the caller was faster
        sock.shutdown(how)
