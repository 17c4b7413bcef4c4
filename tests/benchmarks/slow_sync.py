"""A disk that is as slow as one likes: `slow_sync.c`, compiled and preloaded into a server."""

import mmap
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

SOURCE = Path(__file__).with_name("slow_sync.c")
_PROBE = "import os, tempfile; file = tempfile.TemporaryFile(); [os.fdatasync(file.fileno()) for _ in range(20)]"


class SlowSync:
    """Counts the syncs of every process started with `environment`, and makes each longer while told to."""

    def __init__(self, folder: Path, name: str) -> None:
        library, self._path = folder / "slow_sync.so", folder / f"{name}.syncs"
        if not library.exists():
            subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
        self._path.write_bytes(bytes(16))
        for path, mode in ((folder, 0o755), (library, 0o755), (self._path, 0o666)):
            path.chmod(mode)  # as root, PostgreSQL runs as another user
        with self._path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), 16)
        self.environment = {"LD_PRELOAD": str(library), "SLOW_SYNC": str(self._path)}

    @property
    def syncs(self) -> int:
        """How many there were since the start."""
        (syncs,) = struct.unpack_from("=Q", self._shared, 0)
        return int(syncs)

    def add(self, milliseconds: float) -> None:
        struct.pack_into("=Q", self._shared, 8, int(milliseconds * 1000))


def require_slowness(folder: Path, milliseconds: float) -> None:
    """Raise when the library is not in the way of syncs, or does not slow them: a figure would be a lie."""
    probe = SlowSync(folder, "probe")
    probe.add(milliseconds)
    started_s = time.monotonic()
    subprocess.run([sys.executable, "-c", _PROBE], env=os.environ | probe.environment, check=True)
    took_s = time.monotonic() - started_s
    if probe.syncs < 20 or took_s < 20 * milliseconds / 1000:
        raise RuntimeError(f"slow_sync.c does not slow: {probe.syncs} syncs seen of 20, in {took_s:.3f} s")
