"""Commands about messages: send one, list them, show one."""

import json
import secrets
import sys
from datetime import date, datetime
from typing import Any
from uuid import UUID

import click

from .. import figures, sending
from ..figures import Filter, MessageDetail, MessageRow
from ..otpiq import InvalidSend, parse_send
from ..otpiq.requests import PROVIDERS, SMS_TYPES
from ..phone import Carrier, mask
from ..pricing import PriceList
from ..sending import Asked, Outcome
from ..status import CHANNELS, Status
from .opening import Rooms, as_json, now, with_rooms
from .sources import source_id

EXIT_UNCONFIRMED = 3
# How the fields of a request are called here.
_OPTIONS = {
    "phoneNumber": "TO",
    "verificationCode": "the code",
    "customMessage": "--text",
    "senderId": "--sender",
    "templateName": "--template",
    "templateParameters": "standard input",
    "whatsappAccountId": "--account",
    "whatsappPhoneId": "--phone-id",
    "reference": "--reference",
}


@click.command()
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
        named = {f"{field} ({_OPTIONS.get(field, field)})": problems for field, problems in invalid.errors.items()}
        lines = [f"{name} {problem}" for name, problems in named.items() for problem in problems]
        raise click.ClickException("\n       ".join(lines)) from None
    prices = PriceList(rooms.otpiq, rooms.database, now)
    prices.senders()
    asked = Asked(by="command line", estimate_iqd=prices.estimate_iqd(request), zone=rooms.config.time_zone)
    outcome = sending.send(rooms.database, rooms.otpiq, rooms.stamper, request, asked, now)
    _tell(outcome, mask(request.phone), code, as_json)


@click.command()
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
        source_id=source_id(rooms, source) if source is not None else None,
        since=_day(since),
        until=_day(until),
    )
    zone = rooms.config.time_zone
    for row in figures.every_message(rooms.database, chosen, zone, now(), limit=limit, masked=not show_numbers):
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


@click.command()
@click.argument("message_id", type=click.UUID)
@as_json
@with_rooms
def message(rooms: Rooms, message_id: UUID, as_json: bool) -> None:
    """Show one message with its timeline."""
    detail = figures.find_detail(rooms.database, message_id, now())
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


def _parameters() -> object:
    try:
        return json.loads(sys.stdin.read())
    except (ValueError, RecursionError):
        raise click.UsageError(
            'template parameters: standard input must be JSON such as {"body": {"1": "123456"}}'
        ) from None


def _day(at: datetime | None) -> date | None:
    if at is not None and at.year not in range(2000, 2100):  # what an id can hold
        raise click.UsageError("--since and --until take days of this century, such as 2026-11-22")
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
