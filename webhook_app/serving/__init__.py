"""gunicorn with Wasl's settings: what `wasl serve` and `wasl demo` run."""

import logging
import os
import resource
import socket
import time
from contextlib import suppress
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from .. import create_app, logs
from ..database import StoreAway
from ..settings import Settings
from ..web.context import MAX_BODY_BYTES
from .worker import Worker

THREADS = 80  # a send holds one until OTPIQ answers; a callback holds none while it waits for its commit
_GRACE_S = 20
_TELLS_EVERY_S = 5.0


class PortTaken(Exception):
    """Another program listens there."""


def serve(config: Settings, host: str, port: int, workers: int | None = None) -> None:
    """Serve until SIGINT or SIGTERM, then finish what is running. Raises PortTaken. Does not return otherwise."""
    require_free(host, port)
    logs.configure(config.log)
    _raise_handle_limit()
    _Server(config, host, port, workers or os.cpu_count() or 1).run()


def require_free(host: str, port: int) -> None:
    """Raise PortTaken now rather than let gunicorn try again and again."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortTaken(f"{host}:{port} cannot be used ({error.strerror}): choose another with --port") from None


def _raise_handle_limit() -> None:
    """As many as may be: a process's usual 1,024 are as many as its connections."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192) if hard > 0 else 8192, hard))


def _take_up(worker: Any) -> None:
    """The prices, so that already the first send in doubt has an estimate; and what waits in the spool."""
    house = worker.wsgi.extensions["wasl"]
    house.prices.refresh_aside()
    with suppress(OSError):  # the doctor and /readyz tell
        house.spool.prepare()
        house.inbox.take_up()


def _write_the_rest(_server: Any, worker: Any) -> None:
    if worker.wsgi is not None:
        with suppress(StoreAway):
            worker.wsgi.extensions["wasl"].refusals.close()


class _Logger(Logger):  # type: ignore[misc]
    """gunicorn's lines through our own format."""

    _told_at_s = 0.0

    def setup(self, _cfg: Any) -> None:
        self.error_log.handlers = []
        self.error_log.propagate = True
        self.error_log.setLevel(logging.WARNING)
        self.access_log.disabled = True

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Of a request that cannot be read gunicorn quotes what it read: a secret may stand there, and anybody may send
        any number of them."""
        if not msg.startswith("Invalid request"):
            super().warning(msg, *args, **kwargs)
        elif time.monotonic() - self._told_at_s > _TELLS_EVERY_S:
            self._told_at_s = time.monotonic()
            super().warning("Something came that is no HTTP, and was refused")


class _Server(BaseApplication):  # type: ignore[misc]
    def __init__(self, config: Settings, host: str, port: int, workers: int) -> None:
        self._config = config
        self._bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._workers = workers
        super().__init__()

    def load_config(self) -> None:
        chosen = {
            "bind": self._bind,
            "workers": self._workers,
            "worker_class": Worker,
            "threads": THREADS,
            "keepalive": 5,
            "graceful_timeout": _GRACE_S,
            "preload_app": False,  # each worker opens its own database connections: none may cross a fork
            "post_worker_init": _take_up,
            "worker_exit": _write_the_rest,
            "logger_class": _Logger,
            "control_socket_disable": True,
            "forwarder_headers": "",  # no caller may set SCRIPT_NAME or PATH_INFO
            "limit_request_line": 4094,
            "limit_request_field_size": min(8190, MAX_BODY_BYTES),
        }
        for name, value in chosen.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return create_app(self._config)
