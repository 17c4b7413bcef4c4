"""The Spend page: what a month cost, what it will come to, how long the balance lasts; and a file of it."""

import csv
import io
import re
from datetime import date

from flask import Blueprint, Response, abort, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from .. import budgets, figures
from .asking import page
from .context import now, wasl
from .formats.spend import spend_channel
from .formats.words import carrier_name

blueprint = Blueprint("spend_pages", __name__)
_MONTH = re.compile(r"20\d\d-(0[1-9]|1[0-2])")
_BYTE_ORDER_MARK = "\ufeff"  # or Excel takes UTF-8 for the machine's own letters


@blueprint.get("/spend")
def spend() -> ResponseReturnValue:
    """`month` as 2026-11; this one by default. 400 for one that is none, or has not begun."""
    month = _month()
    shown = figures.spend(wasl().database, month, wasl().settings.time_zone, now())
    after = figures.next_month(month)
    held = budgets.current(wasl().database)
    return page(
        "spend.html",
        spend=shown,
        budgets=held,
        stopped=budgets.stopping(wasl().database, held, wasl().settings.time_zone, now()),
        before=figures.month_before(month),
        after=after if after <= _this_month() else None,
    )


@blueprint.get("/spend/export")
def export() -> Response:
    """The month by day, carrier and channel as CSV; at most some hundred lines, and no cell that a spreadsheet would
    take for a formula: only days, names of ours and whole numbers."""
    month = _month()
    sheet = io.StringIO()
    sheet.write(_BYTE_ORDER_MARK)
    lines = csv.writer(sheet)
    zone = wasl().settings.time_zone
    lines.writerow(
        [
            _("Day (%(zone)s)", zone=zone.key),
            _("Carrier"),
            _("Channel"),
            _("Messages"),
            _("Charged, IQD"),
            _("At risk, IQD"),
        ]
    )
    lines.writerows(
        (
            cell.day.isoformat(),
            carrier_name(cell.carrier),
            spend_channel(cell.channel),
            cell.messages,
            cell.charged_iqd,
            cell.at_risk_iqd,
        )
        for cell in figures.day_cells(wasl().database, month, zone)
    )
    name = f'attachment; filename="wasl-spend-{month:%Y-%m}.csv"'
    return Response(sheet.getvalue(), content_type="text/csv; charset=utf-8", headers={"Content-Disposition": name})


def _this_month() -> date:
    return now().astimezone(wasl().settings.time_zone).date().replace(day=1)


def _month() -> date:
    typed = request.args.get("month") or f"{_this_month():%Y-%m}"
    month = date.fromisoformat(f"{typed}-01") if _MONTH.fullmatch(typed) else None
    if month is None or month > _this_month():
        example = f"{_this_month():%Y-%m}"
        abort(400, _("month: must be a month such as %(example)s, and none that is still to come", example=example))
    return month
