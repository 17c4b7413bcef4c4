"""What fallback buys: how many messages went on to a second and third channel, and what became of them there."""

from collections import Counter
from collections.abc import Iterable

from .overview_rows import Fallback, Tier
from .tallies import PartCount

_DELIVERED = ("delivered", "read")


def fallback(paths: Iterable[PartCount]) -> Fallback:
    """`paths` by channel and word, which is `Message.path`; the channel is the one that the message's status is of."""
    came: Counter[tuple[int, str]] = Counter()
    delivered: Counter[int] = Counter()
    charged_iqd: Counter[int] = Counter()
    ended: Counter[int] = Counter()
    wait_s: Counter[int] = Counter()
    fates: Counter[str] = Counter()
    for path in paths:
        outcomes = outcomes_of(path)
        channels = list(outcomes)
        for place, channel in enumerate(channels, start=1):
            came[place, channel] += path.messages
            charged_iqd[place] += path.charged_iqd
        ended[len(channels)] += path.messages
        wait_s[len(channels)] += path.seconds
        fate = outcomes.get(path.channel or "", "")
        fates[fate] += path.messages
        if fate in _DELIVERED:
            delivered[channels.index(path.channel or "") + 1] += path.messages
    return Fallback(
        tiers=tuple(
            Tier(
                place=place,
                came=sum(messages for (at, _channel), messages in came.items() if at == place),
                channels=_most_first({channel: messages for (at, channel), messages in came.items() if at == place}),
                delivered=delivered[place],
                charged_iqd=charged_iqd[place],
                wait_s=wait_s[place] / ended[place] if ended[place] else None,
            )
            for place in sorted({at for at, _channel in came})
        ),
        failed=fates["failed"],
        no_receipt=sum(fates.values()) - fates["failed"] - sum(delivered.values()),
    )


def outcomes_of(path: PartCount) -> dict[str, str]:
    """Each channel and what it came to, in the order they were tried: of "whatsapp:failed sms:delivered"."""
    pairs = (tried.rpartition(":") for tried in (path.word or "").split())
    return {channel: outcome for channel, _colon, outcome in pairs}


def _most_first(channels: dict[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(channels.items(), key=lambda item: (-item[1], item[0])))
