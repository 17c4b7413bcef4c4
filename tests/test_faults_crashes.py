"""A crash, or an error, at the n-th write or sync of an ingest and of a send.

An ingest makes some fifty such calls, a send three times as many. `python -m tests.faults crashes --full` tries each
with every fault; here are some of them, from the first to the last, with one fault of each kind.
"""

from collections.abc import Iterator

import pytest

from .faults import disk
from .faults.crashes import CRASHES, DISK_ERRORS, LINE_ERRORS, Site, ingests, sends, site

pytestmark = pytest.mark.skipif(not disk.can_be_built(), reason="needs gcc")


@pytest.fixture
def here(store_url: str) -> Iterator[Site]:
    with site(store_url) as here:
        yield here


def test_a_crash_anywhere_in_an_ingest_loses_nothing_acknowledged(here: Site) -> None:
    ingests(here, CRASHES[0], step=3)


def test_a_crash_anywhere_in_a_send_sends_nothing_twice_and_hides_nothing(here: Site) -> None:
    sends(here, CRASHES[1], step=8)


def test_an_error_of_disk_or_line_is_never_answered_as_stored(here: Site) -> None:
    ingests(here, (DISK_ERRORS if here.database.is_sqlite else LINE_ERRORS)[0], step=2)


def test_an_error_that_stays_is_never_answered_as_sent(here: Site) -> None:
    sends(here, (DISK_ERRORS if here.database.is_sqlite else LINE_ERRORS)[1], step=16)
