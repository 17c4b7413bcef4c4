"""What every route needs: the rooms below, put together once by `create_app`."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from flask import current_app

from ..database import Database
from ..otpiq import Otpiq
from ..pricing import PriceList
from ..settings import Settings
from ..stamp import Stamper


@dataclass(frozen=True, kw_only=True)
class Wasl:
    settings: Settings
    database: Database
    otpiq: Otpiq
    stamper: Stamper
    prices: PriceList


def wasl() -> Wasl:
    return cast(Wasl, current_app.extensions["wasl"])


def now() -> datetime:
    return datetime.now(UTC)
