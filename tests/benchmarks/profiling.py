"""Where a callback's microseconds go in Wasl's web workers, as py-spy sees it, from outside and under load."""

import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from . import traffic
from .contenders import Contender, Entry, Round, started

_SAMPLES_A_SECOND = 200
_SHOWN = 20
# What stands below gunicorn's own loop.
_STARTERS = ("webhook_app/__main__", "webhook_app/cli/", "webhook_app/serving", "tests/benchmarks/serve.")


def profile(folder: Path, stores: Sequence[str], seconds: int) -> None:
    """Print, for the floor and for Wasl on each store, what holds the interpreter, by microseconds of a callback."""
    spy = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if spy is None:
        raise SystemExit("py-spy is not installed: pip install py-spy")
    messages, requests = traffic.prepare(5_000 * (2 * seconds + 2))
    entries = [Entry(kind="floor"), *(Entry(kind="wasl", store=store) for store in stores)]
    with started(entries, messages, folder) as contenders:
        for contender in contenders:
            contender.meet(requests, folder, 1)
            alone = contender.meet(requests, folder, seconds)
            stacks, watched = _watch(spy, contender, requests, folder, seconds)
            _print(contender, alone, stacks, watched)


def _watch(
    spy: str, contender: Contender, requests: Sequence[bytes], folder: Path, seconds: int
) -> tuple[Counter[str], Round]:
    """Stacks seen holding the interpreter's lock, root first, and what the load saw meanwhile."""
    command = [spy, "record", "--subprocesses", "--gil", "--format", "raw"]
    command += ["--pid", str(contender.processes.leader), "--rate", str(_SAMPLES_A_SECOND)]
    command += ["--duration", str(seconds + 60), "--output", str(folder / "stacks")]
    with (folder / "py-spy.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as watcher:
        watched = contender.meet(requests, folder, seconds)
        watcher.send_signal(signal.SIGINT)  # it writes what it saw
    stacks: Counter[str] = Counter()
    for line in (folder / "stacks").read_text().splitlines():
        stack, _space, count = line.rpartition(" ")
        stacks[stack.partition(";")[2] or "nothing seen"] += int(count)  # it begins with the process
    return stacks, watched


def _print(contender: Contender, alone: Round, stacks: Counter[str], watched: Round) -> None:
    held_us = sum(stacks.values()) / _SAMPLES_A_SECOND / watched.answers.answered * 1e6
    print(
        f"\n{contender.entry.name}: {alone.a_second:.0f} a second, {alone.cpu_us:.0f} us of CPU a callback "
        f"(watched: {watched.a_second:.0f} and {watched.cpu_us:.0f}), PostgreSQL's {alone.store_cpu_us:.0f}; "
        f"the interpreter is held for {held_us:.0f}, by the clock"
    )
    views = (
        ("by our file, or the library it is in where no code of ours runs", lambda stack: _caller(stack)[0]),
        ("by our function", lambda stack: " ".join(_caller(stack))),
        ("by innermost package", _innermost),
    )
    for title, name_of in views:
        spent: Counter[str] = Counter()
        for stack, count in stacks.items():
            spent[name_of(stack.split(";"))] += count
        print(f"  us    {title}")
        for name, count in spent.most_common(_SHOWN):
            print(f"{count / stacks.total() * held_us:>6.1f}  {name}")


def _caller(stack: Sequence[str]) -> tuple[str, str]:
    """File and function of the innermost frame of our own, and else of the web's libraries."""
    frames = [_file_and_function(frame) for frame in stack]
    for ours in (("webhook_app/", "tests/"), ("flask/", "werkzeug/", "gunicorn/")):
        for file, function in reversed(frames):
            if file.startswith(ours) and not file.startswith(_STARTERS):
                return file, function
    return _innermost(stack), ""


def _innermost(stack: Sequence[str]) -> str:
    return _file_and_function(stack[-1])[0].partition("/")[0]


def _file_and_function(frame: str) -> tuple[str, str]:
    """py-spy writes `function (folder/file.py:line)`."""
    function, _space, place = frame.rpartition(" (")
    return place.rpartition(":")[0], function
