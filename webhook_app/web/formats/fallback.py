"""What does fallback buy? The waterfall from the first channel to the last: its steps, and what it shows in words."""

from dataclasses import dataclass

from webhook_app.figures.overview_rows import FEW, Fallback, Tier
from webhook_app.marking import N_
from webhook_app.web.formats.numbers import percent
from webhook_app.web.formats.translation import gettext

_PLACES = {1: N_("First channel"), 2: N_("Second channel"), 3: N_("Third channel")}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One bar of the waterfall, from `start` to `end` percent of all messages; a fate that is no tier has none."""

    name: str
    tone: str
    start: float
    end: float
    messages: int
    tier: Tier | None

    @property
    def percent(self) -> float:
        return self.end - self.start


def fallback_steps(fallback: Fallback) -> tuple[Step, ...]:
    """Each begins where the one before ends; together they are all messages."""
    fates: list[tuple[str, str, int, Tier | None]] = [
        (place_name(tier.place), "ok", tier.delivered, tier) for tier in fallback.tiers
    ]
    if fallback.failed:
        fates.append((gettext("Failed on all of them"), "bad", fallback.failed, None))
    if fallback.no_receipt:
        fates.append((gettext("Sent; the network gives no receipts"), "few", fallback.no_receipt, None))
    steps, counted = [], 0
    for name, tone, messages, tier in fates:
        start, counted = counted, counted + messages
        share = 100 / fallback.messages
        steps.append(Step(name=name, tone=tone, start=start * share, end=counted * share, messages=messages, tier=tier))
    return tuple(steps)


def place_name(place: int) -> str:
    return gettext(_PLACES[place]) if place in _PLACES else gettext("Channel %(n)s", n=place)


def fallback_finding(fallback: Fallback) -> str:
    """The waterfall's title: what the further channels added."""
    if not fallback.messages:
        return gettext("What fallback buys: nothing has come to its end yet")
    added = sum(tier.delivered for tier in fallback.tiers[1:])
    went_on = sum(tier.came for tier in fallback.tiers[1:2])
    if not went_on:
        return gettext("No message needed a second channel")
    if fallback.messages < FEW:
        return gettext("What fallback buys: too few messages to say")
    first = 100 * fallback.tiers[0].delivered / fallback.messages
    if not added:
        return gettext("Fallback delivered nothing more than the first channel's %(first)s%%", first=percent(first))
    both = 100 * added / fallback.messages + first
    return gettext("Fallback raised deliveries from %(first)s to %(both)s%%", first=percent(first), both=percent(both))
