"""The store is away under load, or the disk is full; `python -m tests.faults away --full` takes a minute of each."""

import pytest

from webhook_app.database import Database

from .faults.away import Site, can_mount, fill_disk, prepared, ride_out, ride_out_restarts, troubles

AWAY_S = 5.0


@pytest.fixture
def site(database: Database, store_url: str) -> Site:
    return prepared(database, store_url)


def test_what_comes_while_the_store_is_away_is_kept_and_stored_once(site: Site) -> None:
    for trouble in troubles(site.database, site.url).values():
        print(ride_out(site, trouble, AWAY_S))


def test_what_comes_while_postgresql_restarts_is_kept_and_stored_once(site: Site) -> None:
    if site.database.is_sqlite:
        pytest.skip("SQLite has no server")
    print(ride_out_restarts(site, 2))


def test_on_a_full_disk_nobody_is_told_that_anything_was_kept(site: Site) -> None:
    if not can_mount():
        pytest.skip("a small disk cannot be mounted here")
    print(fill_disk(site))
