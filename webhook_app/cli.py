"""The `wasl` command: arguments in, one call to the rooms below, lines or JSON out. Exit codes say what happened."""

import json
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import wraps
from typing import Any
from uuid import UUID

import click

from . import accounts, doctor, figures, logs, schema, sending, serving, settings, sources
from .database import Database, StoreAway
from .figures import Filter, MessageDetail, MessageRow
from .otpiq import InvalidSend, Otpiq, parse_send
from .otpiq.requests import PROVIDERS, SMS_TYPES
from .phone import Carrier, mask
from .pricing import PriceList
from .sending import Asked, Outcome
from .settings import Settings
from .stamp import Stamper
from .status import CHANNELS, Status

EXIT_UNCONFIRMED = 3


@dataclass(frozen=True, kw_only=True)
class Rooms:
    config: Settings
    database: Database
    otpiq: Otpiq
    stamper: Stamper


def open_rooms(config: Settings | None = None) -> Rooms:
    """Settings read, store opened and up to date."""
    config = config or settings.load()
    logs.configure(config.log)
    database = Database(config.database_url)
    schema.upgrade_if_needed(database)
    return Rooms(
        config=config,
        database=database,
        otpiq=Otpiq(config.otpiq_base_url, config.otpiq_api_key),
        stamper=Stamper(config.secret_keys, config.public_url),
    )


class _Commands(click.Group):
    """Every refusal is one line on standard error and exit code 1, never a traceback."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except settings.BadSetting as wrong:
            raise click.ClickException(str(wrong)) from None
        except StoreAway as away:
            raise click.ClickException(
                f"the store does not answer ({away}); see DATABASE_URL and WASL_DATA_DIR"
            ) from None
        except serving.PortTaken as taken:
            raise click.ClickException(str(taken)) from None
        except (sources.BadName, accounts.BadPassword) as wrong:
            subject = "password" if isinstance(wrong, accounts.BadPassword) else "name"
            raise click.ClickException(f"{subject} {wrong}") from None


def _now() -> datetime:
    return datetime.now(UTC)


def with_rooms(command: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(command)
    def opened(*args: Any, **kwargs: Any) -> Any:
        return command(open_rooms(), *args, **kwargs)

    return opened


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
port_option = click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
host_option = click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="wasl", prog_name="wasl")
def main() -> None:
    """Send OTP and SMS messages through OTPIQ, lose no delivery callback, and see what arrived and what it cost.

    Settings come from the environment; the README lists them. To look around without an account: wasl demo
    """


@main.command()
@host_option
@port_option
@click.option(
    "--messages",
    "sample",
    type=click.IntRange(0, 200_000),
    default=20_000,
    show_default=True,
    help="Sample history to begin with.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, 20),
    default=0.7,
    show_default=True,
    help="Messages a second to send to the simulator.",
)
def demo(host: str, port: int, sample: int, rate: float) -> None:
    """Run Wasl on this machine against a simulated OTPIQ, with sample history and live traffic. Ctrl-C ends it."""
    from .demo import run  # the demo brings the simulator with it

    run(host, port, sample, rate)


@main.command()
@host_option
@port_option
@click.option("--workers", type=click.IntRange(1, 64), help="Processes; default: one for each core.")
def serve(host: str, port: int, workers: int | None) -> None:
    """Serve the pages, the API and the callbacks. Brings the store's schema up to date first."""
    serving.require_free(host, port)
    rooms = open_rooms()
    with rooms.database.transaction() as session:
        sending.settle_abandoned(session, _now())
    has_users = bool(accounts.users(rooms.database))
    rooms.database.engine.dispose()  # no connection may cross the fork
    click.echo(f"Wasl listens on http://{host}:{port} and is stamped as {rooms.config.public_url}", err=True)
    if not has_users:
        click.echo("Nobody can sign in yet: make a user with  wasl user add NAME", err=True)
    serving.serve(rooms.config, host, port, workers)


