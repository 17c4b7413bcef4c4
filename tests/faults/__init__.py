"""Fault runs: Wasl as it runs, under load, while something goes wrong; one checker says whether the promise held.

`python -m tests.faults` lists the runs and runs them; each has a short tier in the suite (`tests/test_faults_*.py`).
A run is a module here with `run(share, stores)`: it yields the lines of its report, and raises AssertionError when the
promise did not hold. `share` is the part of the full run to do; `stores` the stores to do it on, empty and migrated.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from webhook_app.database import Database

Stores = Mapping[str, str]  # the address by the store's name


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """The store, for as long as the block lasts, however it ends."""
    database = Database(url)
    try:
        yield database
    finally:
        database.engine.dispose()
