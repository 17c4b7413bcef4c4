"""The channels of one message on one time axis: where each bar and its words stand. `_charts.html` draws it."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from webhook_app.figures.rows import Hop
from webhook_app.web.formats.charts import Mark, Size, axis_anchor, axis_seconds, seconds_axis
from webhook_app.web.formats.numbers import seconds
from webhook_app.web.formats.reasons import reason_words
from webhook_app.web.formats.translation import gettext
from webhook_app.web.formats.words import channel_name, outcome_tone

SIZES = {
    "wide": Size(width=960, height=0, labels=6, name="wide"),
    "tall": Size(width=327, height=0, labels=4, name="tall"),
}
_AXIS_HEIGHT = 22
_CHARACTER = 8.0  # a letter of the strip's text, on average
_LINE = 18.0


@dataclass(frozen=True, kw_only=True)
class StripBar:
    channel: str
    tone: str
    x: float
    y: float
    width: float
    lines: tuple[Mark, ...]  # `at` is down from the top
    text_x: float
    text_y: float
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


def hop_strip(hops: Sequence[Hop], size: Size, *, mirrored: bool = False) -> HopStrip:
    """The channels of one message on one time axis. On the tall drawing the words stand above their bar, in as many
    lines as the longest of them takes."""
    tall = size.name == "tall"
    gutter = 0.0 if tall else 110.0
    above = _LINE * max((len(_lines(hop, size)) for hop in hops), default=1) if tall else 0.0
    row, bar_height = (above + 36, 14.0) if tall else (42.0, 28.0)
    step, end = seconds_axis(max((hop.end_s for hop in hops), default=1.0), size.labels)
    scale = (size.width - gutter) / end

    def place(at_s: float) -> float:
        x = gutter + min(at_s, end) * scale
        return round(size.width - x if mirrored else x, 1)

    bars = tuple(
        _strip_bar(hop, place(hop.start_s), place(hop.end_s), index * row, above, size, mirrored=mirrored)
        for index, hop in enumerate(hops)
    )
    times = tuple(
        Mark(
            at=place(number * step),
            text=axis_seconds(number * step),
            anchor=axis_anchor(place(number * step), size.width, mirrored=mirrored),
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


def _strip_bar(hop: Hop, start: float, end: float, y: float, above: float, size: Size, *, mirrored: bool) -> StripBar:
    tall = size.name == "tall"
    x, width = min(start, end), max(abs(end - start), 3.0)
    lines = _lines(hop, size)
    text_x, anchor = _text_place(x, width, len(lines[0]) * _CHARACTER, size, mirrored=mirrored)
    text_y = y + (above if tall else 26)
    first = text_y - _LINE * (len(lines) - 1)  # the last line stands right above the bar
    return StripBar(
        channel=channel_name(hop.channel),
        tone=outcome_tone(hop.outcome),
        x=x,
        y=y + (above + 8 if tall else 7),
        width=width,
        lines=tuple(
            Mark(at=first + _LINE * index, text=line, anchor="start" if tall else anchor)
            for index, line in enumerate(lines)
        ),
        text_x=(size.width if mirrored else 0) if tall else text_x,
        text_y=text_y,
        title=_title(hop),
    )


def _title(hop: Hop) -> str:
    return gettext("%(channel)s: %(text)s", channel=channel_name(hop.channel), text=_text(hop))


def _text(hop: Hop) -> str:
    if outcome_tone(hop.outcome) == "few":
        return gettext("no outcome known")  # how long that has lasted is not told: the picture would move by the second
    reason = reason_words(hop.reason)
    lasted = seconds(hop.end_s - hop.start_s)
    return gettext("%(lasted)s, then “%(reason)s”", lasted=lasted, reason=reason.meaning) if reason else lasted


def _lines(hop: Hop, size: Size) -> list[str]:
    if size.name == "tall":
        return textwrap.wrap(_title(hop), int(size.width / _CHARACTER))
    return [_cut(_text(hop), size.width - 130)]


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
