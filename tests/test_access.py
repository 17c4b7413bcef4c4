"""Who may come in: every route is closed unless listed here; forms, sign-in, sign-out, cookies, headers, faults."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from webhook_app import create_app, sending
from webhook_app.web.access import open_to_all

from .conftest import HTTPS, PASSWORD, PUBLIC_URL, csrf_token, make_config, sign_in

# Whoever opens a route adds it here, and says what it checks instead of a sign-in.
OPEN = {
    "static": "nothing: the same files for everyone",
    "access.sign_in": "a name and a password, slowed",
    "access.sign_out": "a CSRF token",
    "language.choose": "a CSRF token; it tells nothing",
    "api.send": "an API key",
    "health.healthz": "nothing, and tells nothing",
    "health.readyz": "nothing, and tells nothing",
}
ANY_ID = "01980f2e-77b1-7c20-9d0e-5f3a1b2c6c41"


@pytest.fixture
def app(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Flask]:
    """On SQLite alone: who may come in is not the store's affair."""
    yield from running(migrated_sqlite, tmp_path)


def running(migrated_sqlite: Path, folder: Path, **more: str) -> Iterator[Flask]:
    path = folder / "one.db"
    path.write_bytes(migrated_sqlite.read_bytes())
    app = create_app(make_config(f"sqlite:///{path}", folder, **more))
    yield app
    app.extensions["wasl"].database.engine.dispose()


def rules(app: Flask) -> list[Rule]:
    return list(app.url_map.iter_rules())


def address(app: Flask, rule: Rule) -> str:
    values = {name: "app.css" if name == "filename" else ANY_ID for name in rule.arguments}
    return app.url_map.bind("wasl").build(rule.endpoint, values)


def test_the_open_routes_are_the_ones_listed_here(app: Flask) -> None:
    marked = {rule.endpoint for rule in rules(app) if getattr(app.view_functions[rule.endpoint], "wasl_open", False)}
    assert marked == OPEN.keys()


def test_every_other_route_sends_a_stranger_to_the_sign_in_page(app: Flask) -> None:
    client = app.test_client()
    token = csrf_token(client)
    closed = [rule for rule in rules(app) if rule.endpoint not in OPEN]
    assert len(closed) >= 9
    for rule in closed:
        for method in (rule.methods or set()) & {"GET", "POST"}:
            data = {"csrf_token": token} if method == "POST" else None
            answer = client.open(address(app, rule), method=method, data=data, **HTTPS)
            assert (rule.endpoint, answer.status_code) == (rule.endpoint, 302)
            assert answer.headers["Location"].startswith("/sign-in"), rule


def test_a_stranger_s_poll_is_401_rather_than_a_sign_in_page(app: Flask) -> None:
    client = app.test_client()
    for path in ("/", "/messages", f"/messages/{ANY_ID}"):
        assert client.get(f"{path}?fragment=live", **HTTPS).status_code == 401


def test_an_unknown_address_says_no_more_to_a_stranger_than_that_it_is_unknown(app: Flask) -> None:
    answer = app.test_client().get("/nope", **HTTPS)
    assert answer.status_code == 404
    assert b"/messages" not in answer.data


def test_every_form_without_its_token_is_400_and_does_nothing(app: Flask) -> None:
    visitor = sign_in(app)
    for_programs = {"api.send"}
    posts = [rule for rule in rules(app) if "POST" in (rule.methods or set()) and rule.endpoint not in for_programs]
    assert len(posts) >= 7
    for rule in posts:
        for data in ({}, {"csrf_token": "wrong"}, {"csrf_token": csrf_token(app.test_client())}):
            answer = visitor.post(address(app, rule), data=data, **HTTPS)
            assert (rule.endpoint, answer.status_code) == (rule.endpoint, 400)
            words = "from another sign-in" if rule.endpoint == "pages.send_now" else "This form is too old"
            assert words in answer.get_data(as_text=True)
    assert visitor.get("/", **HTTPS).status_code == 200  # not even signed out


