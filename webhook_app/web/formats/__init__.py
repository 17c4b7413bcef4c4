"""How values are written on a page: numbers, times, words, sentences and the geometry of the pictures.

Small pure functions; templates call them as filters and globals. No markup, no query, no clock lives here.
"""

from functools import wraps
from typing import Any
from zoneinfo import ZoneInfo

from flask import Flask, current_app, request, url_for

from webhook_app import phone
from webhook_app.figures.rows import Hop, IntakeMinute, MessageDetail, Step
from webhook_app.web.formats import (
    charts,
    hops,
    intake,
    messages,
    numbers,
    overview,
    probes,
    reasons,
    senders,
    sentences,
    spend,
    words,
)

MONEY_AND_NUMBERS = (
    numbers.iqd,
    numbers.number,
    numbers.percent,
    numbers.seconds,
    numbers.gap,
    numbers.capped,
    numbers.megabytes,
    numbers.ago,
    numbers.short_id,
)
WORDS = (
    words.status_label,
    words.step_label,
    words.outcome_tone,
    words.channel_name,
    words.carrier_name,
    words.type_name,
    words.route_sentence,
    words.environment_name,
    words.anomaly_sentence,
    reasons.reason_words,
)
INTAKE = (
    intake.verdict_label,
    intake.verdict_words,
    intake.cause_words,
    intake.effect,
    intake.by_kind,
    intake.intake_finding,
    probes.probe_links,
)
SENTENCES = (sentences.headline, sentences.step_title, sentences.change)


def register(app: Flask) -> None:
    """Give `app`'s templates every filter and global of this package."""
    for function in (*MONEY_AND_NUMBERS, *WORDS, *INTAKE, *SENTENCES):
        app.add_template_filter(function, function.__name__)
    app.add_template_filter(wraps(numbers.clock)(lambda at: numbers.clock(at, zone())), "clock")
    app.add_template_filter(wraps(numbers.clock_ms)(lambda at: numbers.clock_ms(at, zone())), "clock_ms")
    app.add_template_filter(wraps(numbers.day)(lambda at: numbers.day(at, zone())), "day")
    app.add_template_filter(wraps(numbers.when)(lambda at, now: numbers.when(at, now, zone())), "when")
    app.add_template_filter(wraps(numbers.zone_label)(lambda now: numbers.zone_label(now, zone())), "zone_label")
    app.add_template_filter(numbers.input_time, "input_time")
    app.add_template_filter(wraps(numbers.wire_time)(lambda at: numbers.wire_time(at, zone())), "wire_time")
    messages.register(app, zone)
    overview.register(app, zone)
    spend.register(app, zone)
    senders.register(app)
    app.add_template_filter(support_text)
    for about_phone in (phone.spaced, phone.carrier_of, phone.is_usual, phone.is_begun):
        app.add_template_filter(about_phone, about_phone.__name__)
    app.add_template_filter(step_notes)
    app.jinja_env.globals.update(
        intake_charts=intake_charts,
        hop_strip=hop_strip,
        live_url=live_url,
        providers=words.PROVIDERS,
        carriers=words.CARRIERS,
        channels=words.CHANNELS,
        sms_types=words.TYPES,
        statuses=words.STATUSES,
        intake_kinds=intake.KINDS,
    )


def zone() -> ZoneInfo:
    """The time zone the pages speak in."""
    return ZoneInfo(str(current_app.config["WASL_TIME_ZONE"]))


def support_text(detail: MessageDetail) -> str:
    return sentences.support_text(detail, zone())


def step_notes(step: Step, detail: MessageDetail) -> tuple[str, ...]:
    return sentences.step_notes(step, detail)


def intake_charts(minutes: tuple[IntakeMinute, ...], mirrored: bool) -> tuple[charts.BarChart, ...]:
    return intake.intake_charts(minutes, zone(), mirrored=mirrored)


def hop_strip(tried: tuple[Hop, ...], size: str, *, mirrored: bool = False) -> hops.HopStrip:
    return hops.hop_strip(tried, hops.SIZES[size], mirrored=mirrored)


def live_url() -> str:
    """This very page's address, asking for its live part only."""
    arguments: dict[str, Any] = {**request.args.to_dict(), **(request.view_args or {}), "fragment": "live"}
    return url_for(request.endpoint or "pages.overview", **arguments)
