"""Bringing a store's schema up to date with the migrations, from a checkout or from an installed wheel."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from . import recounting
from .database import Database

_UPGRADE_LOCK = 7_351_001  # any number, the same in every process
_DERIVED_BATCHES = 40  # some seconds


def find_beside(name: str) -> Path:
    """A top-level folder of the checkout, or its copy inside the installed package."""
    package = Path(__file__).parent
    return package / name if (package / name).is_dir() else package.parent / name


def upgrade(database: Database) -> None:
    """Run what is missing. Several processes may start at once: one upgrades, the others wait and find it done."""
    with database.engine.begin() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _UPGRADE_LOCK})
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def upgrade_if_needed(database: Database) -> None:
    """Also count at once what a small store holds; of a large one a worker does the rest, and nobody waits for it."""
    if current(database) == newest():
        return
    upgrade(database)
    recounting.recount_slots(database)
    for _ in range(_DERIVED_BATCHES):
        if not recounting.derive_again(database):
            return


def current(database: Database) -> str | None:
    """The revision the store is at; None for an empty one."""
    with database.reading() as session:
        return MigrationContext.configure(session.connection()).get_current_revision()


def newest() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(find_beside("migrations")))
    return config
