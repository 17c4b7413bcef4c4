"""wrk: 64 connections that stay open, each request sent once, every answer a 200 or the run is worth nothing."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 64
_THREADS = 2
_SCRIPT = Path(__file__).with_name("load.lua")


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What wrk saw. Its latencies are corrected for requests that could not even be sent while it waited."""

    answered: int
    seconds: float
    errors: int
    p50_ms: float
    p99_ms: float
    used: int  # of the requests, answered or not


class LoadFailed(Exception):
    """Some answer was no 200, or there were too few requests for that long."""


def fire(port: int, requests: Sequence[bytes], folder: Path, seconds: int, *, once: bool) -> Answers:
    """Send `requests` from the first on for so long, each `once` or the last again and again. Raises LoadFailed."""
    for thread in range(_THREADS):
        with (folder / f"requests.{thread + 1}").open("wb") as file:
            file.writelines(b"%6d%s" % (len(request), request) for request in requests[thread::_THREADS])
    command = [
        *("wrk", f"--threads={_THREADS}", f"--connections={CONNECTIONS}", f"--duration={seconds}s", "--timeout=60s"),
        *("--latency", f"--script={_SCRIPT}", f"http://127.0.0.1:{port}", "--", str(folder / "requests")),
    ]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seen = json.loads(output.splitlines()[-1])
    used = seen.pop("most_sent") * _THREADS
    answers = Answers(**seen, used=used)
    if answers.errors or not answers.answered:
        raise LoadFailed(f"{answers.errors} errors beside {answers.answered} answers:\n{output}")
    if once and used > len(requests) - _THREADS:
        raise LoadFailed(f"{len(requests)} requests were too few for {seconds} s")
    return answers
