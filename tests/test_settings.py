import stat
import subprocess
import sys
from pathlib import Path

import pytest

from webhook_app import settings
from webhook_app.settings import VARIABLES, BadSetting, Settings

KEY = "6f1c0b7a93d24e58a1b2c3d4e5f60718"
OTHER_KEY = "0a9b8c7d6e5f40312233445566778899"
POSTGRESQL = "postgresql://wasl:pw@db/wasl"


def load(folder: Path, **environment: str) -> Settings:
    return settings.load({"WASL_DATA_DIR": str(folder / "data")} | environment)


def refusal(folder: Path, **environment: str) -> str:
    with pytest.raises(BadSetting) as refused:
        load(folder, **environment)
    return str(refused.value)


WRONG = [
    ("OTPIQ_API_KEY", "canary"),
    ("OTPIQ_API_KEY", "sk_test_canary"),
    ("OTPIQ_API_KEY", "sk_live_"),
    ("OTPIQ_API_KEY", "sk_live_can ary"),
    ("OTPIQ_API_KEY", "sk_live_canary\nX-More: 1"),
    ("OTPIQ_API_KEY", "sk_live_کلید"),
    ("OTPIQ_BASE_URL", "api.otpiq.com/api"),
    ("OTPIQ_BASE_URL", "ftp://api.otpiq.com"),
    ("OTPIQ_BASE_URL", "http://api.otpiq.com/api"),
    ("OTPIQ_BASE_URL", "https://"),
    ("OTPIQ_BASE_URL", "https://user:canary@api.otpiq.com"),
    ("OTPIQ_BASE_URL", "https://:canary@api.otpiq.com"),
    ("OTPIQ_BASE_URL", "https://api.otpiq.com/api?x=1"),
    ("OTPIQ_BASE_URL", "https://api.otpiq.com/api?"),
    ("OTPIQ_BASE_URL", "https://api.otpiq.com/api#x"),
    ("OTPIQ_BASE_URL", "https://api.otpiq.com:port"),
    ("OTPIQ_BASE_URL", "https://api.otpiq.com:99999"),
    ("OTPIQ_BASE_URL", "https://api.otpiq.com:0"),
    ("OTPIQ_BASE_URL", "https://[::1"),
    ("OTPIQ_BASE_URL", "https://api otpiq.com"),
    ("WASL_PUBLIC_URL", "http://wasl.example.iq"),
    ("WASL_PUBLIC_URL", "http://10.0.0.1:8000"),
    ("WASL_PUBLIC_URL", "wasl.example.iq"),
    ("WASL_PUBLIC_URL", "https://example.iq/wasl"),
    ("WASL_PUBLIC_URL", "https://wasl.example.iq/\r\nx"),
    ("WASL_PUBLIC_URL", "https://وصل.example"),
    ("DATABASE_URL", "mysql://wasl@db/wasl"),
    ("DATABASE_URL", "wasl.db"),
    ("DATABASE_URL", "sqlite://"),
    ("DATABASE_URL", "sqlite:///"),
    ("DATABASE_URL", "sqlite:///:memory:"),
    ("DATABASE_URL", "sqlite:////data/wasl.db?mode=ro"),
    ("DATABASE_URL", "postgresql:wasl"),
    ("DATABASE_URL", "postgresql://wasl:canary@db:port/wasl"),
    ("WASL_SECRET_KEYS", "canary"),
    ("WASL_SECRET_KEYS", ","),
    ("WASL_SECRET_KEYS", f"{KEY},canary"),
    ("WASL_SECRET_KEYS", "canary" * 8),
    ("WASL_TIME_ZONE", "Mars/Phobos"),
    ("WASL_TIME_ZONE", "Asia"),
    ("WASL_TIME_ZONE", "../../etc/passwd"),
    ("WASL_TIME_ZONE", "Asia/Tehran"),
    ("WASL_TIME_ZONE", "Australia/Lord_Howe"),  # half an hour off in its winter only
    ("WASL_TRACKS_PER_MINUTE", "0"),
    ("WASL_TRACKS_PER_MINUTE", "6001"),
    ("WASL_TRACKS_PER_MINUTE", "-5"),
    ("WASL_TRACKS_PER_MINUTE", "1.5"),
    ("WASL_TRACKS_PER_MINUTE", "٦٠"),
    ("WASL_TRACKS_PER_MINUTE", "fast"),
    ("WASL_LOG", "xml"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_refused_with_one_line_that_names_it(tmp_path: Path, name: str, value: str) -> None:
    words = refusal(tmp_path, **{name: value})
    assert words.startswith(f"{name}: ")
    assert "\n" not in words
    assert "canary" not in words
    assert "for example" in words or "make one with" in words


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_nothing_is_left_on_the_disk_when_a_value_is_wrong(tmp_path: Path, name: str, value: str) -> None:
    refusal(tmp_path, **{name: value})
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", list(VARIABLES))
def test_every_variable_may_come_from_a_file(tmp_path: Path, name: str) -> None:
    right = {
        "OTPIQ_API_KEY": "sk_dev_0123",
        "OTPIQ_BASE_URL": "https://otpiq.example/api",
        "WASL_PUBLIC_URL": "https://wasl.example.iq",
        "DATABASE_URL": f"sqlite:///{tmp_path}/x.db",
        "WASL_DATA_DIR": str(tmp_path / "data"),
        "WASL_SECRET_KEYS": KEY,
        "WASL_TIME_ZONE": "UTC",
        "WASL_TRACKS_PER_MINUTE": "6000",
        "WASL_LOG": "json",
    }
    (tmp_path / "value").write_text(right[name] + "\n")
    others = {"WASL_DATA_DIR": str(tmp_path / "data"), "WASL_SECRET_KEYS": KEY}
    others.pop(name, None)
    assert settings.load(others | {f"{name}_FILE": str(tmp_path / "value")}) == settings.load(
        others | {name: right[name]}
    )


@pytest.mark.parametrize("name", list(VARIABLES))
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadSetting, match=rf"^{name}_FILE: cannot be read .* for example [^\n]*$"):
        settings.load({f"{name}_FILE": str(tmp_path / "missing")})


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xfe\x00")
    assert refusal(tmp_path, OTPIQ_API_KEY_FILE=str(tmp_path / "key")).startswith("OTPIQ_API_KEY_FILE: ")


def test_a_value_and_a_file_for_the_same_thing_are_refused(tmp_path: Path) -> None:
    words = refusal(tmp_path, OTPIQ_API_KEY="sk_live_1", OTPIQ_API_KEY_FILE=str(tmp_path / "key"))
    assert words == "OTPIQ_API_KEY: set OTPIQ_API_KEY or OTPIQ_API_KEY_FILE, not both"


def test_an_empty_value_counts_as_not_given(tmp_path: Path) -> None:
    assert load(tmp_path, OTPIQ_API_KEY="", WASL_TIME_ZONE="").otpiq_api_key is None


def test_nothing_at_all_is_enough_for_a_first_start(tmp_path: Path) -> None:
    found = load(tmp_path)
    assert found.database_url == f"sqlite:///{tmp_path}/data/wasl.db"
    assert found.otpiq_base_url == "https://api.otpiq.com/api"
    assert found.public_url == "http://127.0.0.1:8000"
    assert found.time_zone.key == "Asia/Baghdad"
    assert found.environment == "none"
    assert not found.is_https


def test_keys_are_made_once_and_only_their_owner_may_read_them(tmp_path: Path) -> None:
    first = load(tmp_path).secret_keys
    assert load(tmp_path).secret_keys == first
    (made,) = (tmp_path / "data").iterdir()
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert len(first[0]) == 64


def test_two_first_starts_at_once_make_the_same_keys(tmp_path: Path) -> None:
    program = (
        "import sys; from webhook_app import settings; print(settings.load({'WASL_DATA_DIR': sys.argv[1]}).secret_keys)"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "data")], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert len({process.communicate()[0] for process in started}) == 1
    assert [process.returncode for process in started] == [0, 0, 0, 0]


