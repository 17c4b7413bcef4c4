"""The geometry of the pictures: where each line, bar and label stands. The macros of `_charts.html` draw it.

All lengths are in the drawing's own units, about a pixel each. `mirrored` lets time run from right to left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, floor, log10
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from flask import url_for

from webhook_app.figures.overview_rows import Bucket
from webhook_app.web.formats.numbers import seconds, wire_time
from webhook_app.web.formats.translation import format_axis_day, format_local, gettext

_AXIS_HEIGHT = 22
_LANE_HEIGHT = 44.0
_NICE_SECONDS = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400)


@dataclass(frozen=True, kw_only=True)
class Size:
    width: int
    height: int
    labels: int  # how many fit under the time axis
    name: str


BAR_SIZES = (
    Size(width=960, height=230, labels=9, name="wide"),
    Size(width=327, height=280, labels=4, name="tall"),
)


class Span(Protocol):
    """What has its place on a time axis."""

    @property
    def start(self) -> datetime: ...

    @property
    def end(self) -> datetime: ...


@dataclass(frozen=True, kw_only=True)
class Spark:
    """A line without axes and the area under it, as SVG path data."""

    width: int
    height: int
    line: str
    area: str


@dataclass(frozen=True, kw_only=True)
class Meter:
    """A stretch of a bar that is a hundred wide."""

    x: float
    width: float


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A label at a place on an axis; `anchor` is SVG's text-anchor."""

    at: float
    text: str
    anchor: str = "middle"


@dataclass(frozen=True, kw_only=True)
class Stack:
    """What one bar shows: how many of each tone, from its foot up, and where a click on it leads."""

    row: Span  # what is stacked: its numbers are told in a table
    parts: tuple[tuple[str, int], ...]
    span: str
    title: str
    href: str
    below: int = 0  # bad ones in a lane of their own under the zero line: a flood of them must not flatten the rest


@dataclass(frozen=True, kw_only=True)
class Segment:
    tone: str
    y: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Bar:
    x: float
    width: float
    segments: tuple[Segment, ...]
    stack: Stack


@dataclass(frozen=True, kw_only=True)
class BarChart:
    size: Size
    base: float  # y of the zero line
    foot: float  # and of the last one above the times
    label_y: float
    scale_x: float  # where the scale's numbers begin
    bars: tuple[Bar, ...]
    times: tuple[Mark, ...]
    grid: tuple[Mark, ...]  # `at` is y
    limit_y: float | None  # of the line that bars should stay under, if there is one


def sparkline(
    values: Sequence[float | None], width: int = 240, height: int = 40, *, mirrored: bool = False
) -> Spark | None:
    """The line through `values`, from the first one known; None with fewer than two. A gap repeats the one before."""
    first_known = next((index for index, value in enumerate(values) if value is not None), len(values))
    filled: list[float] = []
    for value in values[first_known:]:
        filled.append(value if value is not None else filled[-1])
    if len(filled) < 2:
        return None
    low, high = min(filled), max(filled)
    reach = (high - low) or 1
    points = []
    for index, value in enumerate(filled, start=first_known):
        x = index / (len(values) - 1) * width
        y = height - 6 - (value - low) / reach * (height - 10)
        points.append(f"{width - x if mirrored else x:.1f} {y:.1f}")
    line = "M" + " L".join(points)
    start = first_known / (len(values) - 1) * width
    first, last = (f"{width - start:.1f}", 0) if mirrored else (f"{start:.1f}", width)
    return Spark(width=width, height=height, line=line, area=f"{line} L{last} {height} L{first} {height} Z")


def meter(start: float, end: float, *, mirrored: bool = False) -> Meter:
    """From `start` to `end` percent; what is not nothing is at least wide enough to be seen."""
    width = max(end - start, 0.8) if end > start else 0.0
    x = min(start, 100 - width)
    return Meter(x=round(100 - x - width if mirrored else x, 2), width=round(width, 2))


def bar_charts(buckets: Sequence[Bucket], zone: ZoneInfo, *, mirrored: bool = False) -> tuple[BarChart, ...]:
    """Delivered, failed and waiting stacked in a bar a bucket: wide, and tall."""
    stacks = [_stack(bucket, zone) for bucket in buckets]
    return tuple(stacked(stacks, size, zone, mirrored=mirrored) for size in BAR_SIZES)


def _stack(bucket: Bucket, zone: ZoneInfo) -> Stack:
    span = span_label(bucket.start, bucket.end, zone)
    return Stack(
        row=bucket,
        parts=(("ok", bucket.delivered), ("bad", bucket.failed), ("wait", bucket.waiting)),
        span=span,
        title=gettext(
            "%(time)s: %(delivered)s delivered, %(failed)s failed, %(waiting)s waiting",
            time=span,
            delivered=f"{bucket.delivered:,}",
            failed=f"{bucket.failed:,}",
            waiting=f"{bucket.waiting:,}",
        ),
        href=messages_between(bucket.start, bucket.end, zone),
    )


def messages_between(start: datetime, end: datetime, zone: ZoneInfo) -> str:
    """The address of the messages asked for in that time."""
    span: dict[str, Any] = {"from": wire_time(start, zone), "to": wire_time(end, zone)}
    return url_for("pages.messages", **span)


