"""What a person reads off a page: its tiles, its tables of numbers, its tabs; as plain numbers again."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

from bs4 import BeautifulSoup, Tag

_UNITS_S = {"ms": 0.001, "s": 1, "min": 60, "h": 3600}
_DURATION = re.compile(r"([0-9.]+) ?(ms|s|min|h)")
_UNSEEN = str.maketrans("", "", "\u2066\u2068\u2069")  # they keep a number's parts in order, and nobody reads them


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table: what it is of, as it stands there, and the address that leads to its messages."""

    head: str
    cells: Sequence[str]
    link: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Tile:
    figure: str
    change: str
    against: str
    at_risk_iqd: int


def rows(soup: BeautifulSoup, selector: str) -> list[Row]:
    """The body of a table."""
    return [
        Row(head=text(row.select_one("th")), cells=[text(cell) for cell in row.select("td")], link=arguments(row))
        for row in soup.select(f"{selector} tbody tr")
    ]


def tiles(soup: BeautifulSoup) -> dict[str, Tile]:
    """By their names."""
    return {
        text(tile.select_one("h2")): Tile(
            figure=text(tile.select_one(".figure")),
            change=text(tile.select_one(".change bdi")),
            against=text(tile.select_one(".change .mute")),
            at_risk_iqd=number(text(tile.select_one(".risk bdi")) or "0"),
        )
        for tile in soup.select(".tile")
    }


def tabs(soup: BeautifulSoup) -> dict[str, int]:
    """By status, or "all"; a status that has none may have no tab."""
    return {str(tab["id"]).removeprefix("tab-"): number(text(tab.select_one("bdi"))) for tab in soup.select(".tabs a")}


def text(part: Tag | None) -> str:
    return " ".join(part.get_text("").translate(_UNSEEN).split()) if part else ""


def number(shown: str) -> int:
    """ "1,204", "~80", "–" """
    return int(shown.replace(",", "").strip("~–+") or 0)


def seconds(shown: str) -> float | None:
    """ "4.1 s", "3 min 05 s"; the dash is None."""
    if shown == "–":
        return None
    return sum(float(amount) * _UNITS_S[unit] for amount, unit in _DURATION.findall(shown))


def arguments(part: Tag) -> dict[str, str]:
    """Of the first address in it."""
    link = part if part.name == "a" else part.select_one("a")
    return {name: values[0] for name, values in parse_qs(urlsplit(str(link["href"])).query).items()} if link else {}


def moment(local: str, zone: ZoneInfo) -> datetime:
    return datetime.fromisoformat(local).replace(tzinfo=zone).astimezone(UTC)
