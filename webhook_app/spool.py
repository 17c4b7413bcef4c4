"""Where callbacks wait while the store is away: lines appended to a file in the data folder, synced before any answer.

Knows files and bytes, not callbacks. One file, `current`, takes what comes; whoever drains renames it first, so that
nobody appends to what is being taken. The processes of one machine share the folder.
"""

import contextlib
import fcntl
import os
import secrets
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from io import FileIO
from itertools import islice
from pathlib import Path

import structlog

_AT_ONCE = 64  # records handed over in one go

log = structlog.get_logger()


class Spool:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._current = folder / "current"
        self._aside = folder / "unreadable"

    def append(self, records: Sequence[bytes]) -> None:
        """On the disk when it returns. Raises OSError when it is not: no record may be answered for then.

        A record is one line: it holds no newline.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _sync_folder(self._folder.parent)
        with self._open_current() as file:
            end = file.seek(0, os.SEEK_END)
            try:
                # An append that broke off before must not swallow the next line: so each begins on a line of its own.
                _write_all(file, b"\n" + b"".join(map(_line, records)))
                os.fsync(file)
                _sync_folder(self._folder)  # a file nobody can find is not on the disk
            except OSError:
                with contextlib.suppress(OSError):
                    file.truncate(end)
                raise

    def waiting(self) -> int:
        """How many records wait to be taken; those of a file that is being taken count until it is done."""
        return sum(_count_lines(path) for path in (self._current, *self._closed()))

    def is_empty(self) -> bool:
        """Whether nothing waits; for whoever asks often."""
        return not self._current.exists() and not self._closed()

    def check(self) -> None:
        """Raise OSError when nothing could be appended now. Leaves nothing behind: who asks may be another user."""
        folder = self._folder if self._folder.exists() else self._folder.parent
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"?")
            file.flush()
            os.fsync(file.fileno())

    def prepare(self) -> None:
        """Make the folder now, as the one who will need it."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def lay_aside(self, record: bytes) -> None:
        """Keep what cannot be taken, out of the way of the others, for a person to look at."""
        with FileIO(os.open(self._aside, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600), "a") as file:
            _write_all(file, _line(record))
            os.fsync(file)
        _sync_folder(self._folder)

    def laid_aside(self) -> int:
        return sum(1 for _ in _records(self._aside))

    def drain(self, take: Callable[[str, int, list[bytes]], object]) -> list[str]:
        """Hand everything to `take` (the file's name, where in it these records end, the records), then remove it.

        Returns the names of the files removed. What `take` raises goes through, and the rest stays. A file that
        another process is at is left to it.
        """
        removed = []
        self._close_current()
        for path in self._closed():
            with _locked(path) as is_ours:
                if is_ours:
                    for end, records in _in_batches(_records(path)):
                        take(path.name, end, records)
                    path.unlink()
                    removed.append(path.name)
        if removed:
            _sync_folder(self._folder)
        return removed

    def _closed(self) -> list[Path]:
        return sorted(self._folder.glob("*.closed"))

    def _close_current(self) -> None:
        if self._current.exists():
            with self._open_current():
                self._current.rename(self._folder / f"{secrets.token_hex(8)}.closed")
                _sync_folder(self._folder)  # how far it is taken is noted under this name

    @contextlib.contextmanager
    def _open_current(self) -> Iterator[FileIO]:
        """The file that takes what comes, locked: the one that has the name, not one that was closed meanwhile."""
        while True:
            with FileIO(os.open(self._current, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600), "r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if _has_name(file, self._current):
                    yield file
                    return


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Whether the file is there and nobody else's, for as long as the block runs."""
    with contextlib.ExitStack() as opened:
        try:
            file = opened.enter_context(FileIO(path))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = _has_name(file, path)
        except (FileNotFoundError, BlockingIOError):
            is_ours = False
        yield is_ours


def _has_name(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _write_all(file: FileIO, data: bytes) -> None:
    while data:
        data = data[file.write(data) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _line(record: bytes) -> bytes:
    """With a checksum: of an append that broke off, only whole records are believed."""
    return b"%08x %s\n" % (zlib.crc32(record), record)


def _records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Each whole record of a file, and where it ends."""
    end = 0
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), path.open("rb") as file:
        for line in file:
            end += len(line)
            checksum, _, record = line.rstrip(b"\n").partition(b" ")
            if checksum == b"%08x" % zlib.crc32(record):
                yield end, record
            elif line != b"\n":
                log.warning("spool.broken_line", file=path.name, end=end)


def _count_lines(path: Path) -> int:
    """Without looking at the checksums: it is asked for with every page."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), path.open("rb") as file:
        return sum(line != b"\n" for line in file)
    return 0


def _in_batches(records: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, list[bytes]]]:
    while batch := list(islice(records, _AT_ONCE)):
        yield batch[-1][0], [record for _end, record in batch]
