"""What came in at the callbacks' door, in words and as a picture: verdicts, why some were refused, what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from flask import url_for

from webhook_app.figures.rows import CallbackRow, IntakeMinute
from webhook_app.ids import first_id
from webhook_app.marking import N_
from webhook_app.sources import PAUSED, RETIRED
from webhook_app.web.formats.charts import BarChart, Size, Stack, span_label, stacked
from webhook_app.web.formats.translation import comma, gettext, ngettext
from webhook_app.web.formats.words import Label

SIZES = (
    Size(width=960, height=170, labels=7, name="wide"),
    Size(width=327, height=200, labels=4, name="tall"),
)
# What became of a callback: its column's head, its tone, and how many of them are spoken of.
KINDS: Mapping[str, tuple[str, str, str]] = {
    "accepted": (N_("Accepted"), "ok", N_("%(n)s accepted")),
    "late": (N_("Late"), "few", N_("%(n)s late")),
    "repeat": (N_("Repeats"), "few", N_("%(n)s repeated")),
    "orphan": (N_("Orphans"), "wait", N_("%(n)s without a message")),
    "quarantined": (N_("Quarantined"), "wait", N_("%(n)s quarantined")),
    "refused": (N_("Refused (own scale)"), "bad", N_("%(n)s refused")),
}
_VERDICTS: Mapping[str, tuple[str, str, str]] = {
    "accepted": (N_("Accepted"), "ok", "check"),
    "late": (N_("Late"), "few", "clock"),
    "orphan": (N_("Orphan"), "wait", "help-circle"),
    "quarantined": (N_("Quarantined"), "wait", "alert-triangle"),
}
_EFFECTS: Mapping[str, str] = {
    "accepted": N_("Told something new"),
    "late": N_("Told nothing new"),
    "orphan": N_("Kept: no such message"),
    "quarantined": N_("Kept: not understood"),
}


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Something odd in a person's words: what it is called, what it means and what to do."""

    title: str
    meaning: str
    advice: str


_CAUSES: Mapping[str, tuple[str, str, str]] = {
    "no_secret": (
        N_("No secret"),
        N_("The request came without the header X-OTPIQ-Webhook-Secret."),
        N_(
            "Send webhookSecret beside webhookUrl, as the snippets under Sources do, and see that no proxy in front "
            "takes the header away. Scanners on the internet look like this too."
        ),
    ),
    "wrong_secret": (
        N_("Wrong secret"),
        N_("The secret is not the one that this URL expects; each message and each source has its own."),
        N_("Copy it again from Sources. If you changed WASL_SECRET_KEYS, keep the old key behind the new one."),
    ),
    "bad_signature": (
        N_("Wrong signature"),
        N_("The secret is right, but the signature does not fit the body or its time."),
        N_("See that this machine's clock is right, and that no proxy in front changes bodies."),
    ),
    "bad_address": (
        N_("Wrong address"),
        N_("The end of the URL is no id that Wasl could have made."),
        N_("Copy the whole URL again from Sources: it must not be shortened or completed."),
    ),
    "too_big": (
        N_("Too big"),
        N_("The body had more than 64 KiB. OTPIQ's have less than one."),
        N_("Look at who sends it: the sample says what the program calls itself."),
    ),
    "cut_short": (
        N_("Broke off"),
        N_("Fewer bytes came than were announced."),
        N_("A lost connection now and then is usual. If there are many, look at the time-outs of the proxy in front."),
    ),
    "overloaded": (
        N_("Too many at once"),
        N_("More came at once than could be stored, so the rest were told to come again."),
        N_("If it goes on, give Wasl more workers or a faster disk."),
    ),
    "store_away": (
        N_("Nothing to store it in"),
        N_("Neither the store nor the spool file could be written, so the callback was told to come again."),
        N_("Run wasl doctor: it says what does not answer. Often the disk is full."),
    ),
}
_NOTES: Mapping[str, str] = {
    "the body is empty": N_("The body is empty."),
    "the body is nested too deeply": N_("The body is nested more deeply than any real one."),
    "the body is not text": N_("The body is not text."),
    "the body is not JSON": N_("The body is not JSON."),
    "the body is not a JSON object": N_("The body is JSON, but not an object."),
    "a key stands twice in the body": N_("A key stands twice in the body, so it could mean two things."),
    "the body has no status": N_("The body has no status."),
    "the body has no smsId": N_("The body has no smsId, and a source's message is known by nothing else."),
}
# Understood, but held back: what it did, what that means and what to do.
HELD: Mapping[str, tuple[str, str, str]] = {
    PAUSED: (
        N_("Kept: its source is paused"),
        N_("Its source was paused when it came."),
        N_("Let the source go on, under Sources: what came meanwhile is taken in then."),
    ),
    RETIRED: (
        N_("Kept: a retired address"),
        N_("It came at an address of its source that was retired before."),
        N_("If it should have counted, use the address again, under Sources: what came meanwhile is taken in then."),
    ),
}


def verdict_label(verdict: str) -> Label:
    text, tone, icon = _VERDICTS.get(verdict, (verdict, "few", "circle-dashed"))
    return Label(text=gettext(text), tone=tone, icon=icon)


