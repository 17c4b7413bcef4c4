"""Whether a store is what it has to be after a run, whatever went wrong meanwhile: the one checker of all fault runs.

Everything is read in one pass over rows in the order of an index, so that a million callbacks take about a minute.
Nothing here asks the code under test what is right, but for the pure rules of `status` and the reading of a body.
To be called when nobody writes any more.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain, groupby
from operator import attrgetter
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Select, func, select, text
from sqlalchemy.orm import Session

from webhook_app import status
from webhook_app.database import Database
from webhook_app.models import (
    CELL_KEY,
    COUNT_KEY,
    COUNT_SUMS,
    DAY_CELL_KEY,
    DAY_KEY,
    DAY_PART_KEY,
    HOUR_KEY,
    PART_KEY,
    PART_SUMS,
    SLOT_CELL_KEY,
    SLOT_KEY,
    SLOT_PART_KEY,
    Callback,
    CellTally,
    DayCellTally,
    DayPartTally,
    DayTally,
    Delta,
    Exchange,
    HourTally,
    Intake,
    Message,
    PartDelta,
    PartTally,
    SlotCellTally,
    SlotPartTally,
    SlotTally,
    Tally,
)
from webhook_app.otpiq import parse_report
from webhook_app.simulator.ledger import Entry
from webhook_app.status import Fact, Status

from ..rows import may_be_charged

_Sums = dict[tuple[Any, ...], list[int]]
Pair = tuple[UUID, str]  # a callback: the id in its URL, and the SHA-256 of its body as kept
_STORED = ("accepted", "late", "repeat", "orphan", "quarantined")  # what `intake` calls those that were let in
# What is read of each; the other columns would cost as much again.
_OF_A_CALLBACK = (Callback.message_id, Callback.target_id, Callback.received_at, Callback.body, Callback.verdict)
_OF_AN_EXCHANGE = (
    Exchange.message_id,
    Exchange.at,
    Exchange.kind,
    Exchange.outcome,
    Exchange.sms_id,
    Exchange.cost_iqd,
)
_OF_A_MESSAGE = [
    getattr(Message, name)
    for name in (
        *("id", "source_id", "created_at", "is_sample", "carrier", "sms_type", "provider", "sender_id", "send_state"),
        *("sms_id", "delivery", "status", "closed", "channel", "reason", "settled_at", "last_fact_at"),
        *("estimate_iqd", "charged_iqd", "path", "fallback_s", "took_bucket", "outcome"),
    )
]
_SUMMED_UP: tuple[tuple[Any, Sequence[str], Any, Sequence[str]], ...] = (
    (Tally, COUNT_SUMS, HourTally, HOUR_KEY),
    (Tally, COUNT_SUMS, DayTally, DAY_KEY),
    (Tally, COUNT_SUMS, CellTally, CELL_KEY),
    (Tally, COUNT_SUMS, DayCellTally, DAY_CELL_KEY),
    (PartTally, PART_SUMS, DayPartTally, DAY_PART_KEY),
)
_IN_SLOTS: tuple[tuple[Any, Sequence[str], Any, Sequence[str], Sequence[str]], ...] = (
    (SlotTally, SLOT_KEY, Delta, COUNT_KEY, COUNT_SUMS),
    (SlotCellTally, SLOT_CELL_KEY, Delta, COUNT_KEY, COUNT_SUMS),
    (SlotPartTally, SLOT_PART_KEY, PartDelta, PART_KEY, PART_SUMS),
)
_SLOTS_KEPT = timedelta(hours=3)  # beside the hour that runs
_BAGHDAD = ZoneInfo("Asia/Baghdad")
_AT_ONCE = 5_000
_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a store that is right holds, for a run's report."""

    callbacks: int
    repeats: int
    messages: int
    sends: int

    def __str__(self) -> str:
        sends = f", {self.sends} sends" if self.sends else ""
        return f"{self.callbacks} callbacks of {self.messages} messages, {self.repeats} repeats{sends}: all right"


@dataclass(kw_only=True)
class _Seen:
    """What the passes count on their way."""

    callbacks: int = 0
    repeats: int = 0
    messages: int = 0
    counts: _Sums = field(default_factory=dict)  # as COUNT_KEY, but for the slot in the hour's place
    parts: _Sums = field(default_factory=dict)  # as PART_KEY, likewise