def stacked(
    stacks: Sequence[Stack], size: Size, zone: ZoneInfo, *, mirrored: bool, limit: int | None = None
) -> BarChart:
    """A bar for each stack, side by side in time."""
    most_below = max((stack.below for stack in stacks), default=0)
    foot = float(size.height - _AXIS_HEIGHT)
    base = foot - _LANE_HEIGHT if most_below else foot
    top = nice_above(max([limit or 0, *map(_total, stacks)]))
    slot = size.width / max(len(stacks), 1)
    gap = min(3.0, slot * 0.16)

    def place(index: int) -> float:
        return size.width - (index + 1) * slot if mirrored else index * slot

    bars = tuple(
        Bar(
            x=round(place(index) + gap / 2, 2),
            width=round(slot - gap, 2),
            segments=_segments(stack, base, (base - 12) / top)
            + _below(stack, base, (foot - base) / max(most_below, 1)),
            stack=stack,
        )
        for index, stack in enumerate(stacks)
    )
    times = tuple(
        _edge_safe(place(index), slot, text, size.width, mirrored=mirrored)
        for index, text in _time_labels([stack.row for stack in stacks], size.labels, zone)
    )
    grid = tuple(
        Mark(at=round(base - (base - 12) * part / 2, 1), text=f"{top * part // 2:,}", anchor="start")
        for part in (1, 2)
        if top * part % 2 == 0
    )
    if most_below:
        grid += (Mark(at=foot, text=f"{most_below:,}", anchor="start"),)
    return BarChart(
        size=size,
        base=base,
        foot=foot,
        label_y=foot + 16,
        scale_x=size.width - 2.0 if mirrored else 2.0,
        bars=bars,
        times=times,
        grid=grid,
        limit_y=None if limit is None else round(base - (base - 12) * limit / top, 1),
    )


def _total(stack: Stack) -> int:
    return sum(count for _tone, count in stack.parts)


def _segments(stack: Stack, base: float, scale: float) -> tuple[Segment, ...]:
    segments, y = [], base
    for tone, count in stack.parts:
        if count:
            height = max(count * scale, 1.0)  # a single failure among thousands must still be seen
            y -= height
            segments.append(Segment(tone=tone, y=round(y, 2), height=round(height, 2)))
    return tuple(segments)


def _below(stack: Stack, base: float, scale: float) -> tuple[Segment, ...]:
    height = max(stack.below * scale, 2.0)
    return (Segment(tone="bad", y=base, height=round(height, 2)),) if stack.below else ()


def span_label(start: datetime, end: datetime, zone: ZoneInfo) -> str:
    """ "15:00 to 15:30", with the day in front where it is a long span: "21 Nov, 18:00 to 00:00"."""
    first, last = start.astimezone(zone), end.astimezone(zone)
    if end - start <= timedelta(minutes=1):
        return f"{first:%H:%M}"
    if end - start < timedelta(hours=1):
        return gettext("%(first)s to %(last)s", first=f"{first:%H:%M}", last=f"{last:%H:%M}")
    date = format_local(first, "EEE d MMM")
    if end - start >= timedelta(hours=23):
        return date
    return gettext("%(day)s, %(start)s to %(end)s", day=date, start=f"{first:%H:%M}", end=f"{last:%H:%M}")


def nice_above(value: int) -> int:
    """The axis' end: the next 1, 2, 4, 6, 8 or 10 times a power of ten, at least 4."""
    if value <= 4:
        return 4
    power = 10 ** floor(log10(value))
    return next(int(step * power) for step in (1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10) if step * power >= value)


def _time_labels(buckets: Sequence[Span], most: int, zone: ZoneInfo) -> list[tuple[int, str]]:
    """Which buckets get a label: round hours of a day, else the days; thinned until `most` remain."""
    if not buckets:
        return []
    span = buckets[-1].end - buckets[0].start
    starts = [(index, bucket.start.astimezone(zone)) for index, bucket in enumerate(buckets)]
    if span <= timedelta(hours=2):
        labelled = [(index, at) for index, at in starts if at.minute % 10 == 0]
    elif span <= timedelta(hours=36):
        labelled = [(index, at) for index, at in starts if at.minute == 0 and at.hour % 3 == 0]
    else:
        labelled = [(index, at) for index, at in starts if at.hour == 0] or starts
    step = max(1, ceil(len(labelled) / most))
    return [(index, _time_label(at, span)) for index, at in labelled[::step]]


def _time_label(at: datetime, of_all: timedelta) -> str:
    if of_all <= timedelta(hours=36):
        return f"{at:%H:%M}"
    return format_axis_day(at, of_week=of_all <= timedelta(days=10))


def _edge_safe(x: float, slot: float, text: str, width: float, *, mirrored: bool) -> Mark:
    """The label in the middle under its bar, or flush with the drawing's edge where it would stick out."""
    middle = x + slot / 2
    anchor = axis_anchor(middle, width, mirrored=mirrored)
    edge = x + 1 if middle < width / 2 else x + slot - 1
    return Mark(at=round(middle if anchor == "middle" else edge, 1), text=text, anchor=anchor)


def axis_anchor(x: float, width: float, *, mirrored: bool) -> str:
    """Which end of a label stands at `x`; in right-to-left text a label starts at its right."""
    if x < 18:
        return "end" if mirrored else "start"
    if x > width - 18:
        return "start" if mirrored else "end"
    return "middle"


def seconds_axis(longest: float, labels: int) -> tuple[float, float]:
    """The step between labels and the axis' end: the smallest nice step that needs no more than `labels` of them."""
    step = next((nice for nice in _NICE_SECONDS if longest / nice <= labels), _NICE_SECONDS[-1])
    return step, max(ceil(longest / step), 1) * step


def axis_seconds(at_s: float) -> str:
    return gettext("%(n)s s", n=f"{at_s:g}") if at_s < 120 else seconds(at_s)