def effect(row: CallbackRow) -> str:
    """What a callback did, in a few words."""
    held = HELD.get(row.step.quarantined or "")
    if held:
        return gettext(held[0])
    return gettext(_EFFECTS[row.verdict]) if row.verdict in _EFFECTS else row.verdict


def cause_words(cause: str) -> Explanation:
    title, meaning, advice = _CAUSES.get(cause, (cause, "", ""))
    return Explanation(title=gettext(title), meaning=meaning and gettext(meaning), advice=advice and gettext(advice))


def note_words(note: str) -> str:
    """Why a callback was not understood, or is held back."""
    if note in HELD:
        return gettext(HELD[note][1])
    return gettext(_NOTES[note]) if note in _NOTES else note


def verdict_words(row: CallbackRow) -> Explanation | None:
    """Why a callback is not simply accepted, and what to do; None where there is nothing to explain."""
    note = row.step.quarantined or ""
    if note in HELD:
        _effect, meaning, advice = HELD[note]
        return Explanation(title=gettext("It is held back"), meaning=gettext(meaning), advice=gettext(advice))
    known = {
        "quarantined": (
            N_("It could not be understood"),
            _NOTES.get(note, note),
            N_(
                "It is kept as it came. Nothing needs doing if it was somebody's test. If OTPIQ has changed what it "
                "sends, bring Wasl up to date, then replay it."
            ),
        ),
        "orphan": (
            N_("It belongs to no message known here"),
            N_("Its secret is right, so its URL was made with these keys, but the message is not in the store."),
            N_(
                "Was an older backup restored, or is this another store? Bring the message back, then replay it; "
                "the same callback sent again finds it too."
            ),
        ),
        "late": (
            N_("It told nothing new"),
            N_("What it says was known already: OTPIQ reports more than once, and in any order."),
            N_("Nothing needs doing."),
        ),
    }
    if row.verdict not in known:
        return None
    title, meaning, advice = known[row.verdict]
    return Explanation(title=gettext(title), meaning=gettext(meaning), advice=gettext(advice))


def by_kind(minute: IntakeMinute) -> dict[str, int]:
    """The minute's counts by KINDS; the causes of refusals are one kind."""
    counts = dict.fromkeys(KINDS, 0)
    for what, callbacks in minute.counts.items():
        counts[what if what in KINDS else "refused"] += callbacks
    return counts


def intake_finding(minutes: Sequence[IntakeMinute]) -> str:
    """The strip chart's title: what the last hour was like."""
    refused = sum(by_kind(minute)["refused"] for minute in minutes)
    taken = sum(sum(minute.counts.values()) for minute in minutes) - refused
    unplaced = sum(minute.counts.get(what, 0) for minute in minutes for what in ("orphan", "quarantined"))
    if not taken + refused:
        return gettext("No callback in the last hour")
    known = {"all": f"{taken + refused:,}", "refused": f"{refused:,}", "unplaced": f"{unplaced:,}"}
    if refused:
        cause = cause_words(_commonest_cause(minutes)).title.lower()
        if taken + refused == 1:
            return gettext("The one callback of the last hour was refused: %(cause)s", cause=cause)
        text = N_("%(refused)s of %(all)s were refused in the last hour, mostly for: %(cause)s")
        return gettext(text, cause=cause, **known)
    if unplaced and taken == 1:
        return gettext("The one callback of the last hour led to nothing")
    if unplaced:
        return gettext("%(unplaced)s of %(all)s callbacks of the last hour led to nothing", **known)
    return ngettext(
        "The one callback of the last hour was taken in",
        "All %(all)s callbacks of the last hour were taken in",
        taken,
        **known,
    )


def _commonest_cause(minutes: Sequence[IntakeMinute]) -> str:
    causes = {what for minute in minutes for what in minute.counts if what not in KINDS}
    return max(sorted(causes), key=lambda cause: sum(minute.counts.get(cause, 0) for minute in minutes))


def intake_charts(minutes: Sequence[IntakeMinute], zone: ZoneInfo, *, mirrored: bool = False) -> tuple[BarChart, ...]:
    """A bar a minute, what was refused below it, wide and tall; a click leads to the callbacks of that minute and
    before."""
    stacks = [_stack(minute, zone) for minute in minutes]
    return tuple(stacked(stacks, size, zone, mirrored=mirrored) for size in SIZES)


def _stack(minute: IntakeMinute, zone: ZoneInfo) -> Stack:
    counts = by_kind(minute)
    told = [gettext(KINDS[kind][2], n=f"{count:,}") for kind, count in counts.items() if count]
    refused = counts.pop("refused")
    is_stored = any(counts.values())
    span = span_label(minute.start, minute.end, zone)
    return Stack(
        row=minute,
        parts=tuple((KINDS[kind][1], count) for kind, count in counts.items()),
        below=refused,
        span=span,
        title=gettext("%(time)s: %(counts)s", time=span, counts=comma().join(told)),
        href=url_for("callback_pages.callbacks", before=first_id(minute.end))
        if is_stored
        else url_for("callback_pages.refused"),
    )