def check(
    database: Database,
    attempted: Mapping[Pair, int],
    acknowledged: Mapping[Pair, int],
    ledger: Iterable[Entry] = (),
) -> Checked:
    """Raise AssertionError with every kind of wrong found; return what is there when all is right.

    `attempted` and `acknowledged` say how often each callback was posted, and answered 2xx. `ledger`: the simulator's
    accepted sends (`simulator.ledger.sends`).
    """
    seen, sends = _Seen(), list(ledger)
    with database.transaction() as session:  # PostgreSQL gives out rows by and by only within one
        wrong = chain(
            _wrong_file(session) if database.is_sqlite else (),
            _wrong_callbacks(session, attempted, acknowledged, seen),
            _wrong_intake(session, seen),
            _wrong_messages(session, seen),
            _wrong_counts(session, seen),
            _wrong_sends(session, sends),
        )
        found = list(_first_of_each_kind(wrong))
    assert not found, "the store is not what it has to be:\n" + "\n".join(found)
    return Checked(callbacks=seen.callbacks, repeats=seen.repeats, messages=seen.messages, sends=len(sends))


def _first_of_each_kind(wrong: Iterable[tuple[str, object]]) -> Iterator[str]:
    """A few examples of each: a store that is wrong in one way is often so a million times."""
    kinds: Counter[str] = Counter()
    for kind, example in wrong:
        kinds[kind] += 1
        if kinds[kind] <= _SHOWN:
            yield f"{kind}: {example}"
    yield from (f"{kind}: {times} times in all" for kind, times in kinds.items() if times > _SHOWN)


def _wrong_file(session: Session) -> Iterator[tuple[str, object]]:
    for (told,) in session.execute(text("PRAGMA integrity_check")):
        if told != "ok":
            yield "damaged", told
    for row in session.execute(text("PRAGMA foreign_key_check")):
        yield "points at nothing", tuple(row)


def _wrong_callbacks(
    session: Session, attempted: Mapping[Pair, int], acknowledged: Mapping[Pair, int], seen: _Seen
) -> Iterator[tuple[str, object]]:
    """acknowledged ⊆ stored ⊆ attempted, one row a distinct fact, each told as often as it came."""
    found, last = 0, None
    columns = (Callback.target_id, Callback.digest, Callback.repeats, Callback.body)
    for row in _rows(session, select(*columns).order_by(Callback.target_id, Callback.digest)):
        pair = (row.target_id, row.digest)
        if pair == last:
            yield "stored twice", pair
            continue
        last = pair
        seen.callbacks += 1
        seen.repeats += row.repeats
        found += pair in acknowledged
        if pair not in attempted:
            yield "stored, but nobody sent it", pair
        elif not acknowledged.get(pair, 0) <= row.repeats + 1 <= attempted[pair]:
            came = f"answered {acknowledged.get(pair, 0)} times, sent {attempted[pair]} times"
            yield "counted wrongly", f"{pair}: stored {row.repeats + 1} times, {came}"
        if hashlib.sha256(row.body).hexdigest() != row.digest:
            yield "not the body that came", pair
    if found < len(acknowledged):
        stored = {tuple(row) for row in session.execute(select(Callback.target_id, Callback.digest))}
        yield from (("acknowledged, but not stored", pair) for pair in acknowledged if pair not in stored)


def _wrong_intake(session: Session, seen: _Seen) -> Iterator[tuple[str, object]]:
    """What the door counted by the minute beside what is stored."""
    let_in = select(func.sum(Intake.callbacks)).where(Intake.what.in_(_STORED))
    counted, due = int(session.scalar(let_in) or 0), seen.callbacks + seen.repeats
    if counted != due:
        yield "an intake that was miscounted", f"{counted}, but {due} are stored"


def _wrong_messages(session: Session, seen: _Seen) -> Iterator[tuple[str, object]]:
    """Each message's row beside the pure fold of what is stored about it; counts what the tallies have to say."""
    callbacks, exchanges = _by_message(session, _OF_A_CALLBACK), _by_message(session, _OF_AN_EXCHANGE)
    for row in _rows(session, select(*_OF_A_MESSAGE).order_by(Message.id)):
        seen.messages += 1
        _count(row, seen)
        facts: list[Fact] = []
        for stored in callbacks(row.id):
            if stored.target_id not in (row.id, row.source_id):
                yield "another message's callback", f"{row.id}: from {stored.target_id}"
            if stored.verdict == "orphan":
                yield "an orphan that has a message", row.id
            if stored.verdict == "accepted":
                facts.append(parse_report(stored.body).fact(stored.received_at))
        answers = list(exchanges(row.id))
        facts += [
            Fact(at=answer.at, sms_id=answer.sms_id, cost_iqd=answer.cost_iqd)
            for answer in answers
            if answer.outcome == "accepted"
        ]
        yield from _wrong_message(row, status.fold(facts), was_tracked=any(a.kind == "tracking" for a in answers))
    lost = select(Callback.id).where(Callback.verdict == "accepted", Callback.message_id.is_(None))
    yield from (("accepted for no message", callback) for callback in session.scalars(lost))