@main.command()
@host_option
@click.option("--port", type=click.IntRange(1, 65535), default=8089, show_default=True)
@click.option(
    "--speed", type=click.FloatRange(0.1, 1000), default=1.0, show_default=True, help="How many times faster than life."
)
@click.option(
    "--misbehave",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of ordinary numbers that misbehave.",
)
@click.option("--seed", type=int, help="The same seed, the same story.")
@click.option("--list", "listing", is_flag=True, help="List what numbers misbehave, and how, and stop.")
def simulate(host: str, port: int, speed: float, misbehave: float, seed: int | None, listing: bool) -> None:
    """Run a simulated OTPIQ: nothing reaches a phone, nothing is charged."""
    from .simulator.misbehaviours import TRICKS
    from .simulator.plots import Rates
    from .simulator.server import run
    from .simulator.web import Options

    if listing:
        for trick in TRICKS:
            click.echo(f"…{trick.suffix}  {trick.sentence}")
        return
    options = Options(speed=speed, rates=Rates(misbehave=misbehave, seed=seed))
    try:
        run(host, port, options, lambda base_url: click.echo(f"Simulated OTPIQ: OTPIQ_BASE_URL={base_url}", err=True))
    except OSError as error:
        raise serving.PortTaken(
            f"{host}:{port} cannot be used ({error.strerror}): choose another with --port"
        ) from None


@main.command()
@click.argument("to")
@click.option("--code-stdin", is_flag=True, help="Read the verification code from standard input.")
@click.option("--make-code", is_flag=True, help="Make a 6-digit code and print it.")
@click.option("--text", help="Send this text (needs --sender).")
@click.option(
    "--template",
    help="Send this WhatsApp template (needs --account, --phone-id; parameters from standard input as JSON).",
)
@click.option("--account", help="WhatsApp account id.")
@click.option("--phone-id", help="WhatsApp phone id.")
@click.option("--sender", help="Sender id, at most 11 characters.")
@click.option("--provider", type=click.Choice(PROVIDERS), default="auto", show_default=True, help="The route.")
@click.option("--reference", help="Your own reference, to find the message by.")
@as_json
@with_rooms
def send(
    rooms: Rooms,
    to: str,
    code_stdin: bool,
    make_code: bool,
    text: str | None,
    template: str | None,
    account: str | None,
    phone_id: str | None,
    sender: str | None,
    provider: str,
    reference: str | None,
    as_json: bool,
) -> None:
    """Send one message to the number TO, in any shape people write it.

    Exit code 0: OTPIQ took it. 1: nothing was sent. 3: unconfirmed, it may have gone out; its callback will tell.
    """
    if sum((code_stdin, make_code, text is not None, template is not None)) != 1:
        raise click.UsageError("choose one of --code-stdin, --make-code, --text, --template")
    code = f"{secrets.randbelow(10**6):06}" if make_code else None
    body: dict[str, Any] = {
        "smsType": "custom" if text is not None else "whatsapp-template" if template is not None else "verification",
        "phoneNumber": to,
        "verificationCode": sys.stdin.readline().strip() if code_stdin else code,
        "customMessage": text,
        "templateName": template,
        "whatsappAccountId": account,
        "whatsappPhoneId": phone_id,
        "templateParameters": _parameters() if template is not None else None,
        "senderId": sender,
        "provider": provider,
        "reference": reference,
    }
    try:
        request = parse_send(body)
    except InvalidSend as invalid:
        lines = [f"{field} {problem}" for field, problems in invalid.errors.items() for problem in problems]
        raise click.ClickException("\n       ".join(lines)) from None
    prices = PriceList(rooms.otpiq, rooms.database, _now)
    asked = Asked(by="command line", estimate_iqd=prices.estimate_iqd(request.phone, request.sender_id))
    outcome = sending.send(rooms.database, rooms.otpiq, rooms.stamper, request, asked, _now)
    _tell(outcome, mask(request.phone), code, as_json)


