"""The geometry of the pictures: where each line, bar and label stands. The macros of `_charts.html` draw it.

All lengths are in the drawing's own units, about a pixel each. `mirrored` lets time run from right to left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, floor, log10
from zoneinfo import ZoneInfo

from webhook_app.figures.rows import Bucket, Hop, IntakeMinute
from webhook_app.web.formats.numbers import seconds, wire_time
from webhook_app.web.formats.translation import format_local, gettext
from webhook_app.web.formats.words import channel_name, outcome_tone, reason_words

_AXIS_HEIGHT = 22
_LANE_HEIGHT = 44.0
_NICE_SECONDS = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400)
_CHARACTER = 8.0  # a letter of the strip's text, on average


@dataclass(frozen=True, kw_only=True)
class Size:
    width: int
    height: int
    labels: int  # how many fit under the time axis
    name: str


BAR_SIZES = {
    "wide": Size(width=960, height=230, labels=9, name="wide"),
    "tall": Size(width=327, height=280, labels=4, name="tall"),
}
STRIP_SIZES = {
    "wide": Size(width=960, height=0, labels=6, name="wide"),
    "tall": Size(width=327, height=0, labels=4, name="tall"),
}


@dataclass(frozen=True, kw_only=True)
class Spark:
    """A line without axes and the area under it, as SVG path data."""

    width: int
    height: int
    line: str
    area: str


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A label at a place on an axis; `anchor` is SVG's text-anchor."""

    at: float
    text: str
    anchor: str = "middle"


@dataclass(frozen=True, kw_only=True)
class Stack:
    """What one bar shows: how many of each tone, from its foot up, and where a click on it leads."""

    row: Bucket | IntakeMinute
    parts: tuple[tuple[str, int], ...]
    title: str
    endpoint: str
    link: Mapping[str, str]  # the endpoint's arguments
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
    span: str
    title: str
    endpoint: str
    link: Mapping[str, str]
    row: Bucket | IntakeMinute


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


@dataclass(frozen=True, kw_only=True)
class StripBar:
    channel: str
    tone: str
    x: float
    y: float
    width: float
    text: str
    text_x: float
    text_y: float
    anchor: str
    title: str


@dataclass(frozen=True, kw_only=True)
class HopStrip:
    size: Size
    height: float
    gutter: float  # where the time axis begins; the channels' names stand before it
    name_x: float
    name_anchor: str
    bar_height: float
    axis_y: float
    bars: tuple[StripBar, ...]
    times: tuple[Mark, ...]


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


def bar_chart(buckets: Sequence[Bucket], size: Size, zone: ZoneInfo, *, mirrored: bool = False) -> BarChart:
    """Delivered, failed and waiting stacked in a bar a bucket."""
    stacks = [
        Stack(
            row=bucket,
            parts=(("ok", bucket.delivered), ("bad", bucket.failed), ("wait", bucket.waiting)),
            title=_bar_title(bucket, zone),
            endpoint="pages.messages",
            link={"from": wire_time(bucket.start, zone), "to": wire_time(bucket.end, zone)},
        )
        for bucket in buckets
    ]
    return stacked(stacks, size, zone, mirrored=mirrored)


def stacked(stacks: Sequence[Stack], size: Size, zone: ZoneInfo, *, mirrored: bool) -> BarChart:
    """A bar for each stack, side by side in time."""
    most_below = max((stack.below for stack in stacks), default=0)
    foot = float(size.height - _AXIS_HEIGHT)
    base = foot - _LANE_HEIGHT if most_below else foot
    top = _nice_above(max((_total(stack) for stack in stacks), default=0))
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
            span=span_label(stack.row.start, stack.row.end, zone),
            title=stack.title,
            endpoint=stack.endpoint,
            link=stack.link,
            row=stack.row,
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


def _bar_title(bucket: Bucket, zone: ZoneInfo) -> str:
    return gettext(
        "%(time)s: %(delivered)s delivered, %(failed)s failed, %(waiting)s waiting",
        time=span_label(bucket.start, bucket.end, zone),
        delivered=f"{bucket.delivered:,}",
        failed=f"{bucket.failed:,}",
        waiting=f"{bucket.waiting:,}",
    )


def span_label(start: datetime, end: datetime, zone: ZoneInfo) -> str:
    """ "15:00 to 15:30", with the day in front where it is a long span: "21 Nov, 18:00 to 00:00"."""
    first, last = start.astimezone(zone), end.astimezone(zone)
    if end - start <= timedelta(minutes=1):
        return f"{first:%H:%M}"
    date = format_local(first, "EEE d MMM")
    if end - start >= timedelta(hours=23):
        return date
    return gettext("%(day)s, %(start)s to %(end)s", day=date, start=f"{first:%H:%M}", end=f"{last:%H:%M}")


def _nice_above(value: int) -> int:
    """The axis' end: the next 1, 2, 4, 6, 8 or 10 times a power of ten, at least 4."""
    if value <= 4:
        return 4
    power = 10 ** floor(log10(value))
    return next(int(step * power) for step in (1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10) if step * power >= value)


