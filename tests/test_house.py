"""The rules of the house that a reader relies on, each checked in the code itself."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from webhook_app.settings import VARIABLES

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "webhook_app"
MODULES = {str(path.relative_to(PACKAGE)): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}

# Words of OTPIQ's JSON. Elsewhere they have names of our own (sms_id, is_final, cost_iqd …).
PROVIDER_WORDS = {
    "smsId", "isFinal", "isFinalStatus", "deliveryReport", "deliveryReportType", "webhookUrl", "webhookSecret",
    "channelFlow", "lastChannel", "remainingCredit", "canCover", "paymentType", "phoneNumber", "smsType",
    "verificationCode", "templateParameters", "customMessage", "whatsappAccountId", "whatsappPhoneId",
    "pricePerSms", "yourCredit", "requiredCredit", "currentSpending", "spendingThreshold", "waitMinutes",
}  # fmt: skip
MAY_SPEAK_OTPIQ = {
    "otpiq/": "the provider's room",
    "simulator/": "the provider's double",
    "web/api.py": "a surface that is OTPIQ's own by contract",
    "web/forms.py": "its form is turned into that same body",
    "web/pages.py": "hands that form over",
    "cli/": "its JSON uses the contract's words",
    "demo.py": "plays a customer's program at that surface",
    "sample.py": "invents what OTPIQ would have sent",
}
MAY_OPEN_TRANSACTIONS = {
    "sending.py", "receiving.py", "tracking.py", "pricing.py", "counting.py", "accounts.py", "sources.py",  # flows
    "refusals.py", "recounting.py", "replaying.py", "budgets.py", "reveals.py", "searches.py",  # flows
    "cli/running.py", "sample.py", "worker.py",  # wiring
}  # fmt: skip
MAY_SUM = {
    "figures/": "the questions of the pages",
    "counting.py": "folds the counts",
    "recounting.py": "holds the counts against the messages",
    "accounts.py": "counts wrong passwords, no messages",
}


def within(module: str, allowed: object) -> bool:
    return any(module == name or (name.endswith("/") and module.startswith(name)) for name in allowed)  # type: ignore[attr-defined]


def calls(tree: ast.AST, *names: str) -> Iterator[ast.Call]:
    """Calls of `something.<name>(…)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names:
            yield node


def test_imports_only_go_down() -> None:
    ended = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout


def test_every_module_says_what_lives_in_it() -> None:
    silent = [module for module, tree in MODULES.items() if not ast.get_docstring(tree)]
    assert silent == []


def test_no_module_has_grown_past_400_lines() -> None:
    long = [str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*.py") if len(path.read_text().splitlines()) > 400]
    assert long == []


def test_only_settings_reads_the_environment() -> None:
    readers = {
        module
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv") and is_os(node.value))
        or (isinstance(node, ast.ImportFrom) and node.module == "os")
    }
    assert readers == {"settings.py"}


def is_os(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "os"


def test_only_the_listed_rooms_know_otpiq_s_words() -> None:
    speakers = {
        module
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in PROVIDER_WORDS
    }
    assert {module for module in speakers if not within(module, MAY_SPEAK_OTPIQ)} == set()
    assert {name for name in MAY_SPEAK_OTPIQ if not any(within(module, [name]) for module in speakers)} == set()


def test_only_flows_open_transactions() -> None:
    openers = {module for module, tree in MODULES.items() if any(calls(tree, "transaction", "writing"))}
    assert openers - MAY_OPEN_TRANSACTIONS == set()


def test_only_figures_group_and_sum_rows() -> None:
    adders = {
        module
        for module, tree in MODULES.items()
        if any(calls(tree, "group_by"))
        or any(
            isinstance(call.func, ast.Attribute)
            and isinstance(call.func.value, ast.Name)
            and call.func.value.id == "func"
            for call in calls(tree, "sum", "count", "avg", "min", "max")
        )
    }
    assert {module for module in adders if not within(module, MAY_SUM)} == set()


def test_the_readme_s_settings_are_the_ones_the_code_reads() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.+?) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert dict(rows) == VARIABLES


def test_the_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text()
    commands = [
        "demo",
        "serve",
        "worker",
        "replay",
        "simulate",
        "send",
        "messages",
        "message",
        "source",
        "user",
        "key",
        "db",
        "doctor",
    ]
    assert [command for command in commands if not re.search(rf"wasl {command}\b", readme)] == []


def test_the_readme_lists_every_number_that_misbehaves() -> None:
    from webhook_app.simulator.misbehaviours import TRICKS

    readme = (ROOT / "README.md").read_text()
    assert [trick.suffix for trick in TRICKS if trick.suffix not in readme] == []


@pytest.mark.parametrize("path", sorted((ROOT / "templates").glob("*.html")), ids=lambda path: path.name)
def test_a_template_marks_nothing_safe_and_carries_no_style_or_script(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\|\s*safe\b|autoescape false|Markup", text)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", text)


def test_pages_bring_everything_from_this_program_itself() -> None:
    loads = re.compile(r"""\b(?:src|href|url|import)\s*[=(]\s*["']?(?:https?:)?//|@import""")
    files = [*(ROOT / "templates").glob("*.html"), *(PACKAGE / "static").rglob("*.css")]
    assert len(files) > 20
    assert [path.name for path in files if loads.search(path.read_text())] == []
