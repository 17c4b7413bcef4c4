"""What each word of the program is called on a page, with its tone and icon. Unknown words are shown as they came."""

from collections.abc import Mapping
from dataclasses import dataclass

from webhook_app.marking import N_
from webhook_app.web.formats.translation import gettext


@dataclass(frozen=True, kw_only=True)
class Label:
    """A status for the eye: never colour alone. `tone` is ok, bad, wait or few; `icon` a name in icons.svg."""

    text: str
    tone: str
    icon: str


STATUSES: Mapping[str, tuple[str, str, str]] = {
    # Translators: From here on: the statuses, said of a message.
    "read": (N_("Read"), "ok", "checks"),
    "delivered": (N_("Delivered"), "ok", "check"),
    "failed": (N_("Failed"), "bad", "x"),
    "sent": (N_("Sent"), "few", "clock"),
    "retrying": (N_("Retrying"), "wait", "refresh"),
    "accepted": (N_("Accepted"), "few", "clock"),
    "queued": (N_("Queued"), "few", "hourglass"),
    "sending": (N_("Sending"), "few", "send"),
    "rejected": (N_("Refused"), "bad", "ban"),
    "throttled": (N_("Told to wait"), "wait", "hourglass"),
    "unconfirmed": (N_("Unconfirmed"), "wait", "help-circle"),
    "unsent": (N_("Not sent"), "bad", "cloud-off"),
}
_STEPS: Mapping[str, tuple[str, str]] = {
    "asked": ("few", "send"),
    "accepted": ("ok", "check"),
    "rejected": ("bad", "ban"),
    "throttled": ("wait", "hourglass"),
    "unconfirmed": ("wait", "help-circle"),
    "unsent": ("bad", "cloud-off"),
    "read": ("ok", "checks"),
    "delivered": ("ok", "check"),
    "failed": ("bad", "x"),
    "expired": ("bad", "x"),
    "undelivered": ("bad", "x"),
}
CHANNELS: Mapping[str, str] = {"whatsapp": "WhatsApp", "telegram": "Telegram", "sms": N_("SMS")}
CARRIERS: Mapping[str, str] = {
    # Translators: From here on: the carriers.
    "zain": N_("Zain"),
    "asiacell": N_("Asiacell"),
    "korek": N_("Korek"),
    "other": N_("Other"),
}
TYPES: Mapping[str, str] = {
    # Translators: From here on: the types of messages.
    "verification": N_("Code"),
    "custom": N_("Own text"),
    "whatsapp-template": N_("Template"),
    "unknown": N_("Sent elsewhere"),  # a source's message: only its callbacks are known
}
PROVIDERS: Mapping[str, str] = {
    # Translators: From here on: the routes.
    "auto": N_("Let OTPIQ choose"),
    "whatsapp-sms": N_("WhatsApp first, then SMS"),
    "telegram-sms": N_("Telegram first, then SMS"),
    "whatsapp-telegram-sms": N_("WhatsApp, then Telegram, then SMS"),
    "sms": N_("SMS only"),
    "whatsapp": N_("WhatsApp only"),
    "telegram": N_("Telegram only"),
}
_ENVIRONMENTS: Mapping[str, tuple[str, str, str]] = {
    # Translators: From here on: the badge that says what OTPIQ's key is for, each with its meaning.
    "live": (N_("LIVE"), "ok", N_("Messages reach real phones and cost money")),
    "dev": (N_("DEV KEY"), "wait", N_("A development key of OTPIQ is in use")),
    "simulator": (N_("SIMULATOR"), "wait", N_("Nothing leaves this machine, nothing costs money")),
    "none": (N_("NO KEY"), "bad", N_("No OTPIQ key is set: nothing can be sent")),
}
_ANOMALIES: Mapping[str, str] = {
    "sent_twice": N_("OTPIQ knows this message under two ids: it may have gone out, and been charged, twice."),
    "refused_yet_reported": N_("OTPIQ refused this message, yet reported on it later: it went out and was charged."),
    "failed_after_delivered": N_(
        "A failure was reported after the delivery. The delivery stands: nobody un-reads a code."
    ),
}


def status_label(status: str) -> Label:
    text, tone, icon = STATUSES.get(status, (status, "few", "circle-dashed"))
    return Label(text=gettext(text), tone=tone, icon=icon)


def step_label(kind: str, word: str | None) -> Label:
    """The mark of a timeline's line: "asked" has no word, the others are known by theirs."""
    tone, icon = _STEPS.get(kind if kind == "asked" else word or "", ("few", "clock"))
    return Label(text="", tone=tone, icon=icon)


def outcome_tone(outcome: str) -> str:
    return {"delivered": "ok", "read": "ok", "failed": "bad"}.get(outcome, "few")


def channel_name(channel: str | None) -> str:
    if channel is None or channel == "?":
        return gettext("Unknown channel")
    return gettext(CHANNELS[channel]) if channel in CHANNELS else channel


def carrier_name(carrier: str) -> str:
    return gettext(CARRIERS[carrier]) if carrier in CARRIERS else carrier


def type_name(sms_type: str) -> str:
    return gettext(TYPES[sms_type]) if sms_type in TYPES else sms_type


def route_sentence(provider: str) -> str:
    return gettext(PROVIDERS[provider]) if provider in PROVIDERS else provider


def environment_name(environment: str) -> Label:
    """The badge; its icon field carries the longer explanation instead of an icon's name."""
    text, tone, meaning = _ENVIRONMENTS.get(environment, _ENVIRONMENTS["none"])
    return Label(text=gettext(text), tone=tone, icon=gettext(meaning))


def anomaly_sentence(anomaly: str) -> str:
    return gettext(_ANOMALIES[anomaly]) if anomaly in _ANOMALIES else anomaly