def _time_labels(buckets: Sequence[Bucket | IntakeMinute], most: int, zone: ZoneInfo) -> list[tuple[int, str]]:
    """Which buckets get a label: round hours of a day, else the days; thinned until `most` remain."""
    if not buckets:
        return []
    span = buckets[-1].end - buckets[0].start
    starts = [(index, bucket.start.astimezone(zone)) for index, bucket in enumerate(buckets)]
    if span <= timedelta(hours=2):
        labels = [(index, f"{at:%H:%M}") for index, at in starts if at.minute % 10 == 0]
    elif span <= timedelta(hours=36):
        labels = [(index, f"{at:%H:%M}") for index, at in starts if at.minute == 0 and at.hour % 3 == 0]
    else:
        form = "EEE d" if span <= timedelta(days=10) else "d MMM"
        days = [(index, at) for index, at in starts if at.hour == 0] or starts
        labels = [(index, format_local(at, form)) for index, at in days]
    step = max(1, ceil(len(labels) / most))
    return labels[::step]


def _edge_safe(x: float, slot: float, text: str, width: float, *, mirrored: bool) -> Mark:
    """The label in the middle under its bar, or flush with the drawing's edge where it would stick out."""
    middle = x + slot / 2
    anchor = _anchor(middle, width, mirrored=mirrored)
    edge = x + 1 if middle < width / 2 else x + slot - 1
    return Mark(at=round(middle if anchor == "middle" else edge, 1), text=text, anchor=anchor)


def _anchor(x: float, width: float, *, mirrored: bool) -> str:
    """Which end of a label stands at `x`; in right-to-left text a label starts at its right."""
    if x < 18:
        return "end" if mirrored else "start"
    if x > width - 18:
        return "start" if mirrored else "end"
    return "middle"


def hop_strip(hops: Sequence[Hop], size: Size, *, mirrored: bool = False) -> HopStrip:
    """The channels of one message on one time axis. On the tall drawing the words stand above their bar."""
    tall = size.name == "tall"
    gutter = 0.0 if tall else 110.0
    row, bar_height = (54.0, 14.0) if tall else (42.0, 28.0)
    step, end = _seconds_axis(max((hop.end_s for hop in hops), default=1.0), size.labels)
    scale = (size.width - gutter) / end

    def place(at_s: float) -> float:
        x = gutter + min(at_s, end) * scale
        return round(size.width - x if mirrored else x, 1)

    bars = tuple(
        _strip_bar(hop, place(hop.start_s), place(hop.end_s), index * row, size, mirrored=mirrored)
        for index, hop in enumerate(hops)
    )
    times = tuple(
        Mark(
            at=place(number * step),
            text=_axis_seconds(number * step),
            anchor=_anchor(place(number * step), size.width, mirrored=mirrored),
        )
        for number in range(round(end / step) + 1)
    )
    axis_y = len(hops) * row
    return HopStrip(
        size=size,
        height=axis_y + _AXIS_HEIGHT,
        gutter=gutter,
        name_x=float(size.width if mirrored else 0),
        name_anchor="start",
        bar_height=bar_height,
        axis_y=axis_y,
        bars=bars,
        times=times,
    )


def _strip_bar(hop: Hop, start: float, end: float, y: float, size: Size, *, mirrored: bool) -> StripBar:
    tall = size.name == "tall"
    x, width = min(start, end), max(abs(end - start), 3.0)
    reason = reason_words(hop.reason)
    lasted = seconds(hop.end_s - hop.start_s)
    text = gettext("%(lasted)s, then “%(reason)s”", lasted=lasted, reason=reason.meaning) if reason else lasted
    title = gettext("%(channel)s: %(text)s", channel=channel_name(hop.channel), text=text)
    shown = _cut(title if tall else text, size.width - (0 if tall else 130))
    text_x, anchor = _text_place(x, width, len(shown) * _CHARACTER, size, mirrored=mirrored)
    return StripBar(
        channel=channel_name(hop.channel),
        tone=outcome_tone(hop.outcome),
        x=x,
        y=y + (26 if tall else 7),
        width=width,
        text=shown,
        text_x=(size.width if mirrored else 0) if tall else text_x,
        text_y=y + (18 if tall else 26),
        anchor="start" if tall else anchor,
        title=title,
    )


def _text_place(x: float, width: float, needed: float, size: Size, *, mirrored: bool) -> tuple[float, str]:
    """Inside the bar where it fits, else after it, else before it. "start" is the reading side: right when mirrored."""
    near, far = (x + width, x) if mirrored else (x, x + width)
    away = -1 if mirrored else 1
    if needed + 20 <= width:
        return near + away * 10, "start"
    room = far if mirrored else size.width - far
    if needed + 10 <= room:
        return far + away * 8, "start"
    return near - away * 8, "end"


def _cut(text: str, width: float) -> str:
    most = int(width / _CHARACTER)
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _seconds_axis(longest: float, labels: int) -> tuple[float, float]:
    """The step between labels and the axis' end: the smallest nice step that needs no more than `labels` of them."""
    step = next((nice for nice in _NICE_SECONDS if longest / nice <= labels), _NICE_SECONDS[-1])
    return step, max(ceil(longest / step), 1) * step


def _axis_seconds(at_s: float) -> str:
    return gettext("%(n)s s", n=f"{at_s:g}") if at_s < 120 else seconds(at_s)
