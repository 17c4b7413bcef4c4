"""Whom does it hit? The table of carriers and channels: its order, its tones, and what it shows said in words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from webhook_app.figures import NO_CHANNEL
from webhook_app.figures.overview_rows import FEW, Cell
from webhook_app.web.formats.numbers import number, percent
from webhook_app.web.formats.translation import gettext
from webhook_app.web.formats.words import CARRIERS, CHANNELS, carrier_name, channel_name

GOOD_PERCENT, POOR_PERCENT = 95.0, 85.0
_STANDS_OUT = 10.0  # points below the rest


@dataclass(frozen=True, kw_only=True)
class Square:
    """What one cell says, in the picture and in the table of its numbers."""

    cell: Cell
    name: str  # of both
    channel: str  # of the channel
    tone: str
    rate: str
    of: str
    link: str  # the query of its messages


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A row for each carrier, a column for each channel, those that had any messages; None where none met."""

    channels: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Square | None, ...]], ...]

    @property
    def squares(self) -> tuple[Square, ...]:
        return tuple(square for _carrier, row in self.rows for square in row if square)


def rate_tone(percent_: float | None, settled: int) -> str:
    """The tone of a delivery rate: ok, wait or bad, and few where there is too little to say."""
    if percent_ is None or settled < FEW:
        return "few"
    if percent_ >= GOOD_PERCENT:
        return "ok"
    return "wait" if percent_ >= POOR_PERCENT else "bad"


def cell_grid(cells: Iterable[Cell]) -> Grid:
    by_place = {(cell.carrier, cell.channel): cell for cell in cells}
    carriers = _in_order({carrier for carrier, _channel in by_place}, tuple(CARRIERS))
    channels = _in_order({channel for _carrier, channel in by_place}, tuple(CHANNELS))
    # Looked up once, not in each cell: it costs more than the rest of one.
    of, both = gettext("of %(n)s"), gettext("%(carrier)s, %(channel)s")
    carrier_names = {carrier: carrier_name(carrier) for carrier in carriers}
    channel_names = {channel: via(channel) for channel in channels}

    def square(cell: Cell) -> Square:
        return Square(
            cell=cell,
            name=both % {"carrier": carrier_names[cell.carrier], "channel": channel_names[cell.channel]},
            channel=channel_names[cell.channel],
            tone=rate_tone(cell.delivered_percent, cell.settled),
            rate=f"{percent(cell.delivered_percent)}{'%' if cell.settled else ''}",
            of=of % {"n": number(cell.settled)},
            link=urlencode({"carrier": cell.carrier, "channel": cell.channel or NO_CHANNEL}),
        )

    squares = {place: square(cell) for place, cell in by_place.items()}
    return Grid(
        channels=tuple(channel_names.values()),
        rows=tuple((carrier, tuple(squares.get((carrier, channel)) for channel in channels)) for carrier in carriers),
    )


def via(channel: str) -> str:
    """A column's head."""
    return channel_name(channel) if channel else gettext("No channel")


def carriers_finding(cells: Sequence[Cell]) -> str:
    """The table's title: which cell is hit, if one is."""
    settled = [cell for cell in cells if cell.settled]
    telling = [cell for cell in settled if cell.settled >= FEW]
    if not settled:
        return gettext("Whom it hits: nothing is settled yet")
    if len(telling) < min(2, len(settled)):
        return gettext("Whom it hits: too few messages to say")
    stuck = [cell for cell in settled if not cell.channel and not cell.delivered]
    if sum(cell in telling for cell in stuck) > 1:  # it is no carrier that hinders them
        count = sum(cell.failed for cell in stuck)
        if 100 * count > _STANDS_OUT * sum(cell.settled for cell in settled):
            return gettext("Messages did not leave, whatever the carrier: %(n)s", n=number(count))
        cells = [cell for cell in cells if cell not in stuck]
        telling = [cell for cell in telling if cell not in stuck]
        if not telling:
            return gettext("Whom it hits: too few messages to say")
    worst = min(telling, key=lambda cell: cell.delivered_percent or 0.0)
    others = [cell for cell in cells if cell is not worst]
    rest = _percent_of(others)
    rate = worst.delivered_percent or 0.0
    if rest is None or rate > rest - _STANDS_OUT:
        return _alike(telling)
    known = {
        "carrier": carrier_name(worst.carrier),
        "channel": via(worst.channel),
        "percent": percent(rate),
        "rest": percent(rest),
    }
    if not worst.channel:
        return gettext("Sends to %(carrier)s do not leave: %(percent)s%% delivered, all others %(rest)s%%", **known)
    return gettext("%(carrier)s by %(channel)s is hit: %(percent)s%% delivered, all others %(rest)s%%", **known)


def _alike(telling: Sequence[Cell]) -> str:
    rates = [cell.delivered_percent or 0.0 for cell in telling]
    low, high = percent(min(rates)), percent(max(rates))
    if low == high:
        return gettext("No carrier or channel stands out: %(percent)s%% delivered", percent=low)
    return gettext("No carrier or channel stands out: %(low)s to %(high)s%% delivered", low=low, high=high)


def _percent_of(cells: Iterable[Cell]) -> float | None:
    delivered = failed = 0
    for cell in cells:
        delivered, failed = delivered + cell.delivered, failed + cell.failed
    return 100 * delivered / (delivered + failed) if delivered + failed else None


def _in_order(found: Iterable[str], usual: Sequence[str]) -> tuple[str, ...]:
    """The usual ones first, unknown words after them, nothing known last."""
    return tuple(sorted(found, key=lambda word: (word == "", usual.index(word) if word in usual else len(usual), word)))
