"""gunicorn's worker, except that a request is given a thread only once it has arrived whole.

gunicorn lets a thread read what a client sends, without any limit of time: as many slow senders as there are threads,
or as many idle connections, and nobody else is answered. And its main loop itself waits, up to two seconds, for each
client that does not close its end. Here the main loop reads and never waits; a thread gets the bytes, parses them
(gunicorn's own parser: all that is decided here is when to stop waiting), and answers.

OTPIQ's callbacks wait for their commit, and no thread waits with them: one hands them to the door as they come, one
sends the answers of a whole batch.
"""

import contextlib
import errno
import gc
import re
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from selectors import EVENT_READ
from types import FrameType
from typing import Any

from gunicorn.http import Request, RequestParser, wsgi
from gunicorn.workers.gthread import TConn, ThreadWorker

from ..web import callbacks
from ..web.callbacks import Answer, Door
from ..web.context import MAX_BODY_BYTES
from .lane import Lane

WITHIN_S = 10.0  # from a request's first byte to its last
_LINGER_S = 2.0  # as gunicorn: what was answered last has to get through
_READ_BYTES = 64 * 1024
_MAX_BYTES = 2 * MAX_BODY_BYTES  # a head, a body, and what chunks cost
_MAX_HEAD_BYTES = 32 * 1024
_END_OF_HEAD = re.compile(rb"\n\r?\n")
# What is searched for here must cost no more than the bytes it is searched in: this is the event loop.
_FRAMING = re.compile(rb"\n(content-length|transfer-encoding)[ \t]*:([^\r\n]*)", re.IGNORECASE)
_EXPECTS = re.compile(rb"\nexpect[ \t]*:[ \t]*100-continue", re.IGNORECASE)
_LENGTH = re.compile(rb"[0-9]{1,9}")
# Whatever looks any other way goes the usual one.
_CALLBACK = re.compile(f"POST {callbacks.PATH}[0-9A-Za-z-]+ HTTP/1".encode())
_SEND_S = 0.5  # an answer of some hundred bytes has room in any buffer that is read from at all
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")


@dataclass(kw_only=True)
class Arriving:
    """One request, as far as it is here."""

    give_up_at_s: float  # monotonic
    data: bytearray = field(default_factory=bytearray)
    body_at: int = 0  # 0: the head has not ended yet
    length: int | None = 0  # of the body; None: it comes in chunks
    chunk_at: int = 0
    told_to_go_on: bool = False
    is_over: bool = False  # no more will come, or it would come too late
    ran_out: bool = False  # the parser asked for more than is here

    def is_whole(self) -> bool:
        """Whether there is nothing to wait for: it is complete, too long, or refused whatever follows."""
        if self.is_complete() or (self.length or 0) > MAX_BODY_BYTES + 1:
            return True
        return len(self.data) >= (_MAX_BYTES if self.body_at else _MAX_HEAD_BYTES)

    def is_complete(self) -> bool:
        """Whether the parser will ask for no more."""
        if not self.body_at and not self._read_head():
            return False
        if self.length is None:
            return self._has_last_chunk()
        return len(self.data) >= self.body_at + self.length

    def asks_to_go_on(self) -> bool:
        """Whether the sender waits for our word, not given yet, before it sends the body."""
        asks = bool(self.body_at and not self.told_to_go_on and _EXPECTS.search(self.data, 0, self.body_at))
        self.told_to_go_on |= asks
        return asks

    def for_parser(self) -> Iterator[bytes]:
        yield bytes(self.data)
        self.ran_out = True

    def _read_head(self) -> bool:
        end = _END_OF_HEAD.search(self.data)
        if end is None:
            return False
        self.body_at = self.chunk_at = end.end()
        framing = _FRAMING.findall(self.data, 0, self.body_at)
        if len(framing) == 1:  # two of them are refused
            name, value = framing[0][0], framing[0][1].strip()
            self.length = int(value) if _LENGTH.fullmatch(value) else 0 if name[:1] in b"cC" else None
        return True

    def _has_last_chunk(self) -> bool:
        while (line_end := self.data.find(b"\r\n", self.chunk_at)) >= 0:
            size = _CHUNK_SIZE.match(self.data, self.chunk_at, line_end)
            if size is None:
                return True
            if int(size[0], 16) == 0:
                return self.data.find(b"\r\n\r\n", line_end) >= 0  # trailers may come between
            self.chunk_at = line_end + 2 + int(size[0], 16) + 2
        return False