def test_a_form_that_another_site_posts_is_400(app: Flask) -> None:
    visitor = sign_in(app)
    data = {"csrf_token": csrf_token(visitor, "/send"), "name": "shop"}
    elsewhere = {"base_url": PUBLIC_URL, "headers": {"Referer": "https://evil.example/"}}
    assert visitor.post("/sources", data=data, **elsewhere).status_code == 400


def test_signing_out_ends_a_copy_of_the_cookie_too(app: Flask) -> None:
    visitor, thief = sign_in(app), app.test_client()
    cookie = visitor.get_cookie("__Host-wasl", domain="wasl.example.iq")
    assert cookie is not None
    thief.set_cookie("__Host-wasl", cookie.value, domain="wasl.example.iq", secure=True)
    assert thief.get("/", **HTTPS).status_code == 200

    answer = visitor.post("/sign-out", data={"csrf_token": csrf_token(visitor, "/send")}, **HTTPS)

    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in")
    assert thief.get("/", **HTTPS).status_code == 302


def guess(client: FlaskClient, name: str, password: str = "a wrong password", **more: str) -> tuple[int, str | None]:
    data = {"name": name, "password": password, "csrf_token": csrf_token(client), **more}
    answer = client.post("/sign-in", data=data, **HTTPS)
    return answer.status_code, answer.headers.get("Retry-After")


@pytest.mark.parametrize("name", ["sara", "nobody"])
def test_after_five_wrong_passwords_each_try_has_to_wait(app: Flask, name: str) -> None:
    sign_in(app)
    client = app.test_client()
    assert [guess(client, name) for _ in range(5)] == [(400, None)] * 5
    status, retry_after = guess(client, name, PASSWORD)
    assert (status, int(retry_after or 0) in (1, 2)) == (429, True)


def test_wrong_passwords_for_one_name_do_not_lock_out_another_address(app: Flask) -> None:
    sign_in(app)
    client = app.test_client()
    assert {guess(client, f"name {number}") for number in range(5)} == {(400, None)}
    elsewhere = app.test_client()
    elsewhere.environ_base["HTTP_X_FORWARDED_FOR"] = "192.0.2.9"
    assert guess(client, "sara", PASSWORD)[0] == 429
    assert guess(elsewhere, "sara", PASSWORD)[0] == 303


def test_a_wrong_name_and_a_wrong_password_read_the_same(app: Flask) -> None:
    sign_in(app)
    client = app.test_client()
    pages = []
    for name in ("sara", "aras"):
        data = {"name": name, "password": "a wrong password", "csrf_token": csrf_token(client)}
        pages.append(client.post("/sign-in", data=data, **HTTPS).get_data(as_text=True).replace(name, "NAME"))
    without_token = [page.split('name="csrf_token"')[0] for page in pages]
    assert without_token[0] == without_token[1]
    assert "do not belong together" in without_token[0]


def test_the_cookie_on_https_is_bound_to_this_host_and_out_of_reach_of_scripts(app: Flask) -> None:
    answer = app.test_client().get("/sign-in", **HTTPS)
    name_and_value, *flags = answer.headers["Set-Cookie"].split("; ")
    assert name_and_value.startswith("__Host-wasl=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(flags)
    assert not any(flag.startswith("Domain") for flag in flags)


def test_the_cookie_on_loopback_works_without_https(migrated_sqlite: Path, tmp_path: Path) -> None:
    for app in running(migrated_sqlite, tmp_path, WASL_PUBLIC_URL="http://127.0.0.1:8000"):
        answer = app.test_client().get("/sign-in", base_url="http://127.0.0.1:8000")
        name_and_value, *flags = answer.headers["Set-Cookie"].split("; ")
        assert name_and_value.startswith("wasl=")
        assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= set(flags)
        assert "Secure" not in flags
        assert "Strict-Transport-Security" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/messages", 200),
        ("GET", "/messages?status=x", 400),
        ("GET", "/nope", 404),
        ("GET", "/sign-out", 405),
        ("POST", "/send", 400),
        ("GET", "/static/app.css", 200),
        ("GET", "/static/nope.css", 404),
        ("GET", "/healthz", 200),
        ("POST", "/api/sms", 401),
        ("GET", "/api/nope", 404),
    ],
)
def test_every_answer_carries_the_security_headers(app: Flask, method: str, path: str, status: int) -> None:
    answer = sign_in(app).open(path, method=method, **HTTPS)
    answer.close()
    assert answer.status_code == status
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert answer.headers["Cache-Control"] == "no-store"


