"""What the pages cost at ten million messages, beside ten thousand, and beside an Overview that counts rows.

The real app in this process, signed in, on two stores with the same history but for its size: every page at both in
turn, and all of it again, round after round. What counts is the ratios within a round. `make bench-pages`; the targets
are explained in the README.
"""

import argparse
import gc
import logging
import signal
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from webhook_app import create_app, logs, recounting
from webhook_app.database import Database
from webhook_app.simulator.server import Simulator

from .. import every_page
from ..conftest import close, make_config
from . import filling, naive, report, traffic
from .contenders import workplace
from .report import Target
from .stores import STORES, PostgreSql, opened, postgresql
from .visits import Visitor

SMALL = 10_000
_QUICK_MILLIONS = 0.2
_VISITS = 5  # to a page at each size, in a round
_NAIVE_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class Shop:
    """The app on a store of this size, and who visits it."""

    messages: int
    database: Database
    visitor: Visitor
    paths: list[str]


@dataclass(kw_only=True)
class Page:
    """One page at both sizes: its median milliseconds in each round."""

    small_path: str
    large_path: str
    queries: int
    small_ms: list[float] = field(default_factory=list)
    large_ms: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        return every_page.name_of(self.large_path)

    @property
    def median_ms(self) -> tuple[float, float]:
        return statistics.median(self.small_ms), statistics.median(self.large_ms)

    @property
    def ratios(self) -> list[float]:
        return [large / small for large, small in zip(self.large_ms, self.small_ms, strict=True)]


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = _parser().parse_args(arguments)
    rounds = chosen.rounds or (2 if chosen.quick else 7)
    large = int(1e6 * (chosen.millions or (_QUICK_MILLIONS if chosen.quick else 10)))
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit("stopped"))  # and PostgreSQL with it
    logs.configure("text")
    logging.getLogger().setLevel(logging.ERROR)
    for store in [chosen.store] if chosen.store else STORES:
        with nullcontext(chosen.keep) if chosen.keep else workplace() as folder:
            compare(folder, store, (SMALL, large), rounds, keep=bool(chosen.keep))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.pages", description=__doc__)
    parser.add_argument("--millions", type=float, metavar="N", help="messages in the large store; default: 10")
    parser.add_argument("--quick", action="store_true", help="2 rounds with 0.2 million: a look, no proof")
    parser.add_argument("--rounds", type=int, help="default: 7")
    parser.add_argument("--store", choices=STORES, help="default: both, one after the other")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep the filled stores there; filled ones are brought up to date"
    )
    return parser


def compare(folder: Path, store: str, sizes: tuple[int, int], rounds: int, *, keep: bool = False) -> None:
    """One store's figures. Raises when a page does not answer, or what is counted is not what is there."""
    small, large = sizes
    with _shops(folder, store, sizes, keep) as (small_shop, large_shop):
        pages = measure(small_shop, large_shop, rounds)
        print(f"\n{'page':<76}{'queries':>8}{f'ms at {small:,}, {large:,}':>30}")
        for page in pages:
            print(f"{page.name:<76}{page.queries:>8}{page.median_ms[0]:>18.1f}{page.median_ms[1]:>12.1f}")
        report.print_head()
        for page in pages:
            report.print_target(_flat(page.name[:57]), page.ratios)
        steepest = max(pages, key=lambda page: statistics.median(page.ratios))
        report.print_target(_flat(f"{STORES[store]}: any page, {large:,} messages / {small:,}"), steepest.ratios)
        beside_naive = Target(figure=f"{STORES[store]}: Overview counted naively / ours", gate=300, goal=500)
        report.print_target(beside_naive, [_beside_naive(large_shop) for _ in range(_NAIVE_ROUNDS)])


def _beside_naive(shop: Shop) -> float:
    """How many times as long as the whole page counting its rows takes, one right after the other."""
    path = next(path for path in shop.paths if every_page.name_of(path) == naive.SAME_AS)
    naive_ms = naive.overview_ms(shop.database)
    return naive_ms / statistics.median(shop.visitor.ms(path) for _ in range(_VISITS))


def _flat(figure: str) -> Target:
    return Target(figure=figure, gate=1.3, goal=1.1, less_is_better=True)


def measure(small: Shop, large: Shop, rounds: int) -> list[Page]:
    pages = [_opened(small, large, *paths) for paths in zip(small.paths, large.paths, strict=True)]
    for number in range(rounds):
        for page in pages:
            gc.collect()
            small_ms, large_ms = [], []
            for _ in range(_VISITS):  # in turn: what slows the machine down slows both
                small_ms.append(small.visitor.ms(page.small_path))
                large_ms.append(large.visitor.ms(page.large_path))
            page.small_ms.append(statistics.median(small_ms))
            page.large_ms.append(statistics.median(large_ms))
        print(f"round {number + 1} of {rounds}", flush=True)
    return pages


def _opened(small: Shop, large: Shop, small_path: str, large_path: str) -> Page:
    """Visited once at each size: from then on it is warm."""
    answers = small.visitor.get(small_path), large.visitor.get(large_path)
    if [answer.status for answer in answers] != [200, 200]:
        raise RuntimeError(f"{large_path}: {[answer.status for answer in answers]}")
    return Page(small_path=small_path, large_path=large_path, queries=answers[1].queries)


@contextmanager
def _shops(folder: Path, store: str, sizes: Sequence[int], keep: bool) -> Iterator[list[Shop]]:
    with ExitStack() as stack:
        server = stack.enter_context(postgresql(folder, {}, keep=keep)) if store == "postgresql" else None
        simulator = stack.enter_context(Simulator(seed=7))
        yield [stack.enter_context(_shop(folder, server, simulator, size)) for size in sizes]


@contextmanager
def _shop(folder: Path, server: PostgreSql | None, simulator: Simulator, messages: int) -> Iterator[Shop]:
    name = f"pages_{messages}"
    url = server.database(name) if server else f"sqlite:///{folder / name}.db"
    with opened(url) as database:  # unlike the app's own, it waits as long as counting rows takes
        filling.fill(database, messages)
        traffic.store(database, [])
        if recounting.recount(database, check_only=True).differences:
            raise RuntimeError("the counts are not those of the messages")
        app = create_app(make_config(url, folder, OTPIQ_BASE_URL=simulator.base_url))
        yield Shop(messages=messages, database=database, visitor=Visitor(app), paths=every_page.paths(app))
        close(app)


if __name__ == "__main__":
    main()