def _wrong_message(row: Any, told: status.Delivery, *, was_tracked: bool) -> Iterator[tuple[str, object]]:
    state = status.from_json(row.delivery)
    # A tracking's answer is not stored fact by fact: then the row may know more than the callbacks say, never less.
    if state != (state.join(told) if was_tracked else told):
        yield "not the fold of its facts", f"{row.id}: {row.delivery}, the fold is {status.to_json(told)}"
    headline = status.headline(state, Status(row.send_state), row.provider)
    due = {
        "status": headline.status,
        "closed": headline.closed,
        "channel": headline.channel,
        "reason": headline.reason,
        "settled_at": headline.at if headline.closed else None,
        "last_fact_at": state.last_at,
        "charged_iqd": state.charged_iqd,
        "sms_id": min(state.sms_ids, default=row.sms_id),
        **_due_of_closed(row, state, headline),
    }
    for name, value in due.items():
        if getattr(row, name) != value:
            yield "a headline that does not follow", f"{row.id}: {name} is {getattr(row, name)!r}, not {value!r}"


def _due_of_closed(row: Any, state: status.Delivery, headline: status.Headline) -> dict[str, Any]:
    """What the pictures count a closed message by."""
    if not headline.closed:
        return dict.fromkeys(("path", "fallback_s", "took_bucket"))
    tries = status.tries(state, row.provider, row.created_at)
    took_s = None
    if headline.status in status.OUTCOMES["delivered"] and row.source_id is None and headline.at is not None:
        took_s = (headline.at - row.created_at).total_seconds()
    return {
        "path": " ".join(f"{each.channel}:{each.reached.name.lower()}" for each in tries),
        "fallback_s": int(tries[-1].start_s) if tries else 0,
        "took_bucket": None if took_s is None else max(0, math.ceil(math.log(max(took_s, 0.1) / 0.5, 1.2) - 1e-9)),
    }


