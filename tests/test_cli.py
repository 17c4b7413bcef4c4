"""The `wasl` command: what each says, as lines and as JSON, and the exit codes that scripts go by."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import pytest
from click.testing import CliRunner, Result

from webhook_app import probing, receiving
from webhook_app.cli import main
from webhook_app.database import Database
from webhook_app.simulator.misbehaviours import TRICKS, Misbehaviour, suffix_of
from webhook_app.simulator.server import Simulator

from .conftest import SECRET_KEY
from .rows import arrival, callback
from .scripted import Scripted, answer

PHONE = "9647701234567"
OUT_OF_REACH = "http://127.0.0.1:9/api"


class Shell:
    """Runs `wasl` in one environment."""

    def __init__(self, **environment: str) -> None:
        self.environment = environment

    def __call__(self, *arguments: str, typed: str = "", **more: str) -> Result:
        runner = CliRunner(env={**dict.fromkeys(os.environ), **self.environment, **more})
        return runner.invoke(main, arguments, input=typed, catch_exceptions=False)

    def json(self, *arguments: str, typed: str = "") -> Any:
        result = self(*arguments, "--json", typed=typed)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def lines(self, *arguments: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self(*arguments, "--json").stdout.splitlines()]


@pytest.fixture
def wasl(tmp_path: Path) -> Shell:
    return Shell(
        WASL_DATA_DIR=str(tmp_path),
        WASL_SECRET_KEYS=SECRET_KEY,
        OTPIQ_API_KEY="sk_live_0123456789",
        OTPIQ_BASE_URL=OUT_OF_REACH,
    )


@pytest.fixture
def sending(wasl: Shell) -> Iterator[Shell]:
    with Simulator(speed=20, seed=7) as simulator:
        yield Shell(**wasl.environment | {"OTPIQ_BASE_URL": simulator.base_url})


def every_command(group: click.Group = main, *path: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from every_command(command, *path, name)


@pytest.mark.parametrize("path", sorted(every_command()), ids=" ".join)
def test_help_says_in_a_sentence_what_each_command_does(wasl: Shell, path: tuple[str, ...]) -> None:
    result = wasl(*path, "--help")
    usage, _blank, sentence = result.output.splitlines()[:3]
    assert result.exit_code == 0
    assert usage.startswith(f"Usage: main {' '.join(path)}")
    assert len(sentence.strip()) > 15


def test_the_commands_are_the_promised_ones() -> None:
    promised = ["demo", "serve", "simulate", "send", "messages", "message", "doctor", "source", "user", "key", "db"]
    promised += ["source add", "source list", "source rotate", "source retire", "source pause", "source resume"]
    promised += ["source restore"]
    promised += ["source test", "user add", "user list", "user password"]
    promised += ["key add", "key list", "key revoke", "db upgrade", "db current", "db recount", "worker", "replay"]
    assert {" ".join(path) for path in every_command()} == set(promised)


def test_a_sent_message_is_exit_code_0(sending: Shell) -> None:
    sent = sending.json("send", "0770 123 4567", "--code-stdin", typed="493817\n")
    assert (sent["status"], sent["error"]) == ("accepted", None)
    assert (type(sent["costIqd"]), type(sent["balanceIqd"])) == (int, int)
    assert sent["smsId"].startswith("sms-")
    assert "493817" not in json.dumps(sent)


def test_a_made_code_is_printed_and_the_number_masked(sending: Shell) -> None:
    result = sending("send", PHONE, "--make-code")
    assert result.exit_code == 0
    assert re.search(r"\+964 770 ••• 4567  accepted · \d+ IQD · code \d{6}$", result.stdout.strip())
    assert PHONE not in result.output


def test_a_text_and_a_template_are_sent_too(sending: Shell) -> None:
    assert sending("send", PHONE, "--text", "On its way", "--sender", "MyShop").exit_code == 0
    template = ["--template", "otp", "--account", "a", "--phone-id", "p"]
    assert sending("send", PHONE, *template, typed='{"body": {"1": "493817"}}').exit_code == 0
    assert {row["type"] for row in sending.lines("messages")} == {"custom", "whatsapp-template"}


@pytest.mark.parametrize("misbehaviour", [Misbehaviour.TRIAL_MODE, Misbehaviour.RATE_LIMITED, Misbehaviour.BAD_KEY])
def test_a_refused_message_is_exit_code_1_with_otpiq_s_words(sending: Shell, misbehaviour: Misbehaviour) -> None:
    result = sending("send", f"9647701234{suffix_of(misbehaviour)}", "--make-code", "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["status"] in ("rejected", "throttled")) == (1, True)
    assert told["words"]


def test_a_message_that_could_not_leave_is_exit_code_1(wasl: Shell) -> None:
    result = wasl("send", PHONE, "--make-code", "--json")
    assert (result.exit_code, json.loads(result.stdout)["status"]) == (1, "unsent")


@pytest.mark.parametrize("misbehaviour", [Misbehaviour.CUT_ANSWER, Misbehaviour.FAULT_YET_SENT])
def test_a_message_in_doubt_is_exit_code_3(sending: Shell, misbehaviour: Misbehaviour) -> None:
    result = sending("send", f"9647701234{suffix_of(misbehaviour)}", "--make-code", "--json")
    assert (result.exit_code, json.loads(result.stdout)["status"]) == (3, "unconfirmed")


def test_mistakes_are_told_all_at_once_and_nothing_is_sent(wasl: Shell) -> None:
    result = wasl("send", "12", "--text", "x" * 1601)
    assert result.exit_code == 1
    for field in ("phoneNumber (TO)", "customMessage (--text)", "senderId (--sender)"):
        assert field in result.stderr
    assert wasl.lines("messages") == []


@pytest.mark.parametrize(
    "options", [[], ["--make-code", "--code-stdin"], ["--make-code", "--text", "x"], ["--template", "t"]]
)
def test_send_wants_exactly_one_thing_to_send(wasl: Shell, options: list[str]) -> None:
    assert wasl("send", PHONE, *options).exit_code == 2


ROW = {
    "id", "smsId", "status", "closed", "channel", "costIqd", "reason", "phone", "carrier", "type", "reference",
    "source", "createdAt", "tookSeconds", "isSample",
}  # fmt: skip


def test_messages_are_an_object_a_line_newest_first(sending: Shell) -> None:
    sent = [sending.json("send", f"077012345{n}", "--make-code", "--reference", f"order-{n}") for n in (61, 62, 63)]
    rows = sending.lines("messages")
    assert [row["id"] for row in rows] == [one["id"] for one in reversed(sent)]
    assert {frozenset(row) for row in rows} == {frozenset(ROW)}
    newest = rows[0]
    assert (newest["phone"], newest["carrier"], newest["reference"]) == ("+964 770 ••• 4563", "asiacell", "order-63")
    assert (newest["status"], newest["closed"], newest["isSample"]) == ("accepted", False, False)
    assert type(newest["costIqd"]) is int


def test_messages_can_be_narrowed(sending: Shell) -> None:
    sending.json("send", PHONE, "--make-code")
    sending("send", f"9647501234{suffix_of(Misbehaviour.TRIAL_MODE)}", "--make-code")
    counts = {
        ("--status", "rejected"): 1,
        ("--carrier", "asiacell"): 1,
        ("--carrier", "korek"): 1,
        ("--type", "custom"): 0,
        ("--channel", "sms"): 0,
        ("--since", "2020-01-01"): 2,
        ("--until", "2020-01-01"): 0,
        ("--limit", "1"): 1,
    }
    found = {options: len(sending.lines("messages", *options)) for options in counts}
    assert found == counts


def test_a_list_for_people_is_a_line_a_message(sending: Shell) -> None:
    sending.json("send", PHONE, "--make-code")
    (line,) = sending("messages").stdout.splitlines()
    assert "+964 770 ••• 4567" in line
    assert PHONE in sending("messages", "--show-numbers").stdout


@pytest.mark.parametrize("options", [["--status", "x"], ["--limit", "0"], ["--since", "32"], ["--carrier", "x"]])
def test_an_odd_filter_is_a_usage_error(wasl: Shell, options: list[str]) -> None:
    assert wasl("messages", *options).exit_code == 2


@pytest.mark.parametrize("options", [["--since", "0001-01-01"], ["--until", "9999-12-31"]])
def test_a_day_at_the_edge_of_the_calendar_is_a_usage_error(wasl: Shell, options: list[str]) -> None:
    assert wasl("messages", *options).exit_code == 2


def test_an_unknown_source_is_one_line(wasl: Shell) -> None:
    assert_one_line(wasl("messages", "--source", "nope"), "there is no source nope")


def test_one_message_is_shown_with_its_timeline(sending: Shell) -> None:
    sent = sending.json("send", PHONE, "--make-code")
    shown = sending.json("message", sent["id"])
    assert ROW | {"smsIds", "estimateIqd", "anomalies", "timeline"} == shown.keys()
    assert [step["kind"] for step in shown["timeline"]] == ["asked", "answer"]
    assert shown["smsIds"] == [sent["smsId"]]
    told = sending("message", sent["id"]).stdout
    assert sent["smsId"] in told
    assert "accepted" in told


def test_an_unknown_message_is_one_line_and_exit_code_1(wasl: Shell) -> None:
    unknown = "01980f2e-77b1-7c20-9d0e-5f3a1b2c6c41"
    assert_one_line(wasl("message", unknown), f"there is no message {unknown}")
    assert wasl("message", "7").exit_code == 2


def test_a_source_is_made_listed_and_used_as_a_filter(wasl: Shell) -> None:
    added = wasl.json("source", "add", "shop")
    assert added.keys() == {"id", "url", "secret"}
    assert added["url"] == f"http://127.0.0.1:8000/callbacks/otpiq/{UUID(added['id'])}"
    assert wasl.json("source", "list") == added | {"name": "shop", "oldUrl": None, "pausedAt": None, "held": 0}
    assert wasl.lines("messages", "--source", "shop") == []
    assert_one_line(wasl("source", "add", "shop"), "name is taken: choose another name")
    assert_one_line(wasl("source", "add", ""), "name must be 1 to 60 characters that can be printed")


def test_a_source_gets_a_new_address_and_the_old_one_is_retired(wasl: Shell) -> None:
    old = wasl.json("source", "add", "shop")
    assert_one_line(wasl("source", "retire", "shop"), "shop has one address: make a new one first")
    rotated = wasl("source", "rotate", "shop", "--json")
    new = json.loads(rotated.stdout)
    assert rotated.stderr == "the old address works on until: wasl source retire shop\n"
    assert new.keys() == old.keys()
    assert new["secret"] != old["secret"]
    assert_one_line(wasl("source", "rotate", "shop"), "Two addresses are in use. Retire the old one first.")
    listed = wasl.json("source", "list")
    assert (listed["url"], listed["secret"], listed["oldUrl"]) == (new["url"], new["secret"], old["url"])
    assert wasl("source", "retire", "shop").exit_code == 0
    assert wasl.json("source", "list")["oldUrl"] is None
    back = wasl("source", "restore", "shop")
    assert back.stderr.endswith(f"{old['url']} is in use again; callbacks taken in: 0\n")
    assert wasl.json("source", "list")["oldUrl"] == old["url"]
    assert_one_line(wasl("source", "restore", "shop"), "shop has no retired address")


def test_a_source_is_paused_and_goes_on_with_what_was_held(wasl: Shell, tmp_path: Path) -> None:
    shop = UUID(wasl.json("source", "add", "shop")["id"])
    assert wasl("source", "pause", "shop").exit_code == 0
    assert wasl.json("source", "list")["pausedAt"]
    database = Database(f"sqlite:///{tmp_path / 'wasl.db'}")
    receiving.receive(database, [arrival(shop, callback(smsId=str(n)), datetime.now(UTC)) for n in range(3)])
    assert wasl.lines("messages", "--source", "shop") == []
    assert wasl.json("source", "list")["held"] == 3
    assert wasl("source", "resume", "shop").stderr.endswith("shop goes on; callbacks taken in: 3\n")
    assert len(wasl.lines("messages", "--source", "shop")) == 3
    assert wasl.json("source", "list")["pausedAt"] is None
    database.engine.dispose()


def test_a_source_s_address_is_tested_and_a_broken_way_is_exit_code_1(wasl: Shell) -> None:
    wasl("source", "add", "shop")
    with Scripted(answer(502, b"")) as proxy:
        broken = wasl("source", "test", "shop", WASL_PUBLIC_URL=proxy.base_url.removesuffix("/api"))
    assert broken.exit_code == 1
    assert broken.stdout.startswith(
        "a callback does not get there (path): The proxy answered, with HTTP 502, and not Wasl behind it. "
    )
    with Scripted(echo) as proxy:
        whole = wasl("source", "test", "shop", WASL_PUBLIC_URL=proxy.base_url.removesuffix("/api"))
    assert whole.exit_code == 0
    assert re.fullmatch(r"a callback gets there whole, in \d\.\d\d s\n", whole.stdout)


def echo(request: bytes) -> list[bytes | float]:
    return answer(200, {"status": "ok", "verdict": probing.answer_to(request.partition(b"\r\n\r\n")[2])})


@pytest.mark.parametrize("command", ["rotate", "retire", "restore", "pause", "resume", "test"])
def test_a_command_about_an_unknown_source_is_one_line(wasl: Shell, command: str) -> None:
    assert_one_line(wasl("source", command, "nope"), "there is no source nope")


def test_a_key_is_shown_once_and_can_be_revoked(wasl: Shell) -> None:
    added = wasl.json("key", "add", "shop")
    assert added.keys() == {"id", "key"}
    assert re.fullmatch(r"sk_live_[0-9a-f]{48}", added["key"])
    listed = wasl.json("key", "list")
    assert (listed["name"], listed["revokedAt"], added["key"] in json.dumps(listed)) == ("shop", None, False)
    assert wasl("key", "revoke", "shop").exit_code == 0
    assert wasl.json("key", "list")["revokedAt"]
    assert_one_line(wasl("key", "revoke", "shop"), "there is no key shop in force")


def test_a_user_s_password_comes_from_standard_input(wasl: Shell) -> None:
    assert wasl("user", "add", "sara", "--password-stdin", typed="correct horse\n").exit_code == 0
    assert wasl.json("user", "list")["name"] == "sara"
    assert_one_line(wasl("user", "add", "sara", "--password-stdin", typed="correct horse\n"), "name is taken")
    assert_one_line(wasl("user", "add", "aras", "--password-stdin", typed="short\n"), "password must be 10 to 200")
    assert wasl("user", "password", "sara", typed="another horse\nanother horse\n").exit_code == 0
    assert_one_line(wasl("user", "password", "aras", "--password-stdin", typed="correct horse\n"), "no user aras")


def test_no_command_takes_a_password_or_a_code_as_an_argument() -> None:
    for path in every_command():
        command: click.Command = main
        for name in path:
            assert isinstance(command, click.Group)
            command = command.commands[name]
        names = {option.name for option in command.params if not getattr(option, "is_flag", False)}
        assert not names & {"password", "code", "secret"}, path


def test_the_store_s_revision_is_told_and_brought_up_to_date(wasl: Shell) -> None:
    before = wasl("db", "current")
    assert (before.exit_code, before.stdout.split(",")[0]) == (1, "empty")
    revision = wasl("db", "upgrade").stdout.strip()
    after = wasl("db", "current")
    assert (after.exit_code, after.stdout.strip()) == (0, f"{revision} (newest)")


def test_the_doctor_is_content_when_everything_but_a_worker_is_in_place(sending: Shell) -> None:
    with Scripted(echo) as ourselves:
        result = sending("doctor", WASL_PUBLIC_URL=ourselves.base_url.removesuffix("/api"))
    assert result.exit_code == 0
    assert [line.split()[1] for line in result.stdout.splitlines() if not line.startswith("ok")] == ["worker:"]
    assert "way in: tried from here, a callback gets there whole" in result.stdout
    assert re.search(r"OTPIQ: simulator, balance [\d,]+ IQD", result.stdout)


def test_the_doctor_says_what_is_wrong_and_exits_1(wasl: Shell) -> None:
    result = wasl("doctor")
    assert result.exit_code == 1
    assert re.search(r"^bad +OTPIQ: ", result.stdout, re.MULTILINE)


def test_without_a_key_the_doctor_warns(wasl: Shell) -> None:
    result = wasl("doctor", OTPIQ_API_KEY="")
    assert result.exit_code == 0
    assert "no OTPIQ_API_KEY: nothing can be sent" in result.stdout


def test_simulate_lists_every_trick(wasl: Shell) -> None:
    lines = wasl("simulate", "--list").stdout.splitlines()
    assert [line[1:4] for line in lines] == [trick.suffix for trick in TRICKS]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WASL_PUBLIC_URL", "http://wasl.example.iq"),
        ("WASL_SECRET_KEYS", "short"),
        ("WASL_TIME_ZONE", "Mars/Base"),
        ("DATABASE_URL", "mysql://x"),
        ("OTPIQ_API_KEY", "key"),
        ("WASL_LOG", "xml"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it_with_an_example(wasl: Shell, variable: str, value: str) -> None:
    for command in (["messages"], ["serve"], ["doctor"], ["db", "current"]):
        assert_one_line(wasl(*command, **{variable: value}), variable)


def test_a_store_that_does_not_answer_is_one_line_without_its_password(wasl: Shell) -> None:
    result = wasl("messages", DATABASE_URL="postgresql://wasl:hidden-word@127.0.0.1:9/wasl")
    assert_one_line(result, "the store does not answer")
    assert "hidden-word" not in result.output


def assert_one_line(result: Result, text: str) -> None:
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("Error: ")
    assert text in line


def test_as_a_program_it_keeps_output_and_log_apart_on_both_stores(store_url: str, tmp_path: Path) -> None:
    environment = {
        "DATABASE_URL": store_url,
        "WASL_DATA_DIR": str(tmp_path),
        "WASL_SECRET_KEYS": SECRET_KEY,
        "OTPIQ_API_KEY": "sk_live_0123456789",
        "OTPIQ_BASE_URL": OUT_OF_REACH,
        "PATH": os.environ["PATH"],
    }
    command = [sys.executable, "-m", "webhook_app", "send", PHONE, "--make-code", "--json"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (ended.returncode, json.loads(ended.stdout)["status"]) == (1, "unsent")
    assert "message.sent" in ended.stderr
    assert "Traceback" not in ended.stderr
