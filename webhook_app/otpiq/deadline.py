"""One deadline for a whole HTTP call. httpx limits each read by itself, so an answer that drips would never end."""

import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx


class DeadlineTransport(httpx.HTTPTransport):
    """For one thread, without proxies or retries: nothing is waited for after `give_up_at_s` (monotonic)."""

    def __init__(self, context: ssl.SSLContext, *, keep_alive_s: float) -> None:
        super().__init__(verify=context, trust_env=False)
        self.give_up_at_s = 0.0
        # httpx has no door for a network backend of one's own; httpcore, which it drives, does.
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=2,
            max_keepalive_connections=1,
            keepalive_expiry=keep_alive_s,
            network_backend=_Backend(self),
        )

    def left_s(self, timeout: float | None) -> float:
        left = self.give_up_at_s - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("deadline")
        return left if timeout is None else min(timeout, left)


class _Backend(httpcore.SyncBackend):
    def __init__(self, deadline: DeadlineTransport) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        stream = super().connect_tcp(host, port, self._deadline.left_s(timeout), local_address, socket_options)
        return _Stream(stream, self._deadline)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: DeadlineTransport) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left_s(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left_s(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, self._deadline.left_s(timeout))
        return _Stream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
