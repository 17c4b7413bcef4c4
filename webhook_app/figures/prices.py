"""What each sender id costs by OTPIQ's list, and since when; and what the latest messages cost."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session, aliased

from ..database import Database
from ..models import Message, SenderPrice

_LATELY = 200  # messages


@dataclass(frozen=True, kw_only=True)
class SenderCost:
    """One sender's price to one carrier; `iqd` is None where it was taken off the list."""

    sender_id: str
    carrier: str
    iqd: int | None
    since: datetime
    before_iqd: int | None  # the price before this one, if there was another


def dearest_of_late_iqd(session: Session) -> int | None:
    """What the dearest of the latest messages was charged: a send of which no price is known may cost so much."""
    latest = select(Message.charged_iqd).order_by(Message.id.desc()).limit(_LATELY).subquery()
    dearest: int | None = session.scalar(select(func.max(latest.c.charged_iqd)))
    return dearest


def sender_costs(database: Database) -> tuple[SenderCost, ...]:
    """Every sender id ever listed with its prices by carrier, as last seen."""
    later, earlier = aliased(SenderPrice), aliased(SenderPrice)

    def of_same(other: type[SenderPrice]) -> tuple[ColumnElement[bool], ...]:
        return other.sender_id == SenderPrice.sender_id, other.carrier == SenderPrice.carrier

    before = (
        select(earlier.iqd)
        .where(*of_same(earlier), earlier.id < SenderPrice.id)
        .order_by(earlier.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    newest = select(SenderPrice, before).where(~exists().where(*of_same(later), later.id > SenderPrice.id))
    with database.reading() as session:
        found = session.execute(newest.order_by(SenderPrice.sender_id, SenderPrice.carrier)).all()
    return tuple(
        SenderCost(
            sender_id=price.sender_id, carrier=price.carrier, iqd=price.iqd, since=price.at, before_iqd=before_iqd
        )
        for price, before_iqd in found
    )
