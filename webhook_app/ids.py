"""Message and source ids: UUIDv7 (RFC 9562), so that ids sort by the time they were made."""

import secrets
from datetime import UTC, datetime
from uuid import UUID


def new_id(at: datetime) -> UUID:
    """A fresh UUIDv7 of the millisecond `at` (aware); the standard library has none for a given time."""
    random_a, random_b = secrets.randbits(12), secrets.randbits(62)
    return UUID(int=_time_bits(at) | 0x7 << 76 | random_a << 64 | 0b10 << 62 | random_b)


def first_id(at: datetime) -> UUID:
    """The smallest id of the millisecond `at`: `id < first_id(t)` means "made before t", by the primary key's index."""
    return UUID(int=_time_bits(at) | 0x7 << 76 | 0b10 << 62)


def time_of(id_: UUID) -> datetime:
    """The millisecond that an id was made in, by whoever made it."""
    return datetime.fromtimestamp((id_.int >> 80) / 1000, UTC)


def _time_bits(at: datetime) -> int:
    return int(at.timestamp() * 1000) << 80
