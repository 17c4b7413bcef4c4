"""The spool's files: what was appended is there, whatever stands beside it, and is handed over once."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from webhook_app.spool import Spool

Taken = list[tuple[str, int, list[bytes]]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "spool"


@pytest.fixture
def spool(folder: Path) -> Spool:
    return Spool(folder)


def drained(folder: Path) -> list[bytes]:
    """What a process that comes later finds."""
    taken: Taken = []
    Spool(folder).drain(lambda *batch: taken.append(batch))
    return [record for _name, _end, records in taken for record in records]


def numbered(count: int, prefix: str = "") -> list[bytes]:
    return [f"{prefix}{number}".encode() for number in range(count)]


def test_what_was_appended_is_there_for_the_next_process(spool: Spool, folder: Path) -> None:
    spool.append([b"one", b"two"])
    spool.append([b"three"])
    assert (Spool(folder).waiting(), Spool(folder).is_empty()) == (3, False)
    assert drained(folder) == [b"one", b"two", b"three"]


def test_a_spool_nobody_wrote_to_is_empty_and_leaves_no_folder(spool: Spool, folder: Path) -> None:
    assert (spool.waiting(), spool.is_empty(), drained(folder)) == (0, True, [])
    assert not folder.exists()


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b" ",
        b"00000000",
        b"\0" * 5000,
        bytes(range(10)) + bytes(range(11, 256)),
        "وصل\u2028".encode(),
        b"\r",
        b"x" * 200_000,
    ],
    ids=["empty", "blank", "like a checksum", "zeros", "every byte", "Arabic", "carriage return", "long"],
)
def test_a_record_may_hold_any_bytes_of_one_line(spool: Spool, folder: Path, record: bytes) -> None:
    spool.append([record, b"next"])
    assert drained(folder) == [record, b"next"]


@pytest.mark.parametrize("cut", [1, 5, 12, 20])
def test_an_append_that_broke_off_costs_itself_alone(spool: Spool, folder: Path, cut: int) -> None:
    spool.append([b"before"])
    spool.append([b"the one that breaks"])
    file = folder / "current"
    file.write_bytes(file.read_bytes()[:-cut])
    spool.append([b"after"])
    # Without its line's end a record is whole by its checksum: that it came is believed.
    assert drained(folder) == [b"before", *([b"the one that breaks"] if cut == 1 else []), b"after"]


@pytest.mark.parametrize("garbage", [b"\0" * 4096, b"\xff\xfe\n\n\n", b"no checksum\n", b"deadbeef wrong", b"\r\n\r\n"])
def test_garbage_between_appends_costs_itself_alone(spool: Spool, folder: Path, garbage: bytes) -> None:
    spool.append([b"before"])
    with (folder / "current").open("ab") as file:
        file.write(garbage)
    spool.append([b"after"])
    assert drained(folder) == [b"before", b"after"]


def test_one_changed_byte_costs_one_record(spool: Spool, folder: Path) -> None:
    spool.append([b"before", b"changed", b"after"])
    file = folder / "current"
    file.write_bytes(file.read_bytes().replace(b"changed", b"chanGed"))
    assert drained(folder) == [b"before", b"after"]


_APPENDING = """
import sys
from pathlib import Path
from webhook_app.spool import Spool
spool = Spool(Path(sys.argv[1]))
for number in range(50):
    spool.append([f"{sys.argv[2]}-{number}".encode(), b"x" * 3000])