@main.command()
@click.option("--status", type=click.Choice([str(status) for status in Status]))
@click.option("--carrier", type=click.Choice([str(carrier) for carrier in Carrier]))
@click.option("--channel", type=click.Choice([*CHANNELS, "?"]))
@click.option("--type", "sms_type", type=click.Choice([*SMS_TYPES, "unknown"]))
@click.option("--source", help="Only messages of this source, by its name.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="From this day on.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Up to this day, included.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.option("--show-numbers", is_flag=True, help="Whole phone numbers instead of masked ones.")
@as_json
@with_rooms
def messages(
    rooms: Rooms,
    status: str | None,
    carrier: str | None,
    channel: str | None,
    sms_type: str | None,
    source: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    show_numbers: bool,
    as_json: bool,
) -> None:
    """List messages, newest first; with --json an object a line."""
    chosen = Filter(
        status=status,
        carrier=carrier,
        channel=channel,
        sms_type=sms_type,
        source_id=_source_id(rooms, source),
        since=_day(since),
        until=_day(until),
    )
    zone = rooms.config.time_zone
    for row in figures.every_message(rooms.database, chosen, zone, _now(), limit=limit, masked=not show_numbers):
        if as_json:
            click.echo(json.dumps(_row_json(row), ensure_ascii=False))
        else:
            at = row.created_at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
            fields = (
                row.id,
                at,
                f"{row.phone_masked:<20}",
                f"{row.status:<11}",
                f"{row.channel or '–':<8}",
                row.reason,
            )
            click.echo("  ".join(str(field or "") for field in fields).rstrip())


@main.command()
@click.argument("message_id", type=click.UUID)
@as_json
@with_rooms
def message(rooms: Rooms, message_id: UUID, as_json: bool) -> None:
    """Show one message with its timeline."""
    detail = figures.find_detail(rooms.database, message_id, _now())
    if detail is None:
        raise click.ClickException(f"there is no message {message_id}")
    if as_json:
        click.echo(json.dumps(_detail_json(detail), ensure_ascii=False, indent=2))
        return
    for name, value in _row_json(detail.row).items():
        click.echo(f"{name:<12}{'–' if value is None else value}")
    click.echo()
    for step in _steps_json(detail):
        words = [
            str(value) for name, value in step.items() if name not in ("at", "kind") and value not in (None, False, 0)
        ]
        click.echo(f"{step['at']}  {step['kind']:<9} {' · '.join(words)}")


@main.group()
def source() -> None:
    """Callback URLs and secrets for messages that other programs send."""


@source.command("add")
@click.argument("name")
@as_json
@with_rooms
def source_add(rooms: Rooms, name: str, as_json: bool) -> None:
    """Make a source called NAME and print the URL and secret to put into that program's deliveryReport."""
    added = sources.add(rooms.database, name, _now())
    stamp = rooms.stamper.issue(added.id)
    _print_object({"id": str(added.id), "url": stamp.url, "secret": stamp.secret}, as_json)


@source.command("list")
@as_json
@with_rooms
def source_list(rooms: Rooms, as_json: bool) -> None:
    """List the sources with their URLs and secrets."""
    for row in figures.source_rows(rooms.database, rooms.stamper):
        _print_object({"id": str(row.id), "name": row.name, "url": row.url, "secret": row.secret}, as_json)


@main.group()
def user() -> None:
    """People who may sign in."""


password_option = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@user.command("add")
@click.argument("name")
@password_option
@with_rooms
def user_add(rooms: Rooms, name: str, password_stdin: bool) -> None:
    """Let NAME sign in with a password (10 characters or more)."""
    accounts.add_user(rooms.database, name, _password(password_stdin), _now())
    click.echo(f"{name} can sign in now", err=True)


@user.command("list")
@as_json
@with_rooms
def user_list(rooms: Rooms, as_json: bool) -> None:
    """List who may sign in."""
    for name, created_at in accounts.users(rooms.database):
        _print_object({"name": name, "createdAt": created_at.isoformat()}, as_json)


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


@main.group()
def key() -> None:
    """Keys for programs that send through Wasl's own API."""


@key.command("add")
@click.argument("name")
@as_json
@with_rooms
def key_add(rooms: Rooms, name: str, as_json: bool) -> None:
    """Make a key called NAME. It is shown this once and stored only as a hash."""
    key_id, value = accounts.add_key(rooms.database, name, _now())
    _print_object({"id": str(key_id), "key": value}, as_json)


@key.command("list")
@as_json
@with_rooms
def key_list(rooms: Rooms, as_json: bool) -> None:
    """List the keys by name and first characters."""
    for row in accounts.keys(rooms.database):
        revoked = row.revoked_at.isoformat() if row.revoked_at else None
        _print_object(
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
        accounts.revoke_key(rooms.database, name, _now())
    except LookupError:
        raise click.ClickException(f"there is no key {name} in force") from None
    click.echo(f"{name} is revoked", err=True)


@main.group()
def db() -> None:
    """The store's schema."""


@db.command("upgrade")
def db_upgrade() -> None:
    """Run the migrations that are missing (every other command does so too)."""
    database = open_rooms().database
    click.echo(schema.current(database))


@db.command("current")
def db_current() -> None:
    """Print the store's revision and whether it is the newest; exit code 1 when it is not."""
    database = Database(settings.load().database_url)
    current, newest = schema.current(database), schema.newest()
    click.echo(f"{current or 'empty'}{' (newest)' if current == newest else f', newest is {newest}'}")
    sys.exit(0 if current == newest else 1)


@main.command("doctor")
@with_rooms
def doctor_command(rooms: Rooms) -> None:
    """Check that everything is in place; exit code 1 when something is not."""
    found = list(doctor.examine(rooms.config, rooms.database, rooms.otpiq))
    for finding in found:
        click.echo(f"{finding.level:<5}{finding.subject}: {finding.text}")
    sys.exit(1 if any(finding.level == "bad" for finding in found) else 0)


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))


