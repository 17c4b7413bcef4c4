"""Commands that run something until it is stopped, and those about the store and the set-up."""

import sys

import click

from .. import accounts, doctor, recounting, schema, sending, serving, settings, worker
from ..database import Database
from ..ids import new_id
from .opening import Rooms, find_rooms, now, open_rooms, with_rooms

port_option = click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
host_option = click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")


@click.command()
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
    from ..demo import run  # the demo brings the simulator with it

    run(host, port, sample, rate)


@click.command()
@host_option
@port_option
@click.option("--workers", type=click.IntRange(1, 64), help="Processes; default: one for each core.")
def serve(host: str, port: int, workers: int | None) -> None:
    """Serve the pages, the API and the callbacks. Brings the store's schema up to date first."""
    rooms = open_rooms()
    serving.require_free(host, port)
    with rooms.database.transaction() as session:
        sending.settle_abandoned(session, now())
    has_users = bool(accounts.users(rooms.database))
    rooms.database.engine.dispose()  # no connection may cross the fork
    click.echo(f"Wasl listens on http://{host}:{port} and is stamped as {rooms.config.public_url}", err=True)
    if not has_users:
        click.echo("Nobody can sign in yet: make a user with  wasl user add NAME", err=True)
    serving.serve(rooms.config, host, port, workers)


@click.command("worker")
@with_rooms
def worker_command(rooms: Rooms) -> None:
    """Do the work that no request waits for: ask about silent messages, settle broken-off sends, fold the counts."""
    if rooms.config.otpiq_api_key is None:
        click.echo("OTPIQ_API_KEY is not set: OTPIQ is not asked about messages that fell silent", err=True)
    worker.run(rooms.config, rooms.database, rooms.otpiq)


@click.command()
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
    from ..simulator.misbehaviours import TRICKS
    from ..simulator.plots import Rates
    from ..simulator.server import run
    from ..simulator.web import Options

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


@click.group()
def db() -> None:
    """The store's schema."""


@db.command("upgrade")
def db_upgrade() -> None:
    """Run the migrations that are missing (every other command does so too), and what a worker does after them."""
    database = open_rooms().database
    while recounting.derive_again(database):
        pass
    click.echo(schema.current(database))


@db.command("current")
def db_current() -> None:
    """Print the store's revision and whether it is the newest; exit code 1 when it is not."""
    database = Database(settings.load().database_url)
    current, newest = schema.current(database), schema.newest()
    click.echo(f"{current or 'empty'}{' (newest)' if current == newest else f', newest is {newest}'}")
    sys.exit(0 if current == newest else 1)


@click.command("doctor")
def doctor_command() -> None:
    """Check that everything is in place; exit code 1 when something is not."""
    rooms = find_rooms(settings.load())
    stamper = rooms.stamper
    examined = doctor.examine(
        rooms.config, rooms.database, rooms.otpiq, stamper.key_names, stamper.issue(new_id(now())), now()
    )
    found = list(examined)
    for finding in found:
        click.echo(f"{finding.level:<5}{finding.subject}: {finding.text}")
    sys.exit(1 if any(finding.level == "bad" for finding in found) else 0)
