"""What Wasl is measured against, served by gunicorn exactly as Wasl is: `python -m tests.benchmarks.serve KIND`."""

import argparse
import os
from collections.abc import Callable
from typing import Any

from flask import Flask

from webhook_app import counting, create_app, logs, serving, settings
from webhook_app.settings import Settings

from .floor import create_floor
from .orm_view import create_orm_view


def create_uncounted(config: Settings) -> Flask:
    """Wasl, but for its counts."""
    counting.append = lambda _connection, _changes: None  # type: ignore[assignment]
    return create_app(config)


KINDS: dict[str, Callable[[Settings], Flask]] = {
    "floor": create_floor,
    "orm": create_orm_view,
    "uncounted": create_uncounted,
}


class Server(serving._Server):
    """Wasl's server with another app in it."""

    def __init__(self, create: Callable[[Settings], Flask], config: Settings, port: int, workers: int) -> None:
        self._create = create
        super().__init__(config, "127.0.0.1", port, workers)

    def load_config(self) -> None:
        super().load_config()
        self.cfg.set("post_worker_init", _nothing)

    def load(self) -> Flask:
        return self._create(self._config)


def _nothing(_worker: Any) -> None:
    """These apps read no prices."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    chosen = parser.parse_args()
    config = settings.load()
    logs.configure(config.log)
    Server(KINDS[chosen.kind], config, chosen.port, chosen.workers).run()


if __name__ == "__main__":
    main()
