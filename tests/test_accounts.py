from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from argon2 import Type

from webhook_app import accounts, sources
from webhook_app.accounts import BadPassword, Slowed
from webhook_app.database import Database
from webhook_app.models import ApiKey, SignIn, SignInFailure, User
from webhook_app.naming import BadName

from .conftest import REAL_HASHER
from .rows import NOW, all_rows, everything_stored

PASSWORD = "correct horse battery"


def sign_in(
    database: Database, password: str = PASSWORD, *, name: str = "sara", address: str = "10.0.0.1", at: datetime = NOW
) -> str | None:
    return accounts.sign_in(database, name, password, address, at)


def guess(database: Database, times: int, *, name: str = "sara", address: str = "10.0.0.1") -> None:
    for _ in range(times):
        assert sign_in(database, "a wrong guess", name=name, address=address) is None


@pytest.fixture
def sara(database: Database) -> Database:
    accounts.add_user(database, "sara", PASSWORD, NOW)
    return database


def test_a_right_password_signs_in_and_the_token_names_the_user(sara: Database) -> None:
    token = sign_in(sara)
    assert token
    account = accounts.signed_in(sara, token, NOW)
    assert account is not None
    assert account.name == "sara"


@pytest.mark.parametrize("password", ["", "correct horse batter", "Correct horse battery", PASSWORD + " ", "x" * 9000])
def test_a_wrong_password_does_not_sign_in(sara: Database, password: str) -> None:
    assert sign_in(sara, password) is None
    with sara.reading() as session:
        assert session.query(SignIn).count() == 0


@pytest.mark.parametrize("name", ["nobody", "", "Sara", "sara ", "sara\0", "\ud800", "x" * 9000, "' OR 1=1 --"])
def test_an_unknown_name_does_not_sign_in(sara: Database, name: str) -> None:
    assert sign_in(sara, name=name) is None


def test_a_sign_in_ends_after_a_fortnight(sara: Database) -> None:
    token = sign_in(sara)
    assert token
    assert accounts.signed_in(sara, token, NOW + timedelta(days=14) - timedelta(seconds=1))
    assert accounts.signed_in(sara, token, NOW + timedelta(days=14)) is None


def test_a_sign_out_ends_that_sign_in_only(sara: Database) -> None:
    here, there = sign_in(sara), sign_in(sara)
    assert here
    assert there
    accounts.sign_out(sara, here)
    assert accounts.signed_in(sara, here, NOW) is None
    assert accounts.signed_in(sara, there, NOW)


def test_a_new_password_ends_every_sign_in_and_the_old_password(sara: Database) -> None:
    token = sign_in(sara)
    assert token
    accounts.change_password(sara, "sara", "another horse battery")
    assert accounts.signed_in(sara, token, NOW) is None
    assert sign_in(sara) is None
    assert sign_in(sara, "another horse battery")


def test_a_password_of_an_unknown_user_cannot_be_changed(database: Database) -> None:
    with pytest.raises(LookupError):
        accounts.change_password(database, "nobody", PASSWORD)


@pytest.mark.parametrize("password", ["", "x" * 9, "x" * 201])
def test_a_password_too_short_or_too_long_is_refused(sara: Database, password: str) -> None:
    with pytest.raises(BadPassword, match="10 to 200 characters"):
        accounts.add_user(sara, "omar", password, NOW)
    with pytest.raises(BadPassword):
        accounts.change_password(sara, "sara", password)


ADDERS: dict[str, Callable[[Database, str], object]] = {
    "user": lambda database, name: accounts.add_user(database, name, PASSWORD, NOW),
    "key": lambda database, name: accounts.add_key(database, name, NOW),
    "source": lambda database, name: sources.add(database, name, NOW),
}


@pytest.mark.parametrize("kind", ADDERS)
@pytest.mark.parametrize("name", ["", "   ", "x" * 61, "a\nb", "a\0b", "\ud800", "\u202eabc", "a\x7fb"])
def test_a_name_that_cannot_be_read_is_refused(database: Database, kind: str, name: str) -> None:
    with pytest.raises(BadName, match="1 to 60"):
        ADDERS[kind](database, name)


@pytest.mark.parametrize("kind", ADDERS)
def test_a_name_is_taken_once(database: Database, kind: str) -> None:
    ADDERS[kind](database, " فرع الكرادة ")
    with pytest.raises(BadName, match="is taken"):
        ADDERS[kind](database, "فرع الكرادة")


# Guessing


