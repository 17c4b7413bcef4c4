"""Every setting, read from the environment once and refused with one line when it makes no sense.

This is the only module that reads the environment. Each variable may also be given as `<NAME>_FILE`, the path of a
file that holds the value.
"""

import contextlib
import ipaddress
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

VARIABLES = {
    "OTPIQ_API_KEY": "your key at OTPIQ, `sk_live_…` or `sk_dev_…`; without it nothing is sent, callbacks come in",
    "OTPIQ_BASE_URL": "where OTPIQ's API is; default `https://api.otpiq.com/api`",
    "WASL_PUBLIC_URL": "the address OTPIQ reaches this program at; https (plain http for loopback only); "
    "default `http://127.0.0.1:8000`",
    "DATABASE_URL": "`postgresql://user:password@host/name` or `sqlite:////path/file.db`; "
    "default: an SQLite file in the data folder",
    "WASL_DATA_DIR": "the folder for the SQLite file and the made keys; default `data`",
    "WASL_SECRET_KEYS": "master keys, newest first, separated by commas, each at least 32 bytes; "
    "on SQLite made on first start and kept in the data folder",
    "WASL_TIME_ZONE": "the zone of days and times on screen; default `Asia/Baghdad`",
    "WASL_TRACKS_PER_MINUTE": "how often all workers together may ask OTPIQ about messages that fell silent, "
    "1 to 6000; default `60`",
    "WASL_LOG": "`text` (default) or `json`: one line an event",
}
MAKE_A_KEY = 'python3 -c "import secrets; print(secrets.token_hex(32))"'
_API_KEY = re.compile(r"^sk_(live|dev)_\S+$")
_KEYS_FILE = "secret_keys"


class BadSetting(ValueError):
    """One line: the variable, what is wrong with it, and an example."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    otpiq_base_url: str
    public_url: str
    data_dir: Path
    time_zone: ZoneInfo
    tracks_per_minute: int
    log: str
    # Kept out of repr() so that no log line or traceback can show them.
    otpiq_api_key: str | None = field(repr=False)
    database_url: str = field(repr=False)
    secret_keys: tuple[str, ...] = field(repr=False)

    @property
    def environment(self) -> str:
        """live, dev, simulator or none: what a send from here does in the world."""
        if self.otpiq_api_key is None:
            return "none"
        if _is_loopback(self.otpiq_base_url):
            return "simulator"
        return "live" if self.otpiq_api_key.startswith("sk_live_") else "dev"

    @property
    def spool_dir(self) -> Path:
        """Where callbacks wait while the store is away."""
        return self.data_dir / "spool"

    @property
    def is_https(self) -> bool:
        return self.public_url.startswith("https://")

    @property
    def can_be_called(self) -> bool:
        """Whether whoever sends out callbacks, OTPIQ or the simulator, can come to the public URL at all."""
        return self.is_https or self.environment == "simulator"


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read and check all settings. Raises BadSetting; may make the data folder and, on SQLite, the secret keys."""
    data_dir = Path(_read(environ, "WASL_DATA_DIR") or "data")
    database_url = _database_url(_read(environ, "DATABASE_URL"), data_dir)
    log = _read(environ, "WASL_LOG") or "text"
    if log not in ("text", "json"):
        raise BadSetting(f"WASL_LOG: must be text or json, not {log!r}; for example WASL_LOG=json")
    return Settings(
        otpiq_api_key=_api_key(_read(environ, "OTPIQ_API_KEY")),
        otpiq_base_url=_url("OTPIQ_BASE_URL", _read(environ, "OTPIQ_BASE_URL") or "https://api.otpiq.com/api"),
        public_url=_url("WASL_PUBLIC_URL", _read(environ, "WASL_PUBLIC_URL") or "http://127.0.0.1:8000"),
        data_dir=data_dir,
        database_url=database_url,
        time_zone=_time_zone(_read(environ, "WASL_TIME_ZONE") or "Asia/Baghdad"),
        tracks_per_minute=_tracks_per_minute(_read(environ, "WASL_TRACKS_PER_MINUTE") or "60"),
        log=log,
        # Last, because it may write: nothing is left on the disk when another setting is wrong.
        secret_keys=_secret_keys(_read(environ, "WASL_SECRET_KEYS"), database_url, data_dir),
    )


def _read(environ: Mapping[str, str], name: str) -> str | None:
    value, path = environ.get(name), environ.get(f"{name}_FILE")
    if value and path:
        raise BadSetting(f"{name}: set {name} or {name}_FILE, not both")
    if not path:
        return value.strip() if value else None
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(
            f"{name}_FILE: cannot be read ({type(error).__name__}); for example {name}_FILE=/run/secrets/name"
        ) from None


