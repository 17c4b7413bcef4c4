"""Whole sentences about a message, a step, a range: what a person would say, built from rows."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from webhook_app.figures.rows import Hop, MessageDetail, Step
from webhook_app.marking import N_
from webhook_app.web.formats.intake import HELD, note_words
from webhook_app.web.formats.numbers import number, percent, seconds, zone_label
from webhook_app.web.formats.reasons import reason_words
from webhook_app.web.formats.translation import comma, gettext, isolated, isolated_words, ngettext
from webhook_app.web.formats.words import channel_name, route_sentence, type_name

_OPEN_SENTENCES = {
    "accepted": N_("Accepted by OTPIQ, waiting for its first report"),
    "queued": N_("Waiting to be sent"),
    "sending": N_("On its way to OTPIQ"),
    "throttled": N_("OTPIQ asked to wait: too many messages in a short time"),
    "unconfirmed": N_("In doubt: OTPIQ may have it, but gave no clear answer"),
    "unsent": N_("Not sent: nothing left this machine"),
}
_ANSWERS = {
    "accepted": N_("Accepted by OTPIQ"),
    "rejected": N_("Refused by OTPIQ"),
    "throttled": N_("OTPIQ asked to wait"),
    "unconfirmed": N_("No clear answer from OTPIQ"),
    "unsent": N_("OTPIQ could not be reached"),
}
_WORDS = {
    "sent": N_("sent"),
    "delivered": N_("delivered"),
    "read": N_("read"),
    "failed": N_("failed"),
    "expired": N_("expired"),
    "undelivered": N_("undelivered"),
    "rejected": N_("rejected"),
    "pending": N_("pending"),
}
_MUCH = 0.1  # by less of itself a time to deliver varies anyway
_RANGES_BEFORE = {
    "1h": N_("vs. the hour before, without these five minutes"),
    "today": N_("vs. yesterday"),
    "7d": N_("vs. the 7 days before"),
    "30d": N_("vs. the 30 days before"),
    "month": N_("vs. the month before"),
    "month so far": N_("vs. as many whole days of the month before"),
}
# Compared without their last part, which has only begun.
_GOING_ON = ("1h", "month so far")


@dataclass(frozen=True, kw_only=True)
class Change:
    """How a figure moved against the range before; `tone` is ok, bad or few."""

    text: str
    tone: str
    against: str


def headline(detail: MessageDetail) -> str:
    """What became of the message, in one sentence."""
    row = detail.row
    if row.status in ("delivered", "read"):
        return _delivered(detail)
    if row.status == "failed":
        return _failed(detail)
    if row.status == "rejected":
        reason = reason_words(row.reason)
        return gettext("Refused by OTPIQ: %(why)s", why=reason.meaning) if reason else gettext("Refused by OTPIQ")
    sentence = _open(detail)
    return gettext("No report for 72 hours. Last known: %(sentence)s", sentence=sentence) if row.no_report else sentence


def _delivered(detail: MessageDetail) -> str:
    channel = channel_name(detail.row.channel)
    failed = _listed(
        tuple(hop for hop in detail.row.hops if hop.outcome == "failed" and hop.channel != detail.row.channel)
    )
    took = seconds(detail.row.took_s)
    read = detail.row.status == "read"
    if failed and detail.row.took_s is not None:
        text = (
            N_("Read on %(channel)s after %(failed)s failed, in %(took)s")
            if read
            else N_("Delivered by %(channel)s after %(failed)s failed, in %(took)s")
        )
    elif failed:
        text = (
            N_("Read on %(channel)s after %(failed)s failed")
            if read
            else N_("Delivered by %(channel)s after %(failed)s failed")
        )
    elif detail.row.took_s is not None:
        text = N_("Read on %(channel)s, in %(took)s") if read else N_("Delivered by %(channel)s, in %(took)s")
    else:
        text = N_("Read on %(channel)s") if read else N_("Delivered by %(channel)s")
    return gettext(text, channel=channel, failed=failed, took=took)


def _failed(detail: MessageDetail) -> str:
    tried = _listed(tuple(hop for hop in detail.row.hops if hop.outcome == "failed")) or channel_name(
        detail.row.channel
    )
    if detail.row.took_s is None:
        return gettext("Failed by %(tried)s", tried=tried)
    return gettext("Failed by %(tried)s, after %(took)s", tried=tried, took=seconds(detail.row.took_s))


def _open(detail: MessageDetail) -> str:
    status = detail.row.status
    if status == "sent":
        if detail.row.closed:
            return gettext(
                "Sent by %(channel)s; this network gives no receipts", channel=channel_name(detail.row.channel)
            )
        return gettext("Sent by %(channel)s, waiting for its receipt", channel=channel_name(detail.row.channel))
    if status == "retrying":
        failed = _listed(tuple(hop for hop in detail.row.hops if hop.outcome == "failed"))
        return gettext("%(failed)s failed, the next channel is being tried", failed=failed)
    return gettext(_OPEN_SENTENCES[status]) if status in _OPEN_SENTENCES else status


def _listed(hops: tuple[Hop, ...]) -> str:
    """ "WhatsApp", "WhatsApp and Telegram", "WhatsApp, Telegram and SMS"."""
    names = [channel_name(hop.channel) for hop in hops]
    if len(names) < 2:
        return "".join(names)
    return gettext("%(first)s and %(last)s", first=comma().join(names[:-1]), last=names[-1])


def _asked(asked_by: str) -> str:
    kind, _colon, name = asked_by.partition(":")
    by_kind = {
        "user": N_("Asked by %(name)s"),
        "key": N_("Asked with the key %(name)s"),
        "source": N_("First heard of, from source %(name)s"),
        "command line": N_("Asked on the command line"),
    }
    return gettext(by_kind[kind], name=name) if kind in by_kind else gettext("Asked by %(name)s", name=asked_by)


def step_title(step: Step) -> str:
    """The bold line of one step."""
    if step.kind == "asked":
        return _asked(step.asked_by or "")
    if step.kind == "answer":
        return gettext(_ANSWERS[step.word]) if step.word in _ANSWERS else step.word or gettext("Answered")
    if step.quarantined and step.quarantined not in HELD:
        return gettext("A callback that could not be read")
    title = channel_said(step.channel, step.word) if step.channel or step.kind == "callback" else _said(step.word)
    if step.is_final:
        return gettext("%(title)s, final", title=title)
    return gettext("%(title)s, not final", title=title) if step.word == "failed" else title


def channel_said(channel: str | None, word: str | None) -> str:
    """ "WhatsApp: failed"."""
    return gettext("%(channel)s: %(word)s", channel=channel_name(channel), word=_said(word))


def _said(word: str | None) -> str:
    return gettext(_WORDS[word]) if word in _WORDS else word or gettext("no status")


def step_notes(step: Step, detail: MessageDetail) -> tuple[str, ...]:
    """The small print under a step, in reading order; ids, money and the reason stand in the template."""
    notes = []
    if step.kind == "asked":
        notes.append(type_name(detail.row.sms_type))
        if detail.provider:  # not known of a message that another program sent
            notes.append(gettext("route: %(route)s", route=route_sentence(detail.provider)))
        if detail.sender_id:
            notes.append(gettext("sender %(sender)s", sender=detail.sender_id))
    if step.kind == "callback":
        notes.append(gettext("callback, secret right"))
    if step.kind == "tracking":
        notes.append(gettext("answer to our own question"))
    if step.quarantined:
        notes.append(note_words(step.quarantined))
    if step.repeats:
        notes.append(ngettext("came %(num)s time", "came %(num)s times", step.repeats + 1))
    if not step.changed:
        notes.append(gettext("changed nothing"))
    return tuple(notes)


def support_text(detail: MessageDetail, zone: ZoneInfo) -> str:
    """What OTPIQ's support needs to find this message, ready to paste. In English: it is for them."""
    at, local = detail.row.created_at, detail.row.created_at.astimezone(zone)
    ids = ", ".join(detail.sms_ids) or "no smsId"
    # Of what another program sent the beginning is not known: what tells of it first tells no time.
    fates = [
        f"{_english(hop.channel)} {hop.outcome}" + (f" after {took:.1f} s" if (took := hop.end_s - hop.start_s) else "")
        for hop in detail.row.hops
    ]
    fate = ", ".join(fates) or detail.row.status
    where = _english(detail.row.carrier)
    reason = f'\nReason given: "{detail.row.reason}"' if detail.row.reason else ""
    utc = zone_label(at, zone).split("(")[-1].rstrip(")")
    return f"{ids}, {local.day} {local:%b %Y %H:%M:%S} ({utc}), {where}: {fate}.{reason}"


