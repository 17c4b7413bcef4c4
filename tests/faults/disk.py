"""A disk that keeps account: what programs told it, and what would be left of that if the power went now.

`disk.c` stands in front of the real one, counts, fails and writes down; `driver` is the program it is put in front of.
What a cut leaves is decided as strictly as POSIX allows: only what was synced is sure. Everything else is there, not
there, or there in parts, sector by sector; a new file's name is sure only once its folder was synced.
"""

import ctypes
import random
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

CRASH, CRASH_HALFWAY = -1, -2  # disk.c's, beside the errnos
_SECTOR = 512
_HEAD = struct.Struct("=cQQII")
_SOURCE = Path(__file__).with_name("disk.c")


@cache
def library() -> Path:
    """disk.c, built for this machine."""
    built = Path(tempfile.mkdtemp(prefix="wasl-disk-")) / "disk.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", built, _SOURCE, "-ldl"], check=True)
    return built


def can_be_built() -> bool:
    return shutil.which("gcc") is not None


def files_in(folder: Path) -> dict[str, bytes]:
    """The files below a folder, by their paths; without what SQLite makes anew."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("-shm"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


class Shim:
    """disk.c from inside the process it was loaded into by LD_PRELOAD."""

    def __init__(self) -> None:
        self._calls = ctypes.CDLL(None)

    def watch(self, folder: str, record_at: str = "") -> None:
        self._calls.disk_watch(folder.encode(), record_at.encode())

    def fail(self, at: int, how: int, *, on: bool) -> None:
        """Let call number `at` from now (and with `on` all after it) end in a crash or an errno; 0: count only."""
        self._calls.disk_fail(at, how, on)

    def calls(self) -> int:
        return int(self._calls.disk_calls())

    def note(self, words: str) -> None:
        """Write words into the record, after all that was done before them."""
        self._calls.disk_note(words.encode())


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One call that was made: its kind as in disk.c."""

    kind: str
    file: int
    offset: int
    path: str
    data: bytes


def read_records(path: Path) -> Iterator[Record]:
    with path.open("rb") as trace:
        while head := trace.read(_HEAD.size):
            kind, file, offset, path_bytes, data_bytes = _HEAD.unpack(head)
            words = trace.read(path_bytes).decode()
            yield Record(kind=kind.decode(), file=file, offset=offset, path=words, data=trace.read(data_bytes))


@dataclass(kw_only=True, slots=True, eq=False)
class _File:
    safe: bytearray = field(default_factory=bytearray)
    ops: list["_Op"] = field(default_factory=list)


@dataclass(kw_only=True, slots=True, eq=False)
class _Folder:
    safe: dict[str, "_File | _Folder"] = field(default_factory=dict)
    live: dict[str, "_File | _Folder"] = field(default_factory=dict)  # as programs see it
    ops: list["_Op"] = field(default_factory=list)


@dataclass(kw_only=True, slots=True)
class _Op:
    """What was done since the last sync. `is_doubtful`: a sync of it failed, and then a later one proves nothing."""

    record: Record
    node: "_File | _Folder | None" = None  # what a name was given to
    is_sure: bool = False
    is_doubtful: bool = False


