"""The self-test finds the link of the way in that is broken, on real connections; and the door stores no probe."""

import ast
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import trustme

from webhook_app import probing, sources
from webhook_app.database import Database
from webhook_app.ids import new_id
from webhook_app.models import Callback, Intake
from webhook_app.probing import LINKS, WORDS, Broken
from webhook_app.stamp import Stamp, Stamper

from .conftest import SECRET_KEY
from .running import free_port, serving
from .scripted import Answer, Scripted, answer

SECRET = "a-secret"
CA = trustme.CA()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stamper, Database]]:
    """`wasl serve`, and who stamps for it."""
    folder = tmp_path_factory.mktemp("served")
    with serving(folder) as (_process, port):
        database = Database(f"sqlite:///{folder / 'wasl.db'}")
        yield Stamper((SECRET_KEY,), f"http://127.0.0.1:{port}"), database
        database.engine.dispose()


def broken(*answers: Answer, patience_s: float = 5.0) -> Broken | None:
    """What is found where somebody answers so."""
    with Scripted(*answers) as server:
        return probing.probe(Stamp(url=server.base_url, secret=SECRET), patience_s=patience_s).broken


def as_it_came(request: bytes) -> str:
    return probing.answer_to(request.partition(b"\r\n\r\n")[2])


def ours(verdict: str, *headers: str) -> list[bytes | float]:
    return answer(200, {"status": "ok", "verdict": verdict}, *headers)


def test_a_probe_comes_back_whole_from_wasl_itself_and_leaves_nothing_there(served: tuple[Stamper, Database]) -> None:
    stamper, database = served
    done = probing.probe(stamper.issue(new_id(datetime.now(UTC))))
    assert done.broken is None
    assert done.links == ("name", "connection", "path", "headers", "body", "time")
    assert 0 < done.took_s < 5
    with database.reading() as session:
        assert session.query(Callback).count() == session.query(Intake).count() == 0


def test_a_source_s_own_address_is_tried_with_its_own_secret(served: tuple[Stamper, Database]) -> None:
    stamper, database = served
    shop = sources.add(database, "shop", datetime.now(UTC))
    assert probing.probe(stamper.issue(shop.id)).broken is None
    other = stamper.issue(new_id(datetime.now(UTC)))
    wrong = probing.probe(Stamp(url=stamper.issue(shop.id).url, secret=other.secret))
    assert wrong.broken == Broken(link="headers", kind="secret")


def test_it_looks_like_a_callback_of_otpiq_s() -> None:
    with Scripted(lambda request: ours(as_it_came(request))) as server:
        assert probing.probe(Stamp(url=server.base_url, secret=SECRET)).broken is None
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert b"POST /api HTTP/1.1" in head
    assert f"X-OTPIQ-Webhook-Secret: {SECRET}".encode() in head
    assert b"Content-Type: application/json" in head
    assert body.startswith(probing.BEGINNING)


@pytest.mark.parametrize(
    ("answered", "found"),
    [
        (answer(301, b"", "Location: https://there.example/in?key=1"), ("path", "redirect", "https://there.example/in")),
        (answer(404, b"<h1>Not found</h1>"), ("path", "status", "404")),
        (answer(502, b"Bad gateway"), ("path", "gateway", "502")),
        (answer(401, b"Sign in"), ("path", "status", "401")),
        (answer(401, {"message": "not authentic"}), ("headers", "secret", "")),
        (answer(200, b"<h1>Welcome</h1>"), ("path", "other", "")),
        (answer(200, {"status": "ok"}), ("path", "other", "")),
        (answer(200, [1]), ("path", "other", "")),
        (answer(413, b""), ("body", "refused", "413")),
        (answer(400, b""), ("body", "refused", "400")),
        (ours("orphan"), ("body", "changed", "")),
        (ours(probing.answer_to(b'{"waslProbe":1}')), ("body", "changed", "")),
        (answer(301, b"", "Location: http://["), ("path", "redirect", "http://[")),
        (answer(200, b"[" * 60_000), ("path", "other", "")),
        ([b""], ("path", "cut", "")),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"], ("path", "cut", "")),
        ([b"SSH-2.0-OpenSSH\r\n"], ("path", "cut", "")),
        ([5.0], ("time", "late", "0.3")),
        ([b"HTTP/1.1 200 OK\r\n", 5.0], ("time", "late", "0.3")),
    ],
)  # fmt: skip
def test_what_else_answers_is_told_from_wasl(answered: Answer, found: tuple[str, str, str]) -> None:
    is_slow = found[0] == "time"
    link, kind, told = found
    assert broken(answered, patience_s=0.3 if is_slow else 5.0) == Broken(link=link, kind=kind, told=told)


