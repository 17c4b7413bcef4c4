"""The `wasl` command: arguments in, one call to the rooms below, lines or JSON out. Exit codes say what happened."""

from typing import Any

import click

from .. import accounts as people
from .. import serving, settings
from ..database import StoreAway
from ..naming import BadName
from ..sources import AddressRule
from . import accounts, messages, running, sources, upkeep


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
        except (serving.PortTaken, AddressRule) as rule:
            raise click.ClickException(str(rule)) from None
        except (BadName, people.BadPassword) as wrong:
            subject = "password" if isinstance(wrong, people.BadPassword) else "name"
            raise click.ClickException(f"{subject} {wrong}") from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="wasl", prog_name="wasl")
def main() -> None:
    """Send OTP and SMS messages through OTPIQ, lose no delivery callback, and see what arrived and what it cost.

    Settings come from the environment; the README lists them. To look around without an account: wasl demo
    """


for command in (
    running.demo,
    running.serve,
    running.worker_command,
    running.simulate,
    messages.send,
    messages.messages,
    messages.message,
    sources.source,
    accounts.user,
    accounts.key,
    running.db,
    upkeep.replay,
    running.doctor_command,
):
    main.add_command(command)
