"""How fast callbacks are taken in, beside answering them without storing them and beside a plain ORM view.

Real gunicorn servers with Wasl's settings, each with a store of its own, take turns under the same load, round after
round; what counts is the ratios within a round. `make bench`; the targets are explained in the README.
"""

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from webhook_app import logs

from . import profiling, report, size, traffic
from .contenders import Contender, Entry, started, workplace
from .report import Target
from .slow_sync import require_slowness
from .stores import STORES

FLOOR_GATES = {"sqlite": 0.60, "postgresql": 0.45}
_WARM_S = 1
_LEAST_A_SECOND = 2_500  # requests prepared, also where the machine is busy just then
_SPARE = 1.5  # requests prepared beyond what the floor took at first: too few would be noticed, and end the run


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = _parser().parse_args(arguments)
    rounds, seconds = chosen.rounds or (3 if chosen.quick else 7), chosen.seconds or (2 if chosen.quick else 4)
    stores = [chosen.store] if chosen.store else list(STORES)
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit("stopped"))  # and everything started with it
    logs.configure("text")
    logging.getLogger().setLevel(logging.WARNING)
    with workplace() as folder:
        if chosen.profile:
            profiling.profile(folder, stores, seconds)
        elif chosen.flat or chosen.flat_millions:
            size.flat(folder, stores, int((chosen.flat_millions or 10) * 1e6), rounds, seconds)
        elif chosen.memory:
            size.memory(folder, stores, chosen.memory)
        else:
            compare(folder, stores, rounds, seconds, chosen.slow_sync)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.ingest", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 rounds of 2 s: a look, no proof")
    parser.add_argument("--rounds", type=int, help="default: 7")
    parser.add_argument("--seconds", type=int, help="of each server in each round; default: 4")
    parser.add_argument("--store", choices=STORES, help="default: both")
    parser.add_argument(
        "--slow-sync",
        type=float,
        default=2.0,
        metavar="MS",
        help="added to each sync in a part of its own; 0: leave out",
    )
    instead = parser.add_argument_group("instead of the comparison").add_mutually_exclusive_group()
    instead.add_argument("--flat", action="store_true", help="beside 10 million stored messages; takes an hour")
    instead.add_argument("--flat-millions", type=float, metavar="N", help="the same with N million")
    instead.add_argument("--memory", type=int, metavar="CALLBACKS", help="a worker's memory after so many")
    instead.add_argument("--profile", action="store_true", help="where a callback's microseconds go (needs py-spy)")
    return parser


def compare(folder: Path, stores: Sequence[str], rounds: int, seconds: int, slow_ms: float) -> None:
    if slow_ms:
        require_slowness(folder, slow_ms)
    most = int(_SPARE * _floor_a_second(folder) * (_WARM_S + rounds * seconds * (1.5 if slow_ms else 1)))
    print(f"{most:,} requests are prepared, and their messages stored for each server", flush=True)
    messages, requests = traffic.prepare(most)
    entries = [Entry(kind=kind, store=store) for store in stores for kind in ("orm", "wasl", "uncounted")]
    with started([Entry(kind="floor"), *entries], messages, folder) as contenders:
        warm_bytes = _take_turns(contenders, requests, folder, rounds, seconds, slow_ms)
        report.print_contenders(contenders)
        report.print_head()
        for store in stores:
            of = {each.entry.kind: each for each in contenders if each.entry.store in (store, "")}
            _print_targets(of, slow_ms, warm_bytes[of["wasl"].entry])
        for contender in contenders:
            contender.check()
        print("every answered callback is stored; the counts are those of the messages")


def _floor_a_second(folder: Path) -> float:
    """What nothing that stores will be much faster than, on this machine."""
    messages, requests = traffic.prepare(1_000)
    with started([Entry(kind="floor")], messages, folder) as (floor,):
        floor.meet(requests, folder, _WARM_S)
        return max(_LEAST_A_SECOND, floor.meet(requests, folder, _WARM_S).a_second)


def _take_turns(
    contenders: Sequence[Contender],
    requests: Sequence[bytes],
    folder: Path,
    rounds: int,
    seconds: int,
    slow_ms: float,
) -> dict[Entry, list[int]]:
    """Fill in the rounds of each; returns the resident memory of its workers once they were warm."""
    for contender in contenders:
        contender.meet(requests, folder, _WARM_S)
    warm_bytes = {contender.entry: contender.processes.rss_bytes() for contender in contenders}
    for number in range(rounds):
        # There and back again: whoever is always first would always meet the same state of the machine.
        for contender in contenders if number % 2 == 0 else reversed(contenders):
            contender.rounds.append(contender.meet(requests, folder, seconds))
        for contender in contenders:
            if slow_ms and contender.entry.kind in ("orm", "wasl"):
                contender.disk.add(slow_ms)
                contender.slow_rounds.append(contender.meet(requests, folder, seconds))
                contender.disk.add(0)
        report.print_round(number + 1, rounds, contenders)
    return warm_bytes


def _print_targets(of: dict[str, Contender], slow_ms: float, warm_bytes: Sequence[int]) -> None:
    wasl, orm, floor, uncounted = of["wasl"], of["orm"], of["floor"], of["uncounted"]
    store = STORES[wasl.entry.store]
    beside_floor = Target(figure=f"{store}: ingest / floor", gate=FLOOR_GATES[wasl.entry.store], goal=1)
    report.print_target(beside_floor, report.ratios(wasl.rounds, floor.rounds))
    beside_orm = Target(figure=f"{store}: ingest / ORM view", gate=3.5, goal=5)
    report.print_target(beside_orm, report.ratios(wasl.rounds, orm.rounds))
    if slow_ms:
        slow = Target(figure=f"{store}: the same, {slow_ms:g} ms added to each sync", gate=5, goal=8)
        report.print_target(slow, report.ratios(wasl.slow_rounds, orm.slow_rounds))
    tail = Target(figure=f"{store}: p99 / p50 at 64 connections", gate=5, goal=3, less_is_better=True)
    report.print_target(tail, [each.answers.p99_ms / each.answers.p50_ms for each in wasl.rounds])
    counted = Target(figure=f"{store}: ingest with counts / without", gate=0.85, goal=0.95)
    report.print_target(counted, report.ratios(wasl.rounds, uncounted.rounds))
    size.print_memory(wasl, warm_bytes)
    print(
        f"{store}, by CPU time spent: ingest / floor {report.cpu_ratio(wasl.rounds, floor.rounds):.2f},"
        f" ingest / ORM view {report.cpu_ratio(wasl.rounds, orm.rounds):.2f},"
        f" with counts / without {report.cpu_ratio(wasl.rounds, uncounted.rounds):.2f}"
    )


if __name__ == "__main__":
    main()
