"""Counts that cost the same at any size: deltas appended with each change, folded into an hourly tally now and then.

`_Count` in `models` says what is counted. What is true at any moment is the tally plus the deltas not folded yet.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from .database import Database
from .models import COUNT_KEY, COUNT_SUMS, Delta, Tally, at_risk_iqd

Key = tuple[Any, ...]
Change = tuple[Mapping[str, Any] | None, Mapping[str, Any]]  # a message's columns before (None: new) and after

_FOLD_AT_ONCE = 5_000
_FOLD_EVERY = 500  # writers, on average


def append(connection: Connection, changes: Iterable[Change]) -> None:
    """Count each message as it is now in place of what it was before; in the caller's transaction."""
    if deltas := rows(changes):
        connection.execute(insert(Delta), deltas)


def rows(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """The deltas of these changes. What comes to nothing is left out: in a batch, many leave what others reach."""
    sums: dict[Key, list[int]] = defaultdict(lambda: [0] * len(COUNT_SUMS))
    for before, after in changes:
        for counted, sign in ((before, -1), (after, 1)):
            if counted is not None:
                key, amounts = _count_of(counted)
                sums[key] = [total + sign * amount for total, amount in zip(sums[key], amounts, strict=True)]
    return [_row(key, amounts) for key, amounts in sums.items() if any(amounts)]


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
    session.execute(upsert, [_row(key, sums[key]) for key in sorted(sums)])


def _row(key: Key, amounts: Sequence[int]) -> dict[str, Any]:
    return dict(zip((*COUNT_KEY, *COUNT_SUMS), (*key, *amounts), strict=True))


def _count_of(message: Mapping[str, Any]) -> tuple[Key, tuple[int, ...]]:
    """Where a message of these columns is counted (in the order of COUNT_KEY), and what it adds (COUNT_SUMS)."""
    key = (
        message["created_at"].replace(minute=0, second=0, microsecond=0),
        str(message["status"]),
        str(message["carrier"]),
        message["channel"] or "",
        message["sms_type"],
        message["sender_id"] or "",
        str(message["source_id"] or ""),
        message["is_sample"],
    )
    at_risk = at_risk_iqd(message["send_state"], message["estimate_iqd"], message["charged_iqd"])
    return key, (1, message["charged_iqd"] or 0, at_risk)