def test_the_sixth_guess_has_to_wait_and_the_right_password_too(sara: Database) -> None:
    guess(sara, 5)
    for password in ("a wrong guess", PASSWORD):
        with pytest.raises(Slowed) as slowed:
            sign_in(sara, password)
        assert slowed.value.wait_s == 2
    assert sign_in(sara, at=NOW + timedelta(seconds=2))


def test_each_further_guess_waits_twice_as_long(sara: Database) -> None:
    guess(sara, 5)
    at, waits = NOW, []
    for _ in range(9):
        with pytest.raises(Slowed) as slowed:
            sign_in(sara, at=at)
        waits.append(slowed.value.wait_s)
        at += timedelta(seconds=slowed.value.wait_s)
        assert sign_in(sara, "a wrong guess", at=at) is None
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 300]


def test_guesses_of_one_name_from_many_addresses_are_slowed(sara: Database) -> None:
    for number in range(5):
        guess(sara, 1, address=f"10.0.1.{number}")
    with pytest.raises(Slowed):
        sign_in(sara, address="10.0.2.1")


def test_guesses_of_many_names_from_one_address_are_slowed(sara: Database) -> None:
    for number in range(5):
        guess(sara, 1, name=f"user{number}")
    with pytest.raises(Slowed):
        sign_in(sara)
    assert sign_in(sara, address="10.0.0.2")


def test_an_unknown_name_is_slowed_like_a_known_one(sara: Database) -> None:
    guess(sara, 5, name="nobody")
    with pytest.raises(Slowed):
        sign_in(sara, name="nobody")


def test_a_success_forgives_the_names_failures_not_the_addresss(sara: Database) -> None:
    guess(sara, 4)
    assert sign_in(sara)
    assert sign_in(sara, "a wrong guess", address="10.0.0.2") is None
    assert sign_in(sara, "a wrong guess", address="10.0.0.2") is None
    assert sign_in(sara, "a wrong guess") is None
    with pytest.raises(Slowed):
        sign_in(sara)


def test_failures_are_forgotten_after_a_quarter_of_an_hour(sara: Database) -> None:
    guess(sara, 5)
    assert sign_in(sara, at=NOW + timedelta(minutes=15, seconds=1))
    assert all_rows(sara, SignInFailure) == []


# Keys


def test_a_key_names_its_owner_and_has_the_shape_senders_expect(database: Database) -> None:
    _, key = accounts.add_key(database, "checkout", NOW)
    assert key.startswith("sk_live_")
    assert len(key) == len("sk_live_") + 48
    assert accounts.key_name(database, key) == "checkout"


@pytest.mark.parametrize("wrong", ["", "sk_live_", "x", "\0", "\ud800", "sk_live_" + "0" * 48])
def test_a_wrong_key_names_nobody(database: Database, wrong: str) -> None:
    accounts.add_key(database, "checkout", NOW)
    assert accounts.key_name(database, wrong) is None


def test_a_revoked_key_opens_nothing_and_stays_listed(database: Database) -> None:
    _, key = accounts.add_key(database, "checkout", NOW)
    accounts.revoke_key(database, "checkout", NOW + timedelta(days=1))
    assert accounts.key_name(database, key) is None
    (listed,) = accounts.keys(database)
    assert (listed.name, listed.hint, listed.revoked_at) == ("checkout", key[:12], NOW + timedelta(days=1))


def test_a_key_is_revoked_once(database: Database) -> None:
    accounts.add_key(database, "checkout", NOW)
    accounts.revoke_key(database, "checkout", NOW)
    for name in ("checkout", "nothing"):
        with pytest.raises(LookupError):
            accounts.revoke_key(database, name, NOW)


def test_a_password_is_hashed_as_dearly_as_rfc_9106_recommends() -> None:
    hasher = REAL_HASHER()
    assert hasher.type is Type.ID
    assert (hasher.time_cost, hasher.memory_cost, hasher.parallelism) >= (3, 64 * 1024, 4)


def test_no_password_key_or_token_is_stored(sara: Database) -> None:
    token, (_, key) = sign_in(sara), accounts.add_key(sara, "checkout", NOW)
    guess(sara, 1)
    stored = everything_stored(sara)
    for hidden in (PASSWORD, str(token), key, key[12:], "a wrong guess", "10.0.0.1"):
        assert hidden not in stored
    assert all_rows(sara, User)[0].password_hash.startswith("$argon2id$")
    assert len(all_rows(sara, ApiKey)) == 1