class Worker(ThreadWorker):  # type: ignore[misc]
    _has_left_one = False

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """One for pages and sends; callbacks have threads of their own, which no send that hangs can keep from them."""
        lanes = ThreadPoolExecutor(2, thread_name_prefix="callbacks")
        self._callbacks, self._answers = Lane(lanes, self._take), Lane(lanes, self._send)
        pool: ThreadPoolExecutor = super().get_thread_pool()
        return pool

    def load_wsgi(self) -> None:
        """What is loaded now stays: the garbage collector need not look at it again and again."""
        super().load_wsgi()
        self._has_door = isinstance(self.wsgi.wsgi_app, Door)
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 10, 10)

    def is_parent_alive(self) -> bool:
        """When the master is gone, let go of its port at once, for the next one, and see the connections off.

        gunicorn would keep both until its grace is over as long as somebody goes on asking over a kept connection.
        """
        if super().is_parent_alive():
            return True
        self.alive = False  # what is answered from now on says "Connection: close"
        self.set_accept_enabled(False)
        for listener in self.sockets:
            listener.close()
        return False

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """Ctrl-C ends it as any stop does: gunicorn would leave from wherever the signal happens to meet it."""
        self.handle_exit(sig, frame)

    def accept(self, listener: socket.socket) -> None:
        """Who comes now is left to another worker for one round while this one has requests under way: else whoever is
        awake first takes all that come together. With no file handle left he waits; gunicorn would let the whole worker
        die of it."""
        is_busy = self.nr_conns > len(self.keepalived_conns) + len(self.pending_conns)
        self._has_left_one = is_busy and not self._has_left_one
        if self._has_left_one:
            return
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            time.sleep(0.01)

    def enqueue_req(self, conn: TConn) -> None:
        """A connection is new, or has sent something; gunicorn's event loop calls this."""
        arriving: Arriving | None = getattr(conn, "arriving", None)
        if arriving is None:
            # With what came right behind the last request, which is no longer to be had from the socket.
            behind = conn.parser.unreader.take_buffered() if conn.parser else b""
            arriving = conn.arriving = Arriving(give_up_at_s=time.monotonic() + WITHIN_S, data=bytearray(behind))
        conn.sock.setblocking(False)
        if not arriving.is_whole() and not _read(conn.sock, arriving) and not arriving.body_at:
            self._drop(conn)
        elif arriving.is_whole() or arriving.is_over:
            conn.parser, conn.initialized = RequestParser(self.cfg, arriving.for_parser(), conn.client), True
            if self._has_door and arriving.is_complete() and _CALLBACK.match(arriving.data):
                self._callbacks.put(conn)
            else:
                super().enqueue_req(conn)
        elif arriving.data:
            if arriving.asks_to_go_on():
                with contextlib.suppress(OSError):
                    conn.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._hold(conn, self.pending_conns, self.on_pending_socket_readable, arriving.give_up_at_s)
        else:
            conn.arriving = None
            give_up_at_s = time.monotonic() + self.cfg.keepalive
            self._hold(conn, self.keepalived_conns, self.on_client_socket_readable, give_up_at_s)

    def handle_request(self, req: Request, conn: TConn) -> bool:
        """Runs in a thread."""
        if not conn.arriving.is_complete() or len(conn.arriving.data) > MAX_BODY_BYTES:
            req.force_close()  # and says so: gunicorn drops a connection of which it left much unread
        conn.sock.settimeout(WITHIN_S)  # a client that does not read must not keep the thread
        try:
            return bool(super().handle_request(req, conn))
        except TimeoutError:
            return False

    def _take(self, conns: Sequence[TConn]) -> None:
        """Hand callbacks to the door. Runs in a thread, and waits neither for a commit nor for a client."""
        for conn in conns:
            try:
                conn.sock.settimeout(_SEND_S)
                req = next(conn.parser)
                resp, environ = wsgi.create(req, conn.sock, conn.client, conn.server, self.cfg)
                is_full = len(self.keepalived_conns) >= self.max_keepalived
                if is_full or not self.alive or len(conn.arriving.data) > MAX_BODY_BYTES:
                    resp.force_close()
                answer = self.wsgi(environ | {"wsgi.multithread": True}, resp.start_response)
            except Exception:  # noqa: BLE001 - no good HTTP: gunicorn says what is wrong with it
                conn.parser = RequestParser(self.cfg, conn.arriving.for_parser(), conn.client)
                super().enqueue_req(conn)
            else:
                answer.when_known(partial(self._answers.put, (conn, resp, answer)))

    def _send(self, answered: Sequence[tuple[TConn, Any, Answer]]) -> None:
        """Answer a batch. Runs in a thread."""
        finished = []
        for conn, resp, answer in answered:
            done: Future[bool] = Future()
            try:
                for part in answer:
                    resp.write(part)
                done.set_result(not resp.should_close() and self._keepalive_after(conn, True))
            except Exception as fault:  # noqa: BLE001 - nobody reads it any more
                done.set_exception(fault)
            finished.append((conn, done))
        self.method_queue.defer(self._finish, finished)

    def _finish(self, finished: Sequence[tuple[TConn, "Future[bool]"]]) -> None:
        for conn, done in finished:
            self.finish_request(conn, done)

    def finish_request(self, conn: TConn, done: "Future[bool]") -> None:
        """A thread has answered: keep the connection, or see it off without waiting for the other side."""
        keep = not done.cancelled() and not done.exception() and done.result()
        # Had the parser asked for more than there was, what comes next would be the rest of it and no request.
        if keep and not conn.arriving.ran_out:
            conn.arriving = None
            super().finish_request(conn, done)
            return
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(conn)
        else:
            self._hold(conn, self.pending_conns, self._discard, time.monotonic() + _LINGER_S)

    def _discard(self, conn: TConn, client: socket.socket) -> None:
        """What still comes is thrown away: to close over it would reset the connection, and lose the answer."""
        with contextlib.suppress(OSError):
            if client.recv(_READ_BYTES):
                return
        self.poller.unregister(client)
        self.pending_conns.remove(conn)
        self._drop(conn)

    def _hold(
        self, conn: TConn, among: "deque[TConn]", then: Callable[[TConn, socket.socket], None], give_up_at_s: float
    ) -> None:
        """Nothing to do until it sends something or its time is up."""
        conn.timeout = give_up_at_s
        among.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(then, conn))

    def _drop(self, conn: TConn) -> None:
        self.nr_conns -= 1
        conn.close()


def _read(client: socket.socket, arriving: Arriving) -> bool:
    """Take what is there, without waiting; False when no more will come, or too late."""
    try:
        data = client.recv(_READ_BYTES)
    except BlockingIOError:
        return True
    except OSError:
        return False
    arriving.data += data
    arriving.is_over = not data or time.monotonic() >= arriving.give_up_at_s
    return not arriving.is_over
