"""A server on a real port that answers what a test wrote down: for answers no honest simulator gives."""

import json
import socket
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

Part = bytes | float  # bytes to send, or seconds to wait
Answer = Sequence[Part] | Callable[[bytes], Sequence[Part]]


def answer(status: int, body: object, *headers: str) -> list[Part]:
    """One whole HTTP answer; `body` is JSON to be, or bytes as they are."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/1.1 {status} Scripted", f"Content-Length: {len(raw)}", "Connection: close", *headers]
    return ["\r\n".join(head).encode() + b"\r\n\r\n" + raw]


def accepted(sms_id: str = "sms-1234567890abcdef123456", **changes: Any) -> list[Part]:
    """The documented answer to a send."""
    body = {"message": "SMS task created successfully", "smsId": sms_id, "remainingCredit": 14800, "cost": 200}
    return answer(200, body | {"canCover": True, "paymentType": "prepaid"} | changes)


class Scripted:
    """Answers the n-th request with the n-th answer, the last one for ever after, and remembers all it was sent."""

    def __init__(self, *answers: Answer) -> None:
        self.requests: list[bytes] = []
        self._answers = list(answers)
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/api"

    def bodies(self) -> list[Any]:
        return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in self.requests]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            request = _read(connection)
            if not request:
                return
            self.requests.append(request)
            script = self._answers[min(len(self.requests), len(self._answers)) - 1]
            for part in script(request) if callable(script) else script:
                try:
                    self._over.wait(part) if isinstance(part, float) else connection.sendall(part)
                except OSError:  # the caller has left
                    return


def _read(connection: socket.socket) -> bytes:
    request = b""
    while b"\r\n\r\n" not in request:
        if not (chunk := connection.recv(65536)):
            return b""
        request += chunk
    head, _, body = request.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body
