"""Whole phone numbers: shown, or taken along in an export, only to who says why; and that is kept."""

from datetime import datetime
from uuid import UUID

from .database import Database
from .ids import new_id
from .marking import N_
from .models import Message, Reveal

MAX_WHY = 200
_MOST_CHOSEN = 500


class NoReason(ValueError):
    """The text says which rule the reason breaks."""


def reveal(database: Database, message_id: UUID, user_name: str, why: str, now: datetime) -> str:
    """The message's whole number; who asked, and why, is stored first. Raises NoReason, or LookupError without one."""
    why = checked_why(why)
    with database.transaction() as session:
        message = session.get(Message, message_id)
        if message is None or message.phone is None:
            raise LookupError(message_id)
        session.add(Reveal(id=new_id(now), at=now, message_id=message_id, user_name=user_name, why=why))
        return message.phone


def note_export(database: Database, chosen: str, user_name: str, why: str, now: datetime) -> None:
    """Before whole numbers leave in a file: what it was narrowed to. Raises NoReason."""
    why = checked_why(why)
    with database.transaction() as session:
        session.add(Reveal(id=new_id(now), at=now, chosen=chosen[:_MOST_CHOSEN], user_name=user_name, why=why))


def checked_why(why: str) -> str:
    """`why` without blanks around it. Raises NoReason."""
    why = why.strip()
    if not 3 <= len(why) <= MAX_WHY or not why.isprintable():
        raise NoReason(N_("must be 3 to 200 characters that can be printed"))
    return why
