"""Codes, parameters, keys, secrets and passwords are planted, every path is walked, and then everything is searched."""

import dataclasses
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import LargeBinary, MetaData, text

from webhook_app import accounts, create_app, logs, sources
from webhook_app.database import Database
from webhook_app.models import Callback, Message
from webhook_app.otpiq import Otpiq
from webhook_app.simulator.misbehaviours import TRICKS, Misbehaviour
from webhook_app.simulator.server import Simulator

from .browsing import Browser, form_to
from .conftest import HTTPS, close, csrf_token, make_config
from .rows import all_rows
from .test_callback_bodies import TRAPS

CODE = "KanariCode7419"
PARAMETER = "KanariParam8520"
OTPIQ_KEY = "sk_live_KanariOtpiqKey9631"
PASSWORD = "KanariPassword1742"
MASTER_KEY = "KanariMasterKey of more than 32 bytes 2853"
CALLERS_SECRET = "KanariCallerSecret3964"
NUMBER = "964770765"  # and four digits that say what the simulator does with it
STORED_NUMBERS = [f"{NUMBER}4{trick.suffix}" for trick in TRICKS] + [f"{NUMBER}4000"]


class Walk:
    """Everything the program was made to do, and all it said while doing it."""

    def __init__(self, app: Flask, log: io.StringIO) -> None:
        self.app, self.log = app, log
        self.database: Database = app.extensions["wasl"].database
        self.pages: list[str] = []
        self.answers: list[str] = []
        self.secrets: set[str] = {CODE, PARAMETER, OTPIQ_KEY, PASSWORD, MASTER_KEY, CALLERS_SECRET}

    def everything(self) -> None:
        _id, self.key = accounts.add_key(self.database, "shop", datetime.now(UTC))
        self.secrets.add(self.key)
        accounts.add_user(self.database, "sara", PASSWORD, datetime.now(UTC))
        self.sign_in()
        self.send_by_api()
        self.send_by_page()
        self.call_back()
        self.break_everything()
        self.look_at_every_page()

    def sign_in(self) -> None:
        client = self.app.test_client()
        for password in (f"{PASSWORD}x", PASSWORD):
            data = {"name": "sara", "password": password, "csrf_token": csrf_token(client)}
            self.answers.append(client.post("/sign-in", data=data, **HTTPS).get_data(as_text=True))
        self.browser = Browser(client)

    def send_by_api(self) -> None:
        for trick in TRICKS:
            body = {"phoneNumber": f"{NUMBER}4{trick.suffix}", "smsType": "verification", "verificationCode": CODE}
            self.post_api(json.dumps(body).encode(), once=f"once-{trick.suffix}")
        template = {
            "phoneNumber": f"{NUMBER}4000",
            "smsType": "whatsapp-template",
            "templateName": "otp",
            "whatsappAccountId": "a",
            "whatsappPhoneId": "p",
            "templateParameters": {"body": {"1": PARAMETER}, PARAMETER: [PARAMETER]},
            "deliveryReport": {"webhookUrl": "https://x.example/h", "webhookSecret": CALLERS_SECRET},
        }
        self.post_api(json.dumps(template).encode())
        self.post_api(json.dumps(template | {"phoneNumber": "1", "verificationCode": CODE * 5}).encode())
        self.post_api(f'{{"verificationCode": "{CODE}", "phoneNumber": "{NUMBER}4000"'.encode())

    def post_api(self, raw: bytes, once: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {self.key}"} | ({"Idempotency-Key": once} if once else {})
        answer = self.app.test_client().post("/api/sms", data=raw, headers=headers)
        assert answer.status_code != 500
        self.answers.append(answer.get_data(as_text=True))

    def send_by_page(self) -> None:
        form = form_to(self.browser.soup("/send"), "/send")
        for phone in (f"{NUMBER}4000", f"{NUMBER}4915", f"{NUMBER}4922"):
            answer = self.browser.submit(form, phoneNumber=phone, verificationCode=CODE, once=phone[-3:])
            self.answers.append(answer.headers.get("Location", ""))
        wrong = self.browser.submit(form, phoneNumber="12", verificationCode=CODE)
        assert wrong.status_code == 400  # this page alone may show again what was just typed into it
        self.pages.append(self.browser.search(f"{NUMBER}4000").get_data(as_text=True))

    def call_back(self) -> None:
        stamper = self.app.extensions["wasl"].stamper
        rows = all_rows(self.database, Message)
        targets: list[UUID] = [row.id for row in rows[:3]]
        targets.append(sources.add(self.database, "shop", datetime.now(UTC)).id)
        echo = {"smsId": "sms-1", "status": "sent", "channel": "sms", "isFinal": False, "verificationCode": CODE}
        echoes = [echo, echo | {"templateParameters": {"1": PARAMETER}}]
        bodies = [*TRAPS.values(), *(json.dumps(body).encode() for body in echoes)]
        for target in targets:
            stamp = stamper.issue(target)
            self.secrets.add(stamp.secret)
            for raw in bodies:
                for secret in (stamp.secret, f"{stamp.secret}x"):
                    answer = self.app.test_client().post(
                        stamp.url, data=raw, headers={"X-OTPIQ-Webhook-Secret": secret}
                    )
                    self.answers.append(answer.get_data(as_text=True))
        self.source_secret = stamper.issue(targets[-1]).secret  # which the sources page is there to show

    def break_everything(self) -> None:
        """The store goes away in the middle: each path fails, and says so without its values."""
        house = self.app.extensions["wasl"]
        away = Database("postgresql+psycopg://wasl:KanariStore@127.0.0.1:9/wasl")
        self.secrets.add("KanariStore")
        self.app.extensions["wasl"] = dataclasses.replace(house, database=away)
        body = {"phoneNumber": f"{NUMBER}4000", "smsType": "verification", "verificationCode": CODE}
        self.post_api(json.dumps(body).encode())
        stamp = house.stamper.issue(UUID(int=7))
        headers = {"X-OTPIQ-Webhook-Secret": stamp.secret}
        self.answers.append(self.app.test_client().post(stamp.url, data=b"{}", headers=headers).get_data(as_text=True))
        self.answers.append(self.browser.get("/messages").get_data(as_text=True))
        self.app.extensions["wasl"] = house

    def look_at_every_page(self) -> None:
        paths = ["/", "/?range=7d", "/messages", "/send", "/messages?status=failed", "/nope", "/messages?status=x"]
        for row in all_rows(self.database, Message):
            paths += [f"/messages/{row.id}", f"/messages/{row.id}?fragment=live", f"/send?again={row.id}"]
        self.pages += [self.browser.get(path).get_data(as_text=True) for path in paths]


@pytest.fixture
def walk(store_url: str, tmp_path: Path, simulator: Simulator) -> Iterator[Walk]:
    """Walked once on each store, with the log as text on the one and as JSON on the other."""
    config = make_config(
        store_url,
        tmp_path,
        OTPIQ_BASE_URL=simulator.base_url,
        OTPIQ_API_KEY=OTPIQ_KEY,
        WASL_SECRET_KEYS=MASTER_KEY,
        WASL_LOG="text" if store_url.startswith("sqlite") else "json",
    )
    app = create_app(config)
    house = app.extensions["wasl"]
    quick = Otpiq(simulator.base_url, OTPIQ_KEY, deadline_s=1.5)
    app.extensions["wasl"] = dataclasses.replace(house, otpiq=quick)
    walk = Walk(app, io.StringIO())
    root = logging.getLogger()
    for handler in root.handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(walk.log)
    root.setLevel(logging.DEBUG)  # what a person would switch on to find a fault
    walk.everything()
    yield walk
    logs.configure("text")
    close(app)


def at_rest(database: Database, url: str) -> dict[str, bytes]:
    """Every byte the store keeps, by file (SQLite) or by table and column (PostgreSQL and SQLite)."""
    found: dict[str, bytes] = {}
    metadata = MetaData()
    metadata.reflect(database.engine)
    with database.reading() as session:
        for table in metadata.sorted_tables:
            for column in table.columns:
                values = session.execute(text(f'SELECT "{column.name}" FROM "{table.name}"')).scalars()
                is_bytes = isinstance(column.type, LargeBinary)
                found[f"{table.name}.{column.name}"] = b"\n".join(
                    bytes(value or b"") if is_bytes else str(value).encode() for value in values
                )
    if database.is_sqlite:
        path = Path(url.removeprefix("sqlite:///"))
        found |= {file.name: file.read_bytes() for file in path.parent.glob(f"{path.name}*")}
    return found


def test_no_secret_and_no_number_is_found_where_it_must_not_be(walk: Walk, store_url: str) -> None:
    rest = at_rest(walk.database, store_url)
    check_that_the_walk_went_everywhere(walk, rest)
    check_that_secrets_are_nowhere(walk, rest)
    check_that_numbers_are_in_their_column_alone(walk, rest)
    check_that_every_send_is_logged_by_its_id(walk)
    assert walk.source_secret in walk.browser.get("/sources").get_data(as_text=True)  # the one page for it


def check_that_the_walk_went_everywhere(walk: Walk, rest: dict[str, bytes]) -> None:
    assert {"accepted", "rejected", "throttled", "unconfirmed"} <= {
        row.status for row in all_rows(walk.database, Message)
    }
    assert {"quarantined", "accepted"} <= {row.verdict for row in all_rows(walk.database, Callback)}
    assert all(event in walk.log.getvalue() for event in ("message.sent", "store.away"))
    assert sum(map(len, rest.values())) > 10_000


def check_that_secrets_are_nowhere(walk: Walk, rest: dict[str, bytes]) -> None:
    for secret in walk.secrets:
        assert [place for place, content in rest.items() if secret.encode() in content] == [], secret
        assert secret not in walk.log.getvalue(), secret
        assert [page for page in (*walk.pages, *walk.answers) if secret in page] == [], secret


def check_that_numbers_are_in_their_column_alone(walk: Walk, rest: dict[str, bytes]) -> None:
    files = {"wasl.db", "wasl.db-wal", "wasl.db-shm"}
    for number in STORED_NUMBERS:
        places = {place for place, content in rest.items() if number.encode() in content}
        assert places - files == {"message.phone"}, number
        for shape in (number, f"0{number[3:]}"):
            told = (walk.log.getvalue(), *walk.pages, *walk.answers, *walk.browser.visited)
            assert [text for text in told if shape in text] == [], shape


def check_that_every_send_is_logged_by_its_id(walk: Walk) -> None:
    lines = [line for line in walk.log.getvalue().splitlines() if "message.sent" in line]
    ids = {str(row.id) for row in all_rows(walk.database, Message)}
    assert len(lines) > len(TRICKS)
    assert all(any(message_id in line for message_id in ids) for line in lines)


@pytest.mark.parametrize(("form", "misbehaviour"), [("text", "4000"), ("json", "4915"), ("json", "4922")])
def test_the_command_line_says_and_keeps_no_code(
    tmp_path: Path, simulator: Simulator, form: str, misbehaviour: str
) -> None:
    environment = {
        "WASL_DATA_DIR": str(tmp_path),
        "WASL_SECRET_KEYS": MASTER_KEY,
        "OTPIQ_BASE_URL": simulator.base_url,
        "OTPIQ_API_KEY": OTPIQ_KEY,
        "WASL_LOG": form,
    }
    command = [sys.executable, "-m", "webhook_app", "send", f"{NUMBER}{misbehaviour}", "--code-stdin"]
    ended = subprocess.run(command, env=environment, input=CODE, capture_output=True, text=True)
    assert "message.sent" in ended.stderr
    for secret in (CODE, OTPIQ_KEY, MASTER_KEY, f"{NUMBER}{misbehaviour}"):
        assert secret not in ended.stdout + ended.stderr
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    assert CODE.encode() not in kept
    assert OTPIQ_KEY.encode() not in kept


def test_the_misbehaviours_walked_are_all_there_are() -> None:
    assert {trick.misbehaviour for trick in TRICKS} == set(Misbehaviour)
