"""Medians, spreads, and how far from the targets."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .contenders import Contender, Round


@dataclass(frozen=True, kw_only=True)
class Target:
    """A figure's gate, which must be met, and its goal."""

    figure: str
    gate: float
    goal: float
    unit: str = ""
    less_is_better: bool = False

    def verdict(self, value: float) -> str:
        sign = -1 if self.less_is_better else 1
        if sign * value >= sign * self.goal:
            return "GOAL"
        return "PASS" if sign * value >= sign * self.gate else "BELOW"


def print_round(number: int, rounds: int, contenders: Sequence[Contender]) -> None:
    rates = ", ".join(f"{each.entry.name} {each.rounds[-1].a_second:.0f}" for each in contenders)
    print(f"round {number} of {rounds}, callbacks a second: {rates}", flush=True)


def print_contenders(contenders: Sequence[Contender]) -> None:
    print(f"\n{'':<34}{'a second':>21}{'p50, p99 ms':>15}{'CPU us: server, store':>24}{'syncs':>8}   a callback each")
    for contender in contenders:
        for rounds, how in ((contender.rounds, ""), (contender.slow_rounds, ", slow disk")):
            if rounds:
                print(f"{contender.entry.name + how:<34}{_line(rounds)}")


def _line(rounds: Sequence[Round]) -> str:
    rates = [each.a_second for each in rounds]
    p50_ms, p99_ms = (_median(rounds, part) for part in (lambda r: r.answers.p50_ms, lambda r: r.answers.p99_ms))
    cpu_us, store_us = (_median(rounds, part) for part in (lambda r: r.cpu_us, lambda r: r.store_cpu_us))
    return (
        f"{statistics.median(rates):>7.0f}{f'[{min(rates):.0f}, {max(rates):.0f}]':>14}"
        f"{p50_ms:>8.1f}{p99_ms:>7.1f}{cpu_us:>17.0f}{store_us:>7.0f}{_median(rounds, lambda r: r.syncs):>8.3f}"
    )


def _median(rounds: Sequence[Round], part: Callable[[Round], float]) -> float:
    return statistics.median(part(each) for each in rounds)


def print_head() -> None:
    print(f"\n{'target':<58}{'measured':>9}{'[lowest, highest]':>20}{'gate':>8}{'goal':>7}")


def print_target(target: Target, values: Sequence[float]) -> None:
    """The median of what each round gave, beside the target."""
    value = statistics.median(values)
    spread = f"[{min(values):.2f}, {max(values):.2f}]"
    bounds = f"{target.gate:>8g}{target.goal:>7g}"
    print(f"{target.figure:<58}{value:>9.2f}{spread:>20}{bounds} {target.unit:<3} {target.verdict(value)}")


def ratios(mine: Sequence[Round], others: Sequence[Round]) -> list[float]:
    """Callbacks a second beside another's, round by round: what slowed the machine down slowed both."""
    return [one.a_second / other.a_second for one, other in zip(mine, others, strict=True)]


def cpu_ratio(mine: Sequence[Round], others: Sequence[Round]) -> float:
    """The same by CPU time spent, which is steadier on a busy machine; what the store's own processes spend counts."""
    ours, theirs = (_median(rounds, lambda r: r.cpu_us + r.store_cpu_us) for rounds in (mine, others))
    return theirs / ours
