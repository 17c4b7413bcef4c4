"""All messages that match, as a file: what stands in each column, and the route that hands it out."""

import threading
from collections.abc import Iterator
from urllib.parse import urlencode

from flask import Response, abort, request
from flask.typing import ResponseReturnValue
from flask_babel import get_locale
from flask_babel import gettext as _
from flask_login import current_user

from .. import figures, reveals
from ..figures import ExportRow, Filter
from ..otpiq.requests import SMS_TYPES
from ..phone import Carrier, mask, spaced
from ..status import CHANNELS, UNKNOWN_CHANNEL, Status
from .asking import page
from .context import now, wasl
from .filtering import as_asked, asked_filter
from .formats.numbers import zone_label
from .formats.sentences import channel_said
from .formats.translation import comma
from .formats.words import carrier_name, channel_name, status_label, type_name
from .message_pages import asked_search, chip_words, how_many
from .pages import blueprint as blueprint
from .spreadsheets import CSV_TYPE, Cell, csv_pieces
from .xlsx import XLSX_TYPE, xlsx_pieces

_KINDS = {"csv": CSV_TYPE, "xlsx": XLSX_TYPE}
_OUTCOMES = ("sent", "failed", "delivered", "read")  # of one channel
_RETRY_AFTER_S = 30
_being_made = threading.BoundedSemaphore(2)  # of each process, so that callbacks and pages keep their turns


@blueprint.route("/messages/export", methods=["GET", "POST"])
def export() -> ResponseReturnValue:
    """200 the file, streamed, or its form while no format is named; 400 for any other format, and with the form when
    the reason for whole numbers will not do; 503 while two others are being made."""
    query = asked_search() if request.method == "POST" else ""
    filter_ = asked_filter()
    kind, why = request.form.get("format", ""), request.form.get("why", "").strip()
    if not kind:
        return _form(filter_, query)
    if kind not in _KINDS:
        abort(400, _("%(name)s: must be one of %(allowed)s", name="format", allowed=", ".join(_KINDS)))
    if why:
        try:
            reveals.note_export(wasl().database, _chosen(query), current_user.name, why, now())
        except reveals.NoReason as wrong:
            return _form(filter_, query, errors=[_(str(wrong))]), 400
    lanes = figures.understand(query).lanes() if query else filter_.lanes(wasl().settings.time_zone)
    lines = _Lines(masked=not why).of(figures.export_batches(wasl().database, lanes))
    return _file(kind, lines)


def _form(filter_: Filter, query: str, errors: list[str] | None = None) -> str:
    return page(
        "messages_export.html",
        filter=as_asked(),
        query=query,
        matching=how_many(filter_, query),
        exports=figures.whole_exports(wasl().database),
        why=request.form.get("why", ""),
        errors=errors or (),
        **chip_words(filter_),
    )


def _chosen(query: str) -> str:
    """For the record. What was typed does not stand in it: it may be a number."""
    return urlencode({"search": "words"} if query else as_asked())


def _file(kind: str, lines: Iterator[list[Cell]]) -> Response:
    turn = _Turn()
    pieces = (
        csv_pieces(_head(), lines)
        if kind == "csv"
        else xlsx_pieces(_("Messages"), _head(), lines, mirrored=get_locale().text_direction == "rtl")
    )
    answer = Response(turn.lasting_for(pieces), mimetype=_KINDS[kind])
    answer.call_on_close(turn.end)  # for who leaves before the first piece
    name = f"wasl-messages-{now().astimezone(wasl().settings.time_zone):%Y-%m-%d-%H%M}.{kind}"
    answer.headers.set("Content-Disposition", "attachment", filename=name)
    return answer


class _Turn:
    """One of the few exports that may be made at once."""

    def __init__(self) -> None:
        """503 when there is none left."""
        if not _being_made.acquire(blocking=False):
            abort(503, _("Two exports are being made already. Try again in a minute."), retry_after=_RETRY_AFTER_S)
        self._lasts = True

    def lasting_for(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from pieces
        finally:
            self.end()

    def end(self) -> None:
        if self._lasts:
            self._lasts = False
            _being_made.release()


def _head() -> list[str]:
    return [
        _("Asked for at, %(zone)s", zone=zone_label(now(), wasl().settings.time_zone)),
        _("To"),
        _("Carrier"),
        _("Type"),
        _("Sender"),
        _("Source"),
        _("Asked by"),
        _("Reference"),
        _("Status"),
        _("Channel"),
        _("Channels tried"),
        _("Reason"),
        _("Took, seconds"),
        _("Charged, IQD"),
        _("Estimate, IQD"),
        _("At risk, IQD"),
        _("OTPIQ's smsId"),
        _("Message id"),
    ]


class _Lines:
    """Messages as cells. The reader's words are looked up beforehand: a file goes on when its request is over."""

    def __init__(self, *, masked: bool) -> None:
        channels = (*CHANNELS, UNKNOWN_CHANNEL)
        self._zone = wasl().settings.time_zone
        self._form = mask if masked else spaced
        self._carriers = {str(name): carrier_name(name) for name in Carrier}
        self._types = {name: type_name(name) for name in (*SMS_TYPES, "unknown")}
        self._statuses = {str(name): status_label(name).text for name in Status}
        self._channels = {name: channel_name(name) for name in channels}
        self._comma = comma()
        self._tried = {f"{name}:{word}": channel_said(name, word) for name in channels for word in _OUTCOMES}

    def of(self, batches: Iterator[tuple[ExportRow, ...]]) -> Iterator[list[Cell]]:
        for row in (row for batch in batches for row in batch):
            yield [
                row.created_at.astimezone(self._zone).replace(tzinfo=None),
                # Without its plus, or a spreadsheet would take it for a sum.
                self._form(row.phone).removeprefix("+") if row.phone else None,
                self._carriers.get(row.carrier, row.carrier),
                self._types.get(row.sms_type, row.sms_type),
                row.sender_id,
                row.source_name,
                row.asked_by,
                row.reference,
                self._statuses.get(row.status, row.status),
                self._channels.get(row.channel, row.channel) if row.channel else None,
                self._comma.join(self._tried.get(step, step) for step in row.path.split()),
                row.reason,
                None if row.took_s is None else round(row.took_s, 1),
                row.charged_iqd,
                row.estimate_iqd,
                row.at_risk_iqd,
                row.sms_id,
                str(row.id),
            ]