def _count(row: Any, seen: _Seen) -> None:
    slot = row.created_at.replace(minute=row.created_at.minute // 5 * 5, second=0, microsecond=0)
    charged_iqd, channel = row.charged_iqd or 0, row.channel or ""
    risked_iqd = (row.estimate_iqd or 0) if may_be_charged(row) else 0
    place = (row.status, row.carrier, channel, row.sms_type, row.sender_id or "", str(row.source_id or ""))
    _add(seen.counts, (slot, *place, row.is_sample), (1, charged_iqd, risked_iqd))
    for part, word, place_of, seconds, part_iqd in _parts(row, charged_iqd):
        key = (slot, part, row.carrier, channel, word, place_of, row.is_sample)
        _add(seen.parts, key, (1, seconds, part_iqd))


def _parts(row: Any, charged_iqd: int) -> Iterator[tuple[str, str, int, int, int]]:
    """Part, word, place, seconds and money."""
    if row.path:
        yield "path", row.path, 0, row.fallback_s, charged_iqd
    if row.took_bucket is not None:
        yield "took", "", row.took_bucket, 0, 0
    if row.status in status.OUTCOMES["failed"]:
        kind = (row.outcome or {}).get("kind") or ""
        yield "reason", (row.reason or "")[:200] if row.status == "failed" else f"send:{kind}", 0, 0, charged_iqd


def _add(sums: _Sums, key: tuple[Any, ...], amounts: Iterable[int]) -> None:
    known = sums.setdefault(key, [0, 0, 0])
    known[:] = [one + int(other) for one, other in zip(known, amounts, strict=True)]


def _wrong_counts(session: Session, seen: _Seen) -> Iterator[tuple[str, object]]:
    """Tallies plus deltas beside what the messages themselves come to."""
    counted = _sums(session, (Tally, Delta), COUNT_KEY, COUNT_SUMS)
    yield from _wrong_sums("counts that are not a recount", counted, _by_hour(seen.counts))
    counted = _sums(session, (PartTally, PartDelta), PART_KEY, PART_SUMS)
    yield from _wrong_sums("parts that are not a recount", counted, _by_hour(seen.parts))
    for of, sums, table, key in _SUMMED_UP:
        due: _Sums = {}
        for place, amounts in _sums(session, (of,), ["hour", *key[1:]], sums).items():
            began = place[0].astimezone(_BAGHDAD).replace(hour=0) if key[0] == "day" else place[0]
            _add(due, (began, *place[1:]), amounts)
        yield from _wrong_sums("a tally that is not summed up", _sums(session, (table,), key, sums), due)
    yield from _wrong_slots(session, seen)


def _by_hour(sums: _Sums) -> _Sums:
    found: _Sums = {}
    for (slot, *place), amounts in sums.items():
        _add(found, (slot.replace(minute=0), *place), amounts)
    return found


def _wrong_slots(session: Session, seen: _Seen) -> Iterator[tuple[str, object]]:
    """The last hours' five minutes; those before are forgotten some time."""
    since = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - _SLOTS_KEPT
    for table, key, deltas, whole_key, sums in _IN_SLOTS:
        slot_key = ("slot", *whole_key[1:])
        counted = _narrowed(_sums(session, (deltas,), slot_key, sums), slot_key, key, since)
        for place, amounts in _narrowed(_sums(session, (table,), key, sums), key, key, since).items():
            _add(counted, place, amounts)
        due = _narrowed(seen.parts if deltas is PartDelta else seen.counts, slot_key, key, since)
        yield from _wrong_sums("slots that are not a recount", counted, due)


def _narrowed(whole: _Sums, whole_key: Sequence[str], key: Sequence[str], since: datetime) -> _Sums:
    """Only what slots tell apart: carriers where it is about how long it took, channels where it is about the path."""
    found: _Sums = {}
    for place, amounts in whole.items():
        known = dict(zip(whole_key, place, strict=True))
        if known.get("part", "took") != "took":
            known["carrier"] = ""
        if known.get("part", "path") != "path":
            known["channel"] = ""
        if known["slot"] >= since:
            _add(found, tuple(known[name] for name in key), amounts)
    return found


def _sums(session: Session, tables: Iterable[Any], key: Sequence[str], sums: Sequence[str]) -> _Sums:
    found: _Sums = {}
    for table in tables:
        names = [getattr(table, name) for name in key]
        summed = [func.sum(getattr(table, name)) for name in sums]
        for row in session.execute(select(*names, *summed).group_by(*names)):
            _add(found, tuple(row[: len(key)]), row[len(key) :])
    return found


def _wrong_sums(kind: str, counted: _Sums, due: _Sums) -> Iterator[tuple[str, object]]:
    nothing = [0, 0, 0]
    for place in counted.keys() | due.keys():
        if counted.get(place, nothing) != due.get(place, nothing):
            told = f"{counted.get(place, nothing)}, not {due.get(place, nothing)}"
            yield kind, f"{[str(part) for part in place]}: {told}"


def _wrong_sends(session: Session, sends: list[Entry]) -> Iterator[tuple[str, object]]:
    """The provider's ledger: at most one send a message, and none of a message that was not stored first."""
    named = Counter(UUID(entry.send.report.webhook_url.rsplit("/", 1)[1]) for entry in sends if entry.send.report)
    yield from (("sent twice", message) for message, times in named.items() if times > 1)
    if named:
        stored = set(session.scalars(select(Message.id)))
        yield from (("sent, but not stored", message) for message in named if message not in stored)


def _by_message(session: Session, columns: Sequence[Any]) -> Callable[[UUID], list[Any]]:
    """A function that gives the rows of each message; to be asked in the order of the messages' ids, each once."""
    message_id, *_ = columns
    of_messages = select(*columns).where(message_id.is_not(None)).order_by(message_id)
    groups = groupby(_rows(session, of_messages), key=attrgetter("message_id"))
    waiting: tuple[UUID, list[Any]] | None = None

    def rows_of(wanted: UUID) -> list[Any]:
        nonlocal waiting
        if waiting is None:
            waiting = next(((found, list(rows)) for found, rows in groups), None)
        if waiting is None or waiting[0] != wanted:
            return []
        _found, rows = waiting
        waiting = None
        return rows

    return rows_of


def _rows(session: Session, asked: Select[*tuple[Any, ...]]) -> Iterator[Any]:
    return iter(session.execute(asked, execution_options={"yield_per": _AT_ONCE}))