def _english(word: str) -> str:
    return {"whatsapp": "WhatsApp", "sms": "SMS"}.get(word, word.capitalize())


def _as_figure(value: float, *, is_percent: bool, is_time: bool) -> str:
    if is_time:
        return isolated_words(seconds(value))
    return isolated(f"{percent(value)}%" if is_percent else number(round(value)))


def change(
    now: float | None, before: float | None, span: str, until: str = "", *, points: bool = False, seconds: bool = False
) -> Change | None:
    """`now` against `before`: in percent of it, in points, or in seconds; None where nothing compares.

    `until` is said where both end earlier in the day than the figure beside which this stands. Where they end earlier
    both are told: neither is that figure.
    """
    if now is None or before is None or (not (points or seconds) and before == 0):
        return None
    moved = now - before if points or seconds else (now - before) / before * 100
    against = gettext(_RANGES_BEFORE.get(span, N_("vs. the range before")))
    if until:
        against = gettext("%(against)s until %(time)s", against=against, time=until)
    if until or span in _GOING_ON:
        told = [_as_figure(value, is_percent=points, is_time=seconds) for value in (now, before)]
        against = gettext("%(against)s: %(now)s and %(before)s", against=against, now=told[0], before=told[1])
    if abs(moved) < 0.05:
        return Change(text=gettext("no change"), tone="few", against=against)
    amount = f"{'+' if moved > 0 else '−'}{abs(moved):,.1f}"
    if seconds:
        is_much = abs(moved) > _MUCH * before
        tone = "few" if not is_much else "bad" if moved > 0 else "ok"
        return Change(text=gettext("%(n)s s", n=isolated(amount)), tone=tone, against=against)
    tone = ("ok" if moved > 0 else "bad") if points else "few"
    text = gettext("%(n)s points", n=isolated(amount)) if points else isolated(f"{amount}%")
    return Change(text=text, tone=tone, against=against)
