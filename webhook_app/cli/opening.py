"""What every command stands on: settings read, store opened and up to date; how answers are printed."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from typing import Any

import click

from .. import logs, schema, settings
from ..database import Database
from ..otpiq import Otpiq
from ..settings import Settings
from ..stamp import Stamper


@dataclass(frozen=True, kw_only=True)
class Rooms:
    config: Settings
    database: Database
    otpiq: Otpiq
    stamper: Stamper


def open_rooms(config: Settings | None = None) -> Rooms:
    """Settings read, store opened and up to date. Raises StoreAway."""
    rooms = find_rooms(config or settings.load())
    schema.upgrade_if_needed(rooms.database)
    return rooms


def find_rooms(config: Settings) -> Rooms:
    """Nothing opened yet: for whoever wants to know whether it can be."""
    logs.configure(config.log)
    return Rooms(
        config=config,
        database=Database(config.database_url),
        otpiq=Otpiq(config.otpiq_base_url, config.otpiq_api_key),
        stamper=Stamper(config.secret_keys, config.public_url),
    )


def now() -> datetime:
    return datetime.now(UTC)


def with_rooms(command: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(command)
    def opened(*args: Any, **kwargs: Any) -> Any:
        return command(open_rooms(), *args, **kwargs)

    return opened


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")


def print_object(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        click.echo("  ".join(f"{name}: {value}" for name, value in document.items() if value is not None))
