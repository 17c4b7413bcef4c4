"""The power goes at any moment of a run of callbacks; `python -m tests.faults powercut` cuts it 10,000 times."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .faults import disk
from .faults.driver import Driver, driving
from .faults.powercut import cut, record, record_spooling

pytestmark = pytest.mark.skipif(not disk.can_be_built(), reason="needs gcc")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    with driving(tmp_path_factory.mktemp("driver")) as driver:
        yield driver


@pytest.fixture
def empty(migrated_sqlite: Path) -> str:
    return f"sqlite:///{migrated_sqlite}"


def test_what_was_acknowledged_is_there_after_a_power_cut(driver: Driver, empty: str, tmp_path: Path) -> None:
    cut(record(driver, empty, tmp_path, callbacks=120), tmp_path / "left", cuts=120)


def test_what_waited_in_the_spool_is_there_after_a_power_cut_and_counted_once(
    driver: Driver, empty: str, tmp_path: Path
) -> None:
    cut(record_spooling(driver, empty, tmp_path, callbacks=60), tmp_path / "left", cuts=80)


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_the_harness_sees_what_a_store_loses_that_does_not_sync(
    driver: Driver, empty: str, tmp_path: Path, synchronous: str
) -> None:
    recording = record(driver, empty, tmp_path, callbacks=60, pragma=f"synchronous = {synchronous}")
    with pytest.raises(AssertionError, match="after a cut"):
        cut(recording, tmp_path / "left", cuts=200)
