"""The self-test in words: each link of the way that a callback takes, and where it is broken."""

from collections.abc import Mapping
from dataclasses import dataclass

from webhook_app.marking import N_
from webhook_app.probing import WORDS, Probe
from webhook_app.web.formats.numbers import seconds
from webhook_app.web.formats.translation import format_local, gettext, isolated

# A link: what it is called, and what is so when it holds.
_LINKS: Mapping[str, tuple[str, str]] = {
    "name": (N_("Name (DNS)"), N_("The name leads to an address.")),
    "connection": (N_("Connection"), N_("Something listens there.")),
    "certificate": (N_("Certificate (TLS)"), N_("It is trusted.")),
    "path": (N_("Path"), N_("It is Wasl that answers there.")),
    "headers": (N_("Secret"), N_("The header with the secret arrived as it was sent.")),
    "body": (N_("Body"), N_("The body arrived byte for byte.")),
    "time": (N_("Time"), N_("It took %(time)s; OTPIQ waits 10 s.")),
}

_TOLD_BY_ANSWER = ("path", "headers", "body")


@dataclass(frozen=True, kw_only=True)
class Link:
    """One link of the way; `tone` is ok, bad or few (it was not reached)."""

    name: str
    tone: str
    icon: str
    meaning: str
    advice: str | None


def probe_links(probe: Probe) -> tuple[Link, ...]:
    """In the order in which they are passed."""
    broken_at = probe.links.index(probe.broken.link) if probe.broken else len(probe.links)
    return tuple(_link(probe, link, place - broken_at) for place, link in enumerate(probe.links))


def _link(probe: Probe, link: str, past: int) -> Link:
    name, holds = (gettext(text) for text in _LINKS[link])
    if past > 0:
        return Link(name=name, tone="few", icon="circle-dashed", meaning=gettext("Not reached."), advice=None)
    if past < 0 and link in _TOLD_BY_ANSWER and probe.broken and probe.broken.kind == "late":
        return Link(name=name, tone="few", icon="circle-dashed", meaning=gettext("Not known."), advice=None)
    if past < 0 or probe.broken is None:
        if link == "certificate" and probe.valid_until:
            day = format_local(probe.valid_until, "d MMM yyyy")
            holds = gettext("It is trusted, and good until %(day)s.", day=day)
        meaning = holds % {"time": seconds(probe.took_s)}
        return Link(name=name, tone="ok", icon="circle-check", meaning=meaning, advice=None)
    meaning, advice = WORDS[link, probe.broken.kind]
    told = gettext(meaning, told=isolated(probe.broken.told))
    return Link(name=name, tone="bad", icon="alert-triangle", meaning=told, advice=gettext(advice))