def test_an_answer_that_drips_or_never_ends_is_not_waited_for() -> None:
    dripping = [b"HTTP/1.1 200 OK\r\n\r\n", *[b"x", 0.05] * 100]
    assert broken(dripping, patience_s=0.4) == Broken(link="time", kind="late", told="0.4")
    endless = [b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 65536] * 50]
    assert broken(endless) == Broken(link="path", kind="other")


@pytest.mark.parametrize(("minutes", "told"), [(7, "-7"), (-60, "+60")])
def test_a_clock_that_is_wrong_is_seen_by_that_of_whoever_stands_before_us(minutes: int, told: str) -> None:
    date = (datetime.now(UTC) + timedelta(minutes=minutes)).strftime("Date: %a, %d %b %Y %H:%M:%S GMT")
    assert broken(lambda request: ours(as_it_came(request), date)) == Broken(link="time", kind="clock", told=told)


@pytest.mark.parametrize("date", ["Date: now", "Date: Sat, 28 Nov 2026 10:00:00 -0000", "X: y"])
def test_a_date_that_says_nothing_breaks_nothing(date: str) -> None:
    assert broken(lambda request: ours(as_it_came(request), date)) is None


@pytest.mark.parametrize(
    ("url", "link", "kind"),
    [
        ("http://nobody.invalid/callbacks/otpiq/1", "name", "unknown"),
        (f"http://{'a' * 70}.invalid/", "name", "unknown"),
        ("http://127.0.0.1:{free}/", "connection", "refused"),
        ("https://127.0.0.1:{free}/", "connection", "refused"),
    ],
)
def test_where_nobody_is_the_way_ends_there(url: str, link: str, kind: str) -> None:
    assert probing.probe(Stamp(url=url.format(free=free_port()), secret=SECRET)).broken == Broken(link=link, kind=kind)


def test_whoever_does_not_take_the_connection_is_not_waited_for() -> None:
    assert probing.probe(Stamp(url="http://192.0.2.1/", secret=SECRET), patience_s=0.3).broken in (
        Broken(link="connection", kind="late"),
        Broken(link="connection", kind="refused"),  # where a machine without a network says so at once
    )


class _Echo(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        (whole,) = ours(probing.answer_to(self.rfile.read(int(self.headers["Content-Length"]))))
        self.wfile.write(whole)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def https_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server with a certificate for this name."""
    certificate = CA.issue_cert(request.param, not_after=datetime(2045, 3, 1, tzinfo=UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    server = HTTPServer(("127.0.0.1", 0), _Echo)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}/callbacks/otpiq/1"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("https_url", ["127.0.0.1"], indirect=True)
def test_a_trusted_certificate_is_passed_and_its_end_told(https_url: str) -> None:
    context = ssl.create_default_context()
    CA.configure_trust(context)
    done = probing.probe(Stamp(url=https_url, secret=SECRET), context=context)
    assert done.broken is None
    assert done.links == LINKS
    assert done.valid_until == datetime(2045, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize("https_url", ["127.0.0.1", "another.example"], indirect=True)
def test_a_certificate_that_otpiq_would_not_trust_is_said_to_be_one(
    https_url: str, request: pytest.FixtureRequest
) -> None:
    context = ssl.create_default_context()
    if "another" in request.node.name:
        CA.configure_trust(context)
    found = probing.probe(Stamp(url=https_url, secret=SECRET), context=context).broken
    assert found is not None
    assert (found.link, found.kind) == ("certificate", "invalid")
    assert ("mismatch" if "another" in request.node.name else "unable to get local issuer") in found.told


def test_a_port_that_speaks_no_tls_has_no_certificate() -> None:
    with Scripted([b"HTTP/1.1 400 Bad Request\r\n\r\n"]) as server:
        url = server.base_url.replace("http:", "https:")
        assert probing.probe(Stamp(url=url, secret=SECRET)).broken == Broken(link="certificate", kind="none")


def test_each_way_of_breaking_has_words_and_none_has_words_that_does_not_occur() -> None:
    found = set()
    for call in ast.walk(ast.parse(Path(probing.__file__).read_text())):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Broken":
            link, kinds = (
                {word.value for word in ast.walk(told.value) if isinstance(word, ast.Constant)}
                for told in call.keywords[:2]
            )
            found |= {(*link, kind) for kind in kinds}
    assert found == {*WORDS}
    assert {link for link, _kind in WORDS} == {*LINKS}
