"""Who may come in: users with passwords, their sign-ins, and keys for the API. No cookie and no header in here."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from uuid import UUID

import argon2
from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from .database import Database
from .ids import first_id, new_id
from .marking import N_
from .models import ApiKey, SignIn, SignInFailure, User
from .naming import BadName, checked_name

MIN_PASSWORD = 10
MAX_PASSWORD = 200  # argon2 reads all of it; nobody types more
SIGN_IN_LASTS = timedelta(days=14)
_FREE_FAILURES = 5
_FAILURES_KEPT = timedelta(minutes=15)


class BadPassword(ValueError):
    """The text says which rule the password breaks."""


class Slowed(Exception):
    """Too many wrong passwords for this name or from this address: try again after `wait_s` seconds."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"wait {wait_s} s")
        self.wait_s = wait_s


@dataclass(frozen=True, kw_only=True)
class Account:
    id: UUID
    name: str
    language: str | None = None


@dataclass(frozen=True, kw_only=True)
class Key:
    id: UUID
    name: str
    hint: str
    created_at: datetime
    revoked_at: datetime | None


@cache
def _hasher() -> argon2.PasswordHasher:
    return argon2.PasswordHasher()


def add_user(database: Database, name: str, password: str, now: datetime) -> Account:
    """Raises BadName or BadPassword."""
    name = checked_name(name)
    hashed = _hashed(password)
    try:
        with database.transaction() as session:
            user = User(id=new_id(now), name=name, password_hash=hashed, created_at=now)
            session.add(user)
    except IntegrityError:
        raise BadName(N_("is taken: choose another name")) from None
    return Account(id=user.id, name=name)


def change_password(database: Database, name: str, password: str) -> None:
    """Set it and end every sign-in of that user. Raises BadPassword, or LookupError for an unknown name."""
    hashed = _hashed(password)
    with database.transaction() as session:
        user = session.scalars(select(User).where(User.name == name)).one_or_none()
        if user is None:
            raise LookupError(name)
        user.password_hash = hashed
        session.execute(delete(SignIn).where(SignIn.user_id == user.id))


def choose_language(database: Database, user_id: UUID, language: str) -> None:
    """What this user is spoken to in from now on, wherever they sign in."""
    with database.transaction() as session:
        session.execute(update(User).where(User.id == user_id).values(language=language))


def users(database: Database) -> list[tuple[str, datetime]]:
    with database.reading() as session:
        return [
            (row.name, row.created_at)
            for row in session.execute(select(User.name, User.created_at).order_by(User.name))
        ]


def sign_in(database: Database, name: str, password: str, address: str, now: datetime) -> str | None:
    """A new sign-in's token, or None for a wrong name or password. Raises Slowed, also for the right password."""
    subjects = [_digest(f"name {name}"), _digest(f"address {address}")]
    with database.transaction() as session:
        database.one_at_a_time(session, "sign in")  # or a hundred guesses at once would each see no failure yet
        session.execute(delete(SignInFailure).where(SignInFailure.id < first_id(now - _FAILURES_KEPT)))
        for subject in subjects:
            failures = session.execute(
                select(func.count(), func.max(SignInFailure.at)).where(SignInFailure.subject == subject)
            ).one()
            wait_s = _wait_s(failures[0], failures[1], now)
            if wait_s > 0:
                raise Slowed(wait_s)
        # Counted before the password is looked at: a hundred guesses at once are a hundred failures.
        attempt = [SignInFailure(id=new_id(now), subject=subject, at=now) for subject in subjects]
        session.add_all(attempt)
        # A name that cannot be printed was never given to anyone, and no store could be asked for it.
        user = session.scalars(select(User).where(User.name == name)).one_or_none() if name.isprintable() else None
    if not _matches(user.password_hash if user else None, password) or user is None:
        return None
    token = secrets.token_urlsafe(32)
    with database.transaction() as session:
        session.execute(delete(SignInFailure).where(or_(*(SignInFailure.id == row.id for row in attempt))))
        session.execute(delete(SignInFailure).where(SignInFailure.subject == subjects[0]))
        session.add(SignIn(digest=_digest(token), user_id=user.id, created_at=now))
    return token


def signed_in(database: Database, token: str, now: datetime) -> Account | None:
    """Whose sign-in this is, while it lasts."""
    with database.reading() as session:
        found = session.execute(
            select(User.id, User.name, User.language)
            .join(SignIn, SignIn.user_id == User.id)
            .where(SignIn.digest == _digest(token), SignIn.created_at > now - SIGN_IN_LASTS)
        ).one_or_none()
    return Account(id=found.id, name=found.name, language=found.language) if found else None


def sign_out(database: Database, token: str) -> None:
    with database.transaction() as session:
        session.execute(delete(SignIn).where(SignIn.digest == _digest(token)))


def add_key(database: Database, name: str, now: datetime) -> tuple[UUID, str]:
    """A new API key: its id, and the key itself, which is told only now. Raises BadName."""
    name = checked_name(name)
    key = f"sk_live_{secrets.token_hex(24)}"
    try:
        with database.transaction() as session:
            row = ApiKey(id=new_id(now), name=name, hint=key[:12], digest=_digest(key), created_at=now)
            session.add(row)
    except IntegrityError:
        raise BadName(N_("is taken: choose another name")) from None
    return row.id, key


def keys(database: Database) -> list[Key]:
    with database.reading() as session:
        rows = session.scalars(select(ApiKey).order_by(ApiKey.id))
        return [
            Key(id=row.id, name=row.name, hint=row.hint, created_at=row.created_at, revoked_at=row.revoked_at)
            for row in rows
        ]


def revoke_key(database: Database, name: str, now: datetime) -> None:
    """Raises LookupError when no key in force has that name."""
    revoked = update(ApiKey).where(ApiKey.name == name, ApiKey.revoked_at.is_(None)).values(revoked_at=now)
    with database.transaction() as session:
        if session.execute(revoked.returning(ApiKey.id)).first() is None:
            raise LookupError(name)


def key_name(database: Database, key: str) -> str | None:
    """The name of a key in force. Looked up by digest, so the time of the look-up tells nothing about the key."""
    with database.reading() as session:
        held = select(ApiKey.name).where(ApiKey.digest == _digest(key), ApiKey.revoked_at.is_(None))
        return session.scalars(held).one_or_none()


def _hashed(password: str) -> str:
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise BadPassword(f"must be {MIN_PASSWORD} to {MAX_PASSWORD} characters")
    return _hasher().hash(password)


def _matches(hashed: str | None, password: str) -> bool:
    """Takes as long for an unknown name as for a wrong password."""
    try:
        return _hasher().verify(hashed or _decoy(), password[:MAX_PASSWORD]) and hashed is not None
    except argon2.exceptions.VerificationError:
        return False


@cache
def _decoy() -> str:
    return _hasher().hash(secrets.token_hex(16))


def _wait_s(failures: int, last: datetime | None, now: datetime) -> int:
    """Five free, then 2, 4, 8 … seconds after the last one, at most five minutes."""
    if failures < _FREE_FAILURES or last is None:
        return 0
    pause_s = min(2 ** (failures - _FREE_FAILURES + 1), 300)
    return max(0, int(pause_s - (now - last).total_seconds() + 0.999))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
