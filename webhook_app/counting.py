"""Counts that cost the same at any size: deltas appended with each change, folded into an hourly tally now and then.

`_Count` in `models` says what is counted. What is true at any moment is the tally plus the deltas not folded yet.
"""

import random
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from .database import Database
from .models import COUNT_KEY, COUNT_SUMS, Delta, Message, Tally

_FOLD_AT_ONCE = 5_000
_FOLD_EVERY = 500  # writers, on average


@contextmanager
def recounted(session: Session, message: Message, *, is_new: bool = False) -> Iterator[None]:
    """Count `message` as it is after the block in place of what it was before; in the caller's transaction."""
    before = None if is_new else count_of(message)
    yield
    after = count_of(message)
    if before == after:
        return
    deltas = [after] if before is None else [before | {name: -before[name] for name in COUNT_SUMS}, after]
    session.execute(insert(Delta), deltas)


def fold(database: Database) -> int:
    """Move deltas into the tally, in one transaction; returns how many. Two at once fold different ones."""
    with database.transaction() as session:
        oldest = select(Delta.id).order_by(Delta.id).limit(_FOLD_AT_ONCE).with_for_update(skip_locked=True)
        ids = session.scalars(oldest).all()
        if not ids:
            return 0
        columns = [getattr(Delta, name) for name in (*COUNT_KEY, *COUNT_SUMS)]
        rows = session.execute(delete(Delta).where(Delta.id.in_(ids)).returning(*columns)).all()
        sums: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * len(COUNT_SUMS))
        for row in rows:
            key, amounts = tuple(row[: len(COUNT_KEY)]), row[len(COUNT_KEY) :]
            sums[key] = [total + amount for total, amount in zip(sums[key], amounts, strict=True)]
        _add_to_tally(session, sums, database.is_sqlite)
        return len(rows)


def fold_now_and_then(database: Database) -> None:
    """Called after a write: on average every 500th call folds, so that deltas stay few without a process for it."""
    if random.randrange(_FOLD_EVERY) == 0:  # noqa: S311 - no secret
        fold(database)


def _add_to_tally(session: Session, sums: dict[tuple[Any, ...], list[int]], is_sqlite: bool) -> None:
    upsert = (sqlite_insert if is_sqlite else postgresql_insert)(Tally)
    upsert = upsert.on_conflict_do_update(
        index_elements=COUNT_KEY,
        set_={name: getattr(Tally, name) + getattr(upsert.excluded, name) for name in COUNT_SUMS},
    )
    # In the key's order: two folds that meet on the same rows wait for each other, they cannot deadlock.
    session.execute(
        upsert, [dict(zip((*COUNT_KEY, *COUNT_SUMS), (*key, *sums[key]), strict=True)) for key in sorted(sums)]
    )


def count_of(message: Message) -> dict[str, Any]:
    return {
        "hour": message.created_at.replace(minute=0, second=0, microsecond=0),
        "status": message.status,
        "carrier": message.carrier,
        "channel": message.channel or "",
        "sms_type": message.sms_type,
        "sender_id": message.sender_id or "",
        "source": str(message.source_id or ""),
        "is_sample": message.is_sample,
        "messages": 1,
        "charged_iqd": message.charged_iqd or 0,
        "at_risk_iqd": message.at_risk_iqd,
    }