class Disk:
    """One folder's files; `apply` each record in turn."""

    def __init__(self, folder: Path) -> None:
        """The folder as it stands, all of it sure."""
        self._path = folder
        self._nodes: dict[int, _File | _Folder] = {}
        self._root = self._found(folder)

    def apply(self, record: Record) -> None:
        if record.kind in "WT":
            self._nodes[record.file].ops.append(_Op(record=record))
        elif record.kind in "SF" and record.file in self._nodes:
            _sync(self._nodes[record.file], failed=record.kind == "F")
        elif record.kind in "CD":
            self._make(record)
        elif record.kind in "UR":
            self._name(record)

    def left(self, rng: random.Random | None = None) -> dict[str, bytes]:
        """The files a cut leaves now, by their paths below the folder. Without `rng`: what is sure, and no more."""
        keeps = rng.choice((0.0, 0.1, 0.5, 0.9, 1.0)) if rng else 0.0
        return dict(_files_of(_left_of_folder(self._root, rng, keeps), rng, keeps))

    def seen(self) -> dict[str, bytes]:
        """The files as programs see them."""
        return dict(_files_of(self._root.live, None, 1.0))

    def _found(self, path: Path) -> _Folder:
        folder = _Folder()
        self._nodes[path.stat().st_ino] = folder
        for entry in path.iterdir():
            if entry.is_dir():
                folder.safe[entry.name] = self._found(entry)
            elif not entry.name.endswith("-shm"):
                folder.safe[entry.name] = self._nodes[entry.stat().st_ino] = _File(safe=bytearray(entry.read_bytes()))
        folder.live = dict(folder.safe)
        return folder

    def _make(self, record: Record) -> None:
        folder, name = self._place(record.path)
        if name not in folder.live or self._nodes.get(record.file) is not folder.live[name]:
            folder.live[name] = self._nodes[record.file] = _File() if record.kind == "C" else _Folder()
            folder.ops.append(_Op(record=record, node=folder.live[name]))

    def _name(self, record: Record) -> None:
        """A rename is one step, as file systems promise; both names are in one folder here."""
        folder, name = self._place(record.path)
        node = folder.live.pop(name)
        if record.kind == "R":
            to, new_name = self._place(record.data.decode())
            assert to is folder, "renamed across folders: a cut could leave both names, which is not told here"
            folder.live[new_name] = node
        folder.ops.append(_Op(record=record, node=node))

    def _place(self, path: str) -> tuple[_Folder, str]:
        *folders, name = Path(path).relative_to(self._path).parts
        place = self._root
        for part in folders:
            below = place.live[part]
            assert isinstance(below, _Folder)
            place = below
        return place, name


def _sync(node: _File | _Folder, *, failed: bool) -> None:
    for op in node.ops:
        op.is_doubtful = op.is_doubtful or (failed and not op.is_sure)
        op.is_sure = op.is_sure or not (failed or op.is_doubtful)
    while node.ops and node.ops[0].is_sure:
        _do(node.safe, node.ops.pop(0))


def _left_of_folder(folder: _Folder, rng: random.Random | None, keeps: float) -> dict[str, _File | _Folder]:
    names = dict(folder.safe)
    for op in folder.ops:
        if op.is_sure or _happens(rng, keeps):
            _do(names, op)
    return names


def _files_of(
    names: dict[str, _File | _Folder], rng: random.Random | None, keeps: float, above: str = ""
) -> Iterator[tuple[str, bytes]]:
    for name, node in names.items():
        if isinstance(node, _File):
            yield above + name, bytes(_left_of_file(node, rng, keeps))
        else:
            below = node.live if rng is None and keeps else _left_of_folder(node, rng, keeps)
            yield from _files_of(below, rng, keeps, f"{above}{name}/")


def _left_of_file(file: _File, rng: random.Random | None, keeps: float) -> bytearray:
    content = bytearray(file.safe)
    for op in file.ops:
        is_torn = rng is not None and not op.is_sure and op.record.kind == "W" and rng.random() < 0.5
        if is_torn:
            for sector in _sectors(op.record):
                if _happens(rng, keeps):
                    _do(content, sector)
        elif op.is_sure or _happens(rng, keeps):
            _do(content, op)
    return content


def _happens(rng: random.Random | None, keeps: float) -> bool:
    return keeps == 1 or (rng is not None and rng.random() < keeps)


def _sectors(record: Record) -> Iterator[_Op]:
    begin, end = record.offset, record.offset + len(record.data)
    while begin < end:
        stop = min(end, (begin // _SECTOR + 1) * _SECTOR)
        data = record.data[begin - record.offset : stop - record.offset]
        yield _Op(record=Record(kind="W", file=record.file, offset=begin, path="", data=data))
        begin = stop


def _do(state: bytearray | dict[str, "_File | _Folder"], op: _Op) -> None:
    record = op.record
    if isinstance(state, bytearray):
        _do_to_file(state, record)
    elif record.kind == "U":
        state.pop(Path(record.path).name, None)
    elif record.kind == "R":
        state.pop(Path(record.path).name, None)
        state[Path(record.data.decode()).name] = op.node  # type: ignore[assignment]
    else:
        state[Path(record.path).name] = op.node  # type: ignore[assignment]


def _do_to_file(content: bytearray, record: Record) -> None:
    end = record.offset + len(record.data)
    if record.kind == "T":
        del content[record.offset :]
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    content[record.offset : end] = record.data
