"""What must not grow: a callback's cost with the messages stored, a worker's memory with the callbacks taken in."""

import time
from collections.abc import Sequence
from pathlib import Path

from webhook_app import recounting

from . import report, traffic
from .contenders import Contender, Entry, started
from .report import Target
from .stores import STORES, opened

_SMALL = 10_000
_AT_ONCE = 30_000  # callbacks prepared at a time in the long run for memory
_WARM = 5_000
_RECOUNT_S = 60


def flat(folder: Path, stores: Sequence[str], messages_before: int, rounds: int, seconds: int) -> None:
    """Ingest beside that many stored messages and beside ten thousand, taking turns; then `wasl db recount` there."""
    for store in stores:
        messages, requests = traffic.prepare(4_000 * rounds * seconds)
        entries = [Entry(kind="wasl", store=store, old_messages=count) for count in (_SMALL, messages_before)]
        with started(entries, messages, folder) as contenders:
            for contender in contenders:
                contender.meet(requests, folder, 2)
            for number in range(rounds):
                for contender in contenders if number % 2 == 0 else reversed(contenders):
                    contender.rounds.append(contender.meet(requests, folder, seconds))
                report.print_round(number + 1, rounds, contenders)
            small, large = contenders
            report.print_contenders(contenders)
            report.print_head()
            figure = f"{STORES[store]}: ingest at {messages_before:,} messages / at {_SMALL:,}"
            target = Target(figure=figure, gate=0.9, goal=1)
            report.print_target(target, report.ratios(large.rounds, small.rounds))
            _recount(large)


def _recount(contender: Contender) -> None:
    with opened(contender.url) as database:
        started_s = time.monotonic()
        counted = recounting.recount(database, check_only=True)
        took_s = time.monotonic() - started_s
    figure = f"{STORES[contender.entry.store]}: recount of a million, measured on {counted.messages:,}"
    target = Target(figure=figure, gate=_RECOUNT_S, goal=_RECOUNT_S / 2, unit="s", less_is_better=True)
    report.print_target(target, [took_s / counted.messages * 1e6])
    if counted.differences:
        raise RuntimeError("the counts are not those of the messages")


def memory(folder: Path, stores: Sequence[str], callbacks: int) -> None:
    """One worker, told so much."""
    for store in stores:
        with started([Entry(kind="wasl", store=store, workers=1)], [], folder) as (contender,):
            warm_bytes: list[int] = []
            while contender.answered < callbacks:
                messages, requests = traffic.prepare(_AT_ONCE)
                with opened(contender.url) as database:
                    traffic.store(database, messages)
                contender.used = 0
                contender.meet(requests, folder, 6)
                warm_bytes = warm_bytes or (contender.processes.rss_bytes() if contender.answered > _WARM else [])
                print(
                    f"{contender.answered:,} callbacks, {contender.processes.rss_bytes()[0] / 1e6:.1f} MB", flush=True
                )
            report.print_head()
            print_memory(contender, warm_bytes)


def print_memory(contender: Contender, warm_bytes: Sequence[int]) -> None:
    """How much the worker that grew most has grown since it was warm."""
    now_bytes = contender.processes.rss_bytes()
    grown = max(now - warm for now, warm in zip(now_bytes, warm_bytes, strict=True))
    figure = (
        f"{STORES[contender.entry.store]}: a worker's memory after {contender.answered / len(now_bytes):,.0f} callbacks"
    )
    report.print_target(Target(figure=figure, gate=20, goal=5, unit="MB", less_is_better=True), [grown / 1e6])