def _api_key(value: str | None) -> str | None:
    if value is not None and not (_API_KEY.match(value) and value.isascii()):
        raise BadSetting("OTPIQ_API_KEY: must begin with sk_live_ or sk_dev_; for example OTPIQ_API_KEY=sk_live_…")
    return value


def _url(name: str, value: str) -> str:
    example = f"for example {name}=https://{'api.otpiq.com/api' if name == 'OTPIQ_BASE_URL' else 'wasl.example.iq'}"
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or re.search(r"[^\x21-\x7e]|[@?#]", value):
        raise BadSetting(f"{name}: must be an address without user, query or spaces; {example}")
    if parts.scheme == "http" and not _is_loopback(value):
        raise BadSetting(f"{name}: must be https (plain http is for loopback only); {example}")
    if name == "WASL_PUBLIC_URL" and parts.path.strip("/"):
        raise BadSetting(f"{name}: must have no path: the pages and callbacks stand at its root; {example}")
    return value.rstrip("/")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _database_url(value: str | None, data_dir: Path) -> str:
    if value is None:
        return f"sqlite:///{data_dir.absolute() / 'wasl.db'}"
    scheme, separator, rest = value.partition("://")
    if separator and scheme in ("postgresql", "postgres", "postgresql+psycopg") and _is_readable(value):
        return f"postgresql+psycopg://{rest}"
    if separator and scheme == "sqlite" and re.fullmatch(r"/[^?#:]+", rest):  # a file: no options, not ":memory:"
        return value
    raise BadSetting(
        "DATABASE_URL: must be a postgresql:// or sqlite:/// address; for example DATABASE_URL=postgresql://wasl:…@db/wasl"
    )


def _is_readable(database_url: str) -> bool:
    try:
        make_url(database_url)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        return False
    return True


def _time_zone(name: str) -> ZoneInfo:
    try:
        zone = ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise BadSetting(
            f"WASL_TIME_ZONE: {name!r} is not a time zone; for example WASL_TIME_ZONE=Asia/Baghdad"
        ) from None
    # Figures are counted by the hour of UTC; a zone half an hour off would put messages on the wrong day.
    offsets = [datetime(2026, month, 1, tzinfo=zone).utcoffset() or timedelta() for month in (1, 7)]
    if any(offset % timedelta(hours=1) for offset in offsets):
        raise BadSetting(f"WASL_TIME_ZONE: {name} is not whole hours from UTC; for example WASL_TIME_ZONE=Asia/Baghdad")
    return zone


def _tracks_per_minute(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", value) or not 1 <= int(value) <= 6000:
        raise BadSetting(
            f"WASL_TRACKS_PER_MINUTE: must be 1 to 6000, not {value!r}; for example WASL_TRACKS_PER_MINUTE=60"
        )
    return int(value)


def _secret_keys(value: str | None, database_url: str, data_dir: Path) -> tuple[str, ...]:
    made = data_dir / _KEYS_FILE
    if value is None and not database_url.startswith("sqlite"):
        raise BadSetting(
            f"WASL_SECRET_KEYS: must be set on PostgreSQL, the same for every process; make one with {MAKE_A_KEY}"
        )
    if value is None:
        value = _made_keys(made)
    keys = tuple(key.strip() for key in re.split(r"[,\n]", value) if key.strip())
    if not keys or any(len(key.encode()) < 32 for key in keys):
        raise BadSetting(f"WASL_SECRET_KEYS: each key needs at least 32 bytes; make one with {MAKE_A_KEY}")
    if any(len(set(key)) < 8 for key in keys):
        raise BadSetting(f"WASL_SECRET_KEYS: a key is too regular to be a secret; make one with {MAKE_A_KEY}")
    return keys


def _made_keys(path: Path) -> str:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            # Written whole under another name, then linked: of two first starts at once, both read the same key.
            descriptor, draft = tempfile.mkstemp(dir=path.parent)  # mode 0600
            with open(descriptor, "w") as file:
                file.write(secrets.token_hex(32) + "\n")
                file.flush()
                os.fsync(file.fileno())  # what is stamped with it could never be checked without it
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
            os.unlink(draft)
            folder = os.open(path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
        return path.read_text(errors="replace")
    except OSError as error:
        raise BadSetting(
            f"WASL_DATA_DIR: {path.parent} cannot be used ({error.strerror}); for example WASL_DATA_DIR=/var/lib/wasl"
        ) from None
