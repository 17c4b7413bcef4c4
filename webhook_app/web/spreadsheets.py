"""Tables as CSV, streamed, and what their cells may be; `xlsx` is the other form. No column is named here.

Spreadsheets take text that begins like a formula for one, and text that looks like a number for a number, without its
zeros. Only an apostrophe in front, which they know, keeps text text in CSV.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

Cell = str | int | float | datetime | None  # times are local already, without a zone
Row = Sequence[Cell]

CSV_TYPE = "text/csv"
PIECE_BYTES = 16 * 1024  # a slow client has ten seconds to take one
_BYTE_ORDER_MARK = "\ufeff"  # or Excel takes UTF-8 for the machine's own letters
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")
_NUMBER = re.compile(r"\d[\d.,:/\-eE]*")


def csv_pieces(head: Sequence[str], rows: Iterable[Row]) -> Iterator[bytes]:
    piece = io.StringIO(newline="")
    piece.write(_BYTE_ORDER_MARK)
    lines = csv.writer(piece)
    lines.writerow([_text(cell) for cell in head])
    for row in rows:
        lines.writerow([_text(cell) for cell in row])
        if piece.tell() >= PIECE_BYTES:
            yield piece.getvalue().encode(errors="replace")
            piece.seek(0)
            piece.truncate()
    yield piece.getvalue().encode(errors="replace")


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return f"'{cell}" if _FORMULA.match(cell) or _NUMBER.fullmatch(cell) else cell
    return f"{cell:%Y-%m-%d %H:%M:%S}" if isinstance(cell, datetime) else str(cell)