def _parameters() -> object:
    try:
        return json.loads(sys.stdin.read())
    except (ValueError, RecursionError):
        raise click.UsageError(
            'template parameters: standard input must be JSON such as {"body": {"1": "123456"}}'
        ) from None


def _source_id(rooms: Rooms, name: str | None) -> UUID | None:
    if name is None:
        return None
    for source_id, known in sources.names(rooms.database):
        if known == name:
            return source_id
    raise click.ClickException(f"there is no source {name}")


def _day(at: datetime | None) -> date | None:
    return at.date() if at else None


def _tell(outcome: Outcome, to: str, code: str | None, as_json: bool) -> None:
    if as_json:
        click.echo(
            json.dumps(
                {
                    "id": str(outcome.message_id),
                    "status": outcome.state,
                    "smsId": outcome.sms_id,
                    "costIqd": outcome.cost_iqd,
                    "balanceIqd": outcome.balance_iqd,
                    "error": outcome.kind,
                    "words": outcome.words or None,
                    **({"code": code} if code else {}),
                },
                ensure_ascii=False,
            )
        )
    else:
        details = [
            f"{outcome.cost_iqd} IQD" if outcome.cost_iqd is not None else "",
            outcome.words,
            f"code {code}" if code else "",
        ]
        click.echo(" · ".join(filter(None, [f"{outcome.message_id}  {to}  {outcome.state}", *details])))
    if outcome.state == Status.UNCONFIRMED:
        sys.exit(EXIT_UNCONFIRMED)
    sys.exit(0 if outcome.state == Status.ACCEPTED else 1)


def _row_json(row: MessageRow) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "smsId": row.sms_id,
        "status": row.status,
        "closed": row.closed,
        "channel": row.channel,
        "costIqd": None if row.cost_is_estimate else row.cost_iqd,
        "reason": row.reason,
        "phone": row.phone_masked,
        "carrier": row.carrier,
        "type": row.sms_type,
        "reference": row.reference,
        "source": row.source_name,
        "createdAt": row.created_at.isoformat(),
        "tookSeconds": row.took_s,
        "isSample": row.is_sample,
    }


def _detail_json(detail: MessageDetail) -> dict[str, Any]:
    return {
        **_row_json(detail.row),
        "smsIds": detail.sms_ids,
        "estimateIqd": detail.estimate_iqd,
        "anomalies": detail.anomalies,
        "timeline": _steps_json(detail),
    }


def _steps_json(detail: MessageDetail) -> list[dict[str, Any]]:
    return [
        {
            "at": step.at.isoformat(),
            "kind": step.kind,
            "word": step.word,
            "channel": step.channel,
            "isFinal": step.is_final,
            "reason": step.reason or step.quarantined,
            "smsId": step.sms_id,
            "costIqd": step.cost_iqd,
            "repeats": step.repeats,
            "by": step.asked_by,
        }
        for step in detail.steps
    ]


def _print_object(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        click.echo("  ".join(f"{name}: {value}" for name, value in document.items() if value is not None))
