"""What a browser loads: how it is packed, how long it is kept, how much of it there is, and from whom it comes."""

import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import brotli
import httpx
import pytest
from bs4 import BeautifulSoup
from flask import Flask
from flask.testing import FlaskClient

from .conftest import HTTPS, PUBLIC_URL
from .showing import showing, sign_in

ROOT = Path(__file__).parent.parent
STATIC = ROOT / "webhook_app/static"
# performance.md's goals; its gates are 150 kB and 20 kB.
FIRST_LOAD_BYTES, LATER_LOAD_BYTES = 90_000, 10_000
UNPACK = {"br": brotli.decompress, "gzip": gzip.decompress, None: bytes}


@pytest.mark.parametrize(
    ("accepted", "packing"),
    [("gzip, deflate, br", "br"), ("gzip, deflate", "gzip"), ("br;q=0, gzip", "gzip"), ("identity", None), ("", None)],
)
def test_a_file_travels_in_the_smallest_packing_the_browser_takes(
    client: FlaskClient, accepted: str, packing: str | None
) -> None:
    answer = client.get("/static/vendor/htmx.min.js", headers={"Accept-Encoding": accepted})
    assert answer.headers.get("Content-Encoding") == packing
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert UNPACK[packing](answer.data) == (STATIC / "vendor/htmx.min.js").read_bytes()


def test_a_font_is_packed_already(client: FlaskClient) -> None:
    answer = client.get("/static/vendor/vazirmatn.woff2", headers={"Accept-Encoding": "gzip, br"})
    assert answer.content_type == "font/woff2"
    assert answer.data == (STATIC / "vendor/vazirmatn.woff2").read_bytes()


def test_a_file_that_is_still_the_same_is_not_sent_again(client: FlaskClient) -> None:
    first = client.get("/static/app.css", headers={"Accept-Encoding": "br"})
    again = client.get("/static/app.css", headers={"Accept-Encoding": "gzip", "If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304


def test_a_file_is_the_same_whoever_is_signed_in(visitor: FlaskClient) -> None:
    answer = visitor.get("/static/app.css", **HTTPS)
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Vary"] == "Accept-Encoding"


def test_a_version_from_another_day_is_not_kept(client: FlaskClient) -> None:
    assert client.get("/static/app.css?v=0123456789ab").headers["Cache-Control"] == "no-store"


def test_what_a_stylesheet_draws_upon_is_kept_for_a_year_too(client: FlaskClient) -> None:
    (font,) = re.findall(r'url\("([^"]+)"\)', client.get("/static/app.css").get_data(as_text=True))
    assert "max-age=31536000" in client.get(f"/static/{font}").headers["Cache-Control"]


@pytest.mark.parametrize("packing", ["br", "gzip"])
def test_a_page_travels_compressed_and_says_the_same(visitor: FlaskClient, packing: str) -> None:
    packed = visitor.get("/sources", base_url=PUBLIC_URL, headers={"Accept-Encoding": packing})
    plain = visitor.get("/sources", base_url=PUBLIC_URL)
    assert packed.headers["Content-Encoding"] == packing
    assert len(packed.data) < len(plain.data) / 2
    assert without_chance(UNPACK[packing](packed.data)) == without_chance(plain.data)


def test_the_size_of_a_page_gives_no_secret_of_it_away(visitor: FlaskClient) -> None:
    """Who could add words to a page and weigh it would find a secret by trying: the weight wavers on purpose."""
    headers = {"Accept-Encoding": "gzip"}
    sizes = {len(visitor.get("/sources", base_url=PUBLIC_URL, headers=headers).data) for _ in range(20)}
    assert max(sizes) - min(sizes) > 20


def test_what_others_made_is_what_they_released() -> None:
    vendor = STATIC / "vendor"
    listed = {entry["file"]: entry["sha256"] for entry in json.loads((vendor / "MANIFEST").read_text())}
    assert {name: hashlib.sha256((vendor / name).read_bytes()).hexdigest() for name in listed} == listed
    assert {path.name for path in vendor.iterdir() if path.suffix in (".js", ".woff2", ".css")} <= set(listed)


def test_the_sprite_holds_the_icons_that_are_used_and_no_other() -> None:
    drawn = set(re.findall(r'<symbol id="([^"]+)"', (STATIC / "icons.svg").read_text()))
    sources = [*(ROOT / "templates").glob("*.html"), *(ROOT / "webhook_app/web").rglob("*.py")]
    quoted = set(re.findall(r'"([a-z][a-z0-9-]*)"', "".join(path.read_text() for path in sources)))
    asked_for = set(re.findall(r'icon\("([^"]+)"', "".join(path.read_text() for path in sources)))
    assert asked_for <= drawn
    assert drawn <= quoted


def test_no_page_asks_anything_of_another_host(app: Flask, visitor: FlaskClient) -> None:
    paths = [rule.rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ()) and not rule.arguments]
    for path in paths:
        soup = BeautifulSoup(visitor.get(path, **HTTPS).data, "html.parser")
        assert [url for url in asked_for_by(soup) if not url.startswith(("/", "#"))] == [], path


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with showing(tmp_path_factory.mktemp("weighed")) as origin:
        yield origin


@pytest.mark.parametrize("language", ["en", "ar-IQ", "ckb-IQ"])
def test_the_overview_is_light(origin: str, language: str) -> None:
    headers = {"Accept-Encoding": "gzip, br", "Accept-Language": language}
    with httpx.Client(base_url=origin, headers=headers, trust_env=False) as browser:
        sign_in(browser)
        page = browser.get("/")
        assert page.status_code == 200
        soup = BeautifulSoup(page.content, "html.parser")
        files = {url.partition("#")[0]: browser.get(url) for url in asked_for_by(soup)}
    kept = [file for file in files.values() if "immutable" in file.headers["Cache-Control"]]
    first = page.num_bytes_downloaded + sum(file.num_bytes_downloaded for file in files.values())
    later = first - sum(file.num_bytes_downloaded for file in kept)
    print(f"{language}: first load {first:,} bytes, later loads {later:,}")
    assert first <= FIRST_LOAD_BYTES
    assert later <= LATER_LOAD_BYTES


def asked_for_by(soup: BeautifulSoup) -> list[str]:
    """The addresses a browser loads for a page without being told to go there."""
    links = [link["href"] for link in soup.select("link[href], use[href]")]
    return [str(url) for url in (*links, *(tag["src"] for tag in soup.select("[src]")))]


def without_chance(page: bytes) -> str:
    """The page without its forms' tokens, and without the comment at its end that varies its weight."""
    return re.sub(r'name="csrf_token" value="[^"]*"|<!-- [\w-]* -->$', "", page.decode())
