"""`wasl serve` as it runs: gunicorn on a free port, spoken to over raw sockets, stopped by signals."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from webhook_app.ids import new_id
from webhook_app.stamp import Stamper

from .conftest import SECRET_KEY
from .running import group_of, serving, talk

BODY = b'{"smsId":"sms-1","deliveryReportType":"all","isFinal":true,"channel":"sms","status":"delivered"}'


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with serving(tmp_path_factory.mktemp("serving")) as (_server, port):
        yield port


def callback(port: int, *header_lines: str, body: bytes = BODY, target: UUID | None = None) -> tuple[int, bytes]:
    """POST a callback with these header lines (`SECRET` stands for the right one); its status and body."""
    stamp = Stamper((SECRET_KEY,), f"http://127.0.0.1:{port}").issue(target or new_id(datetime.now(UTC)))
    lines = [
        f"POST {stamp.url.partition(str(port))[2]} HTTP/1.1",
        "Host: wasl",
        "Connection: close",
        *(line.replace("SECRET", stamp.secret) for line in header_lines),
    ]
    answer = talk(port, "\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    head, _blank, content = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), content


def length(body: bytes = BODY) -> str:
    return f"Content-Length: {len(body)}"


def test_an_authentic_callback_is_stored(port: int) -> None:
    status, content = callback(port, "X-OTPIQ-Webhook-Secret: SECRET", "Content-Type: application/json", length())
    assert (status, json.loads(content)) == (200, {"status": "ok", "verdict": "orphan"})


def test_the_secret_header_s_case_does_not_matter_and_blanks_around_it_neither(port: int) -> None:
    assert callback(port, "x-otpiq-webhook-SECRET".replace("SECRET", "secret") + ":   SECRET  ", length())[0] == 200


@pytest.mark.parametrize(
    "lines",
    [
        ["X-OTPIQ-Webhook-Secret: SECRET", "X-OTPIQ-Webhook-Secret: SECRET"],
        ["X-OTPIQ-Webhook-Secret: SECRET", "X-OTPIQ-Webhook-Secret: wrong"],
        ["X-OTPIQ-Webhook-Secret: wrong", "X-OTPIQ-Webhook-Secret: SECRET"],
        ["X-OTPIQ-Webhook-Secret: "],
        ["X-OTPIQ-Webhook-Secret: sécrèt سر"],
        ["X_OTPIQ_Webhook_Secret: SECRET"],
        [],
    ],
    ids=["doubled", "right then wrong", "wrong then right", "empty", "not ASCII", "underscores", "missing"],
)
def test_every_other_secret_is_401_with_the_same_bytes(port: int, lines: list[str]) -> None:
    assert callback(port, *lines, length()) == (401, b'{"message":"not authentic"}\n')


def chunked(body: bytes) -> bytes:
    half = len(body) // 2
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:])) + b"0\r\n\r\n"


def test_a_chunked_body_is_read_whole(port: int) -> None:
    target = new_id(datetime.now(UTC))
    lines = ("X-OTPIQ-Webhook-Secret: SECRET", "Transfer-Encoding: chunked")
    assert json.loads(callback(port, *lines, body=chunked(BODY), target=target)[1])["verdict"] == "orphan"
    again = callback(port, "X-OTPIQ-Webhook-Secret: SECRET", length(), target=target)
    assert json.loads(again[1])["verdict"] == "repeat"  # the same bytes, however they travelled


@pytest.mark.parametrize("how", ["at once", "chunked"])
def test_a_body_over_64_kib_is_413_in_json(port: int, how: str) -> None:
    big = b"x" * (64 * 1024 + 1)
    line, body = (length(big), big) if how == "at once" else ("Transfer-Encoding: chunked", chunked(big))
    status, content = callback(port, "X-OTPIQ-Webhook-Secret: SECRET", line, body=body)
    assert (status, set(json.loads(content))) == (413, {"message"})


def test_an_empty_body_is_stored_like_any_other(port: int) -> None:
    status, content = callback(port, "X-OTPIQ-Webhook-Secret: SECRET", length(b""), body=b"")
    assert (status, json.loads(content)["verdict"]) == (200, "quarantined")


def test_the_api_answers_401_in_json_to_a_key_of_odd_bytes(port: int) -> None:
    request = "POST /api/sms HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer sk_live_é\r\n"
    head, _blank, content = talk(port, request.encode() + b"Content-Length: 2\r\n\r\n{}").partition(b"\r\n\r\n")
    assert (int(head.split()[1]), set(json.loads(content))) == (401, {"message"})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_it_stops_on_a_signal_and_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    with serving(tmp_path) as (server, port):
        wait_for_workers(server.pid)
        os.killpg(server.pid, number)  # as a terminal does: every process of the group gets it
        assert server.wait(timeout=15) == 0
        assert group_of(server.pid) == []
        with pytest.raises(ConnectionRefusedError):
            talk(port, b"GET / HTTP/1.0\r\n\r\n")
    assert "Traceback" not in (tmp_path / "serve.log").read_text()


def test_workers_whose_master_is_gone_let_the_next_one_have_the_port(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, port):
        wait_for_workers(server.pid)
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as kept:
            os.kill(server.pid, signal.SIGKILL)
            server.wait()
            give_up_at, is_kept = time.monotonic() + 10, True
            while is_kept:  # somebody who goes on asking is told, politely, to come again
                assert time.monotonic() < give_up_at
                kept.request("GET", "/healthz")
                answer = kept.getresponse()
                assert (answer.status, answer.read() != b"") == (200, True)
                is_kept = answer.headers["Connection"] != "close"
        while not is_free(port):
            assert time.monotonic() < give_up_at
            time.sleep(0.05)


def is_free(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return True
    return False


def wait_for_workers(leader: int) -> None:
    """One worker is enough to answer; a signal is only interesting when both are there."""
    give_up_at = time.monotonic() + 20
    while len(group_of(leader)) < 3:  # the arbiter and two workers
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


def test_what_cannot_be_read_is_not_quoted_in_the_log_and_told_seldom(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "1") as (_server, port):
        for lines in (
            b"GET / HTTP/1.1\r\nX-OTPIQ-Webhook-Secret hidden-word",
            b"GET /?q=0770 123 4567 HTTP/1.1",
            b"GET / HTTP/1.1\r\nBad\tname: hidden-word",
        ):
            for _ in range(10):
                talk(port, lines + b"\r\nHost: x\r\n\r\n")
    log = (tmp_path / "serve.log").read_text()
    assert not [word for word in ("hidden-word", "123 4567", "Traceback") if word in log]
    assert 1 <= log.count("no HTTP") <= 3


def test_a_taken_port_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        environment = {"PATH": os.environ["PATH"], "WASL_DATA_DIR": str(tmp_path), "WASL_SECRET_KEYS": SECRET_KEY}
        for command in ("serve", "demo", "simulate"):
            ended = subprocess.run(
                [sys.executable, "-m", "webhook_app", command, "--port", str(port)],
                env=environment,
                capture_output=True,
                text=True,
                timeout=20,
            )
            last = ended.stderr.strip().splitlines()
            assert (ended.returncode, ended.stdout) == (1, "")
            assert last == [
                f"Error: 127.0.0.1:{port} cannot be used (Address already in use): choose another with --port"
            ]


def test_a_callback_that_broke_off_is_not_taken_for_a_whole_one(port: int) -> None:
    """The first half may be JSON by itself; OTPIQ is told that it did not arrive, and sends it again."""
    target_id = new_id(datetime.now(UTC))
    secret = Stamper((SECRET_KEY,), "http://127.0.0.1").issue(target_id).secret
    head = f"POST /callbacks/otpiq/{target_id} HTTP/1.1\r\nHost: x\r\nX-OTPIQ-Webhook-Secret: {secret}\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head.encode() + b"Content-Length: 200\r\nConnection: close\r\n\r\n" + BODY)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65536)
    assert not answer or int(answer.split()[1]) == 400


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "PATH_INFO"])
def test_no_header_of_a_caller_moves_the_program(port: int, name: str) -> None:
    answer = talk(port, f"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{name}: /zz\r\n\r\n".encode())
    assert int(answer.split()[1]) == 200