def test_a_damaged_file_of_made_keys_is_refused_not_replaced(tmp_path: Path) -> None:
    load(tmp_path)
    (made,) = (tmp_path / "data").iterdir()
    made.write_bytes(b"\xff" * 64)
    assert refusal(tmp_path).count("\n") == 0
    assert made.read_bytes() == b"\xff" * 64


def test_a_data_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    words = refusal(tmp_path)
    assert words.startswith("WASL_DATA_DIR: ")
    assert "\n" not in words


@pytest.mark.parametrize("url", [POSTGRESQL, "postgres://wasl:pw@db/wasl", "postgresql+psycopg://wasl:pw@db/wasl"])
def test_postgresql_without_keys_is_refused_with_the_command_that_makes_one(tmp_path: Path, url: str) -> None:
    words = refusal(tmp_path, DATABASE_URL=url)
    assert words.startswith("WASL_SECRET_KEYS: ")
    assert "python3 -c" in words
    assert load(tmp_path, DATABASE_URL=url, WASL_SECRET_KEYS=KEY).database_url == "postgresql+psycopg://wasl:pw@db/wasl"


@pytest.mark.parametrize("separator", [",", " , ", "\n", ",\n"])
def test_keys_come_newest_first(tmp_path: Path, separator: str) -> None:
    assert load(tmp_path, WASL_SECRET_KEYS=f"{KEY}{separator}{OTHER_KEY}").secret_keys == (KEY, OTHER_KEY)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://localhost:1", "http://[::1]:8000", "http://127.9.9.9"]
)
def test_plain_http_is_for_loopback(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, WASL_PUBLIC_URL=f"{url}/").public_url == url


@pytest.mark.parametrize(
    ("key", "url", "environment"),
    [
        ("sk_live_1", "https://api.otpiq.com/api", "live"),
        ("sk_dev_1", "https://api.otpiq.com/api", "dev"),
        ("sk_live_1", "http://127.0.0.1:8089/api", "simulator"),
        ("", "https://api.otpiq.com/api", "none"),
    ],
)
def test_the_environment_says_what_a_send_does_in_the_world(
    tmp_path: Path, key: str, url: str, environment: str
) -> None:
    assert load(tmp_path, OTPIQ_API_KEY=key, OTPIQ_BASE_URL=url).environment == environment


def test_no_secret_is_in_the_repr(tmp_path: Path) -> None:
    shown = repr(load(tmp_path, OTPIQ_API_KEY="sk_live_canary", DATABASE_URL=POSTGRESQL, WASL_SECRET_KEYS=KEY))
    assert "canary" not in shown
    assert KEY not in shown
    assert ":pw@" not in shown