"""


def test_processes_and_threads_append_at_once_beside_one_that_drains(spool: Spool, folder: Path) -> None:
    command = [sys.executable, "-c", _APPENDING, str(folder)]
    processes = [subprocess.Popen([*command, f"process{place}"]) for place in range(3)]

    def append(name: str) -> None:
        for number in range(50):
            spool.append([f"{name}-{number}".encode(), b"x" * 3000])

    threads = [threading.Thread(target=append, args=(f"thread{place}",)) for place in range(3)]
    for thread in threads:
        thread.start()
    found: list[bytes] = []
    while any(process.poll() is None for process in processes) or any(thread.is_alive() for thread in threads):
        found += drained(folder)
    found += drained(folder)
    assert [process.returncode for process in processes] == [0, 0, 0]
    names = [f"{kind}{place}-{number}" for kind in ("process", "thread") for place in range(3) for number in range(50)]
    assert sorted(record.decode() for record in found if record[:1] != b"x") == sorted(names)
    assert found.count(b"x" * 3000) == len(names)


def test_it_hands_over_in_batches_whose_ends_grow_and_then_removes_the_file(spool: Spool, folder: Path) -> None:
    spool.append(numbered(150))
    size, taken = (folder / "current").stat().st_size, Taken()
    spool.drain(lambda *batch: taken.append(batch))
    assert [record for _name, _end, records in taken for record in records] == numbered(150)
    assert len({name for name, _end, _records in taken}) == 1
    ends = [end for _name, end, _records in taken]
    assert len(ends) > 1
    assert ends == sorted(set(ends))
    assert ends[-1] == size
    assert (list(folder.iterdir()), spool.is_empty()) == ([], True)


def test_the_same_batches_come_again_under_the_same_name_after_a_fault(spool: Spool) -> None:
    """So whoever takes them can tell how far he was."""
    spool.append(numbered(150))
    first, again = Taken(), Taken()

    def fail_at_the_second(*batch: object) -> None:
        first.append(batch)  # type: ignore[arg-type]
        if len(first) == 2:
            raise RuntimeError("the store went away")

    with pytest.raises(RuntimeError, match="went away"):
        spool.drain(fail_at_the_second)
    assert (spool.waiting(), spool.is_empty()) == (150, False)
    spool.drain(lambda *batch: again.append(batch))
    assert again[:2] == first
    assert spool.is_empty()


def test_what_is_appended_during_a_drain_waits_for_the_next(spool: Spool, folder: Path) -> None:
    spool.append([b"one"])
    spool.drain(lambda *_batch: spool.append([b"two"]))
    assert drained(folder) == [b"two"]


def test_a_file_that_is_being_drained_is_left_to_who_drains_it(spool: Spool, folder: Path) -> None:
    spool.append([b"one"])
    by_another: list[list[bytes]] = []
    spool.drain(lambda *_batch: by_another.append(drained(folder)))
    assert by_another == [[]]
    assert spool.is_empty()


_DYING = """
import os, sys
from pathlib import Path
from webhook_app.spool import Spool
Spool(Path(sys.argv[1])).drain(lambda *batch: os._exit(9))
"""


def test_what_a_process_that_died_was_at_is_taken_up_by_the_next(spool: Spool, folder: Path) -> None:
    spool.append([b"one"])
    assert subprocess.run([sys.executable, "-c", _DYING, str(folder)]).returncode == 9
    spool.append([b"two"])
    assert sorted(drained(folder)) == [b"one", b"two"]


def test_where_no_folder_can_be_made_it_says_so_and_is_empty(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file")
    spool = Spool(tmp_path / "spool")
    with pytest.raises(OSError, match="File exists"):
        spool.append([b"one"])
    assert (spool.waiting(), spool.is_empty()) == (0, True)


_FULL = """
import resource, sys
from pathlib import Path
from webhook_app.spool import Spool
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
spool = Spool(Path(sys.argv[1]))
try:
    spool.append([b"fits", b"x" * 10_000])
except OSError as error:
    print(type(error).__name__, error.errno)
spool.append([b"small"])
"""


def test_an_append_that_finds_no_room_leaves_no_trace_and_room_for_a_smaller_one(spool: Spool, folder: Path) -> None:
    """A limit of the file's size stands for a disk that is full part way."""
    spool.append([b"before"])
    ended = subprocess.run([sys.executable, "-c", _FULL, str(folder), "5000"], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", "OSError 27\n")
    assert drained(folder) == [b"before", b"small"]


def test_nobody_else_on_the_machine_reads_it(spool: Spool, folder: Path) -> None:
    spool.append([b"one"])
    assert (folder.stat().st_mode & 0o777, (folder / "current").stat().st_mode & 0o777) == (0o700, 0o600)
