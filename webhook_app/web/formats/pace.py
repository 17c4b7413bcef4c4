"""How long does it take? Half and 95 of 100 messages by carrier: where each bar stands, and what it shows in words."""

from collections.abc import Sequence
from dataclasses import dataclass

from webhook_app.figures.overview_rows import FEW, Pace
from webhook_app.web.formats.charts import Mark, Size, axis_anchor, axis_seconds, seconds_axis
from webhook_app.web.formats.numbers import number, seconds
from webhook_app.web.formats.translation import gettext, ngettext
from webhook_app.web.formats.words import carrier_name

SIZES = {
    "wide": Size(width=960, height=0, labels=8, name="wide"),
    "tall": Size(width=327, height=0, labels=4, name="tall"),
}
_AXIS_HEIGHT = 22.0
_SLOWER = 1.3  # carriers are not alike when the slowest takes so many times as long as the fastest
_MINUTE_S = 60


@dataclass(frozen=True, kw_only=True)
class PaceBar:
    """From nothing to the half solid, from there to 95 of 100 pale."""

    carrier: str
    name: str
    y: float
    half_x: float
    half_width: float
    most_x: float
    most_width: float
    name_y: float
    text: str
    text_x: float
    text_anchor: str
    text_y: float
    title: str
    is_few: bool


@dataclass(frozen=True, kw_only=True)
class PaceChart:
    size: Size
    height: float
    bar_height: float
    name_x: float
    axis_y: float
    bars: tuple[PaceBar, ...]
    times: tuple[Mark, ...]


def pace_chart(paces: Sequence[Pace], size: Size, *, mirrored: bool = False) -> PaceChart:
    """A bar for each carrier on one axis of seconds. On the tall drawing the words stand above their bar."""
    tall = size.name == "tall"
    row, bar_height, gutter = (54.0, 14.0, 0.0) if tall else (40.0, 18.0, 104.0)
    room = 0.0 if tall else 190.0  # for the words after the longest bar
    step, end = seconds_axis(max((pace.p95_s for pace in paces), default=1.0), size.labels)
    scale = (size.width - gutter - room) / end

    def place(at_s: float) -> float:
        x = gutter + at_s * scale
        return round(size.width - x if mirrored else x, 1)

    def bar(index: int, pace: Pace) -> PaceBar:
        zero, half, most = place(0), place(pace.p50_s), place(pace.p95_s)
        y = index * row + (24 if tall else (row - bar_height) / 2)
        words_y = index * row + (17 if tall else row / 2 + 4.5)
        after = most - 10 if mirrored else most + 10
        return PaceBar(
            carrier=pace.carrier,
            name=carrier_name(pace.carrier),
            y=y,
            half_x=min(zero, half),
            half_width=round(abs(half - zero), 1),
            most_x=min(half, most),
            most_width=max(round(abs(most - half), 1), 2.0),
            name_y=words_y,
            text=_both(pace),
            text_x=(0 if mirrored else size.width) if tall else after,
            text_anchor="end" if tall else "start",
            text_y=words_y,
            title=_title(pace),
            is_few=pace.messages < FEW,
        )

    axis_y = len(paces) * row
    return PaceChart(
        size=size,
        height=axis_y + _AXIS_HEIGHT,
        bar_height=bar_height,
        name_x=float(size.width if mirrored else 0),
        axis_y=axis_y,
        bars=tuple(bar(index, pace) for index, pace in enumerate(paces)),
        times=tuple(
            Mark(
                at=place(count * step),
                text=axis_seconds(count * step),
                anchor=axis_anchor(place(count * step), size.width, mirrored=mirrored),
            )
            for count in range(round(end / step) + 1)
        ),
    )


def pace_finding(paces: Sequence[Pace], p95_s: float | None) -> str:
    """The picture's title: how long one waits, and on whom longer."""
    if p95_s is None:
        return gettext("How long it takes: nothing was delivered yet")
    telling = [pace for pace in paces if pace.messages >= FEW]
    if not telling:
        return gettext("How long it takes: too few messages to say")
    fastest, slowest = (choose(telling, key=lambda pace: pace.p95_s) for choose in (min, max))
    known = {"all": seconds(p95_s), "carrier": carrier_name(slowest.carrier), "slowest": seconds(slowest.p95_s)}
    if len(telling) == 1:
        return gettext("95 of 100 arrive within %(all)s", **known)
    if slowest.p95_s > _SLOWER * fastest.p95_s:
        return gettext("95 of 100 arrive within %(all)s; slowest on %(carrier)s: %(slowest)s", **known)
    return gettext("95 of 100 arrive within %(all)s, on all carriers alike", **known)


def seconds_figure(value: float | None) -> tuple[str, str]:
    """A tile's big number and its unit: 11.8 and "s", or all of it in one from a minute on."""
    if value is None or value >= _MINUTE_S - 0.05:
        return seconds(value), ""
    return f"{value:.1f}", gettext("s")


def _both(pace: Pace) -> str:
    return gettext("%(half)s, 95 of 100 in %(most)s", half=seconds(pace.p50_s), most=seconds(pace.p95_s))


def _title(pace: Pace) -> str:
    return ngettext(
        "%(carrier)s: half of its %(n)s delivered message within %(half)s, 95 of 100 within %(most)s",
        "%(carrier)s: half of its %(n)s delivered messages within %(half)s, 95 of 100 within %(most)s",
        pace.messages,
        carrier=carrier_name(pace.carrier),
        n=number(pace.messages),
        half=seconds(pace.p50_s),
        most=seconds(pace.p95_s),
    )
