"""Commands about who may come in: people, and programs with keys."""

import sys

import click

from .. import accounts
from .opening import Rooms, as_json, now, print_object, with_rooms


@click.group()
def user() -> None:
    """People who may sign in."""


password_option = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@user.command("add")
@click.argument("name")
@password_option
@with_rooms
def user_add(rooms: Rooms, name: str, password_stdin: bool) -> None:
    """Let NAME sign in with a password (10 characters or more)."""
    accounts.add_user(rooms.database, name, _password(password_stdin), now())
    click.echo(f"{name} can sign in now", err=True)


@user.command("list")
@as_json
@with_rooms
def user_list(rooms: Rooms, as_json: bool) -> None:
    """List who may sign in."""
    for name, created_at in accounts.users(rooms.database):
        print_object({"name": name, "createdAt": created_at.isoformat()}, as_json)


@user.command("password")
@click.argument("name")
@password_option
@with_rooms
def user_password(rooms: Rooms, name: str, password_stdin: bool) -> None:
    """Give NAME a new password and end all of their sign-ins."""
    try:
        accounts.change_password(rooms.database, name, _password(password_stdin))
    except LookupError:
        raise click.ClickException(f"there is no user {name}") from None
    click.echo(f"{name} has a new password; every sign-in of theirs has ended", err=True)


@click.group()
def key() -> None:
    """Keys for programs that send through Wasl's own API."""


@key.command("add")
@click.argument("name")
@as_json
@with_rooms
def key_add(rooms: Rooms, name: str, as_json: bool) -> None:
    """Make a key called NAME. It is shown this once and stored only as a hash."""
    key_id, value = accounts.add_key(rooms.database, name, now())
    print_object({"id": str(key_id), "key": value}, as_json)


@key.command("list")
@as_json
@with_rooms
def key_list(rooms: Rooms, as_json: bool) -> None:
    """List the keys by name and first characters."""
    for row in accounts.keys(rooms.database):
        revoked = row.revoked_at.isoformat() if row.revoked_at else None
        print_object(
            {
                "id": str(row.id),
                "name": row.name,
                "hint": row.hint,
                "createdAt": row.created_at.isoformat(),
                "revokedAt": revoked,
            },
            as_json,
        )


@key.command("revoke")
@click.argument("name")
@with_rooms
def key_revoke(rooms: Rooms, name: str) -> None:
    """End the key called NAME at once."""
    try:
        accounts.revoke_key(rooms.database, name, now())
    except LookupError:
        raise click.ClickException(f"there is no key {name} in force") from None
    click.echo(f"{name} is revoked", err=True)


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