def test_only_a_file_with_its_version_may_be_kept(app: Flask) -> None:
    page = app.test_client().get("/sign-in", **HTTPS).get_data(as_text=True)
    path = page.split('href="/static/app.css', 1)[1].split('"', 1)[0]
    answer = app.test_client().get(f"/static/app.css{path}", **HTTPS)
    answer.close()
    assert path.startswith("?v=")
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


ELSEWHERE = [
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "https:evil.example",
    "https://evil.example",
    "javascript:alert(1)",
    "evil.example",
    " //evil.example",
    "/\r\nX-Evil: 1",
    "",
]


@pytest.mark.parametrize("target", ELSEWHERE[:3])
def test_signing_in_leads_to_no_other_site(app: Flask, target: str) -> None:
    sign_in(app)
    client = app.test_client()
    data = {"name": "sara", "password": PASSWORD, "csrf_token": csrf_token(client), "next": target}
    answer = client.post("/sign-in", data=data, **HTTPS)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")


def test_no_form_leads_to_another_site(app: Flask) -> None:
    visitor = sign_in(app)
    token = csrf_token(visitor, "/send")
    for target in ELSEWHERE:
        data = {"csrf_token": token, "theme": "dark", "next": target}
        assert (target, visitor.post("/theme", data=data, **HTTPS).headers["Location"]) == (target, "/")


def test_signing_in_leads_back_to_where_one_wanted_to_go(app: Flask) -> None:
    sign_in(app)
    client = app.test_client()
    asked = client.get("/messages?status=failed", **HTTPS).headers["Location"]
    page = client.get(asked, **HTTPS).get_data(as_text=True)
    assert 'name="next" value="/messages?status=failed"' in page
    assert guess(client, "sara", PASSWORD, next="/messages?status=failed")[0] == 303


@pytest.mark.parametrize("path", ["/boom", "/api/boom"])
def test_a_fault_shows_no_traceback_and_no_text_of_the_error(
    app: Flask, path: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    @open_to_all
    def fails() -> str:
        raise RuntimeError("code 493817 for 9647707654321")

    app.add_url_rule(path, "boom", fails)
    answer = app.test_client().get(path, **HTTPS)

    assert answer.status_code == 500
    assert answer.mimetype == ("application/json" if path.startswith("/api") else "text/html")
    told = answer.get_data(as_text=True) + caplog.text + capsys.readouterr().err
    assert "RuntimeError" in caplog.text
    assert "test_access.py" in caplog.text  # where it happened is logged
    for secret in ("493817", "9647707654321"):
        assert secret not in told
    assert "Traceback" not in answer.get_data(as_text=True)
    assert "RuntimeError" not in answer.get_data(as_text=True)


def test_a_fault_in_a_signed_in_page_keeps_its_frame(app: Flask) -> None:
    def fails() -> str:
        raise sending.StillRunning  # type: ignore[call-arg]  # any error nobody expects

    app.add_url_rule("/boom", "boom", fails)
    answer = sign_in(app).get("/boom", **HTTPS)
    assert answer.status_code == 500
    assert b'href="/messages"' in answer.data
