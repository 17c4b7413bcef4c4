"""Tables as XLSX, streamed from the first row on: a ZIP file of XML, of which the sheets come first.

Written here and not by a library, because those make the file whole before its first byte can leave. For a million rows
that takes minutes, and no proxy waits so long. A cell says itself whether it is text, so there is nothing to escape but
XML.
"""

import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import count
from typing import IO, cast
from xml.sax.saxutils import escape, quoteattr

from .spreadsheets import PIECE_BYTES, Cell, Row

XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_ROWS_A_SHEET = 1_000_000  # Excel opens 1,048,576
_MOST_TEXT = 32_000  # and in a cell 32,767 characters
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_DAY_0 = datetime(1899, 12, 30)  # noqa: DTZ001 - spreadsheets know no zones
_NO_NAME = re.compile(r"[\[\]:*?/\\']")  # what a sheet's name may not hold
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"  # of the columns; nobody here needs more

_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATED = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_LINKS = "http://schemas.openxmlformats.org/package/2006/relationships"
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_PART = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_TIME, _BOLD = 1, 2  # places among the cellXfs
_STYLES = f"""{_XML}<styleSheet xmlns="{_MAIN}">
<numFmts count="1"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd\\ hh:mm:ss"/></numFmts>
<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>
<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>
<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill></fills>
<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>
<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>
<cellXfs count="3"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>
<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>
<xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/></cellXfs>
<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles>
</styleSheet>"""


def xlsx_pieces(title: str, head: Sequence[str], rows: Iterable[Row], *, mirrored: bool = False) -> Iterator[bytes]:
    """More rows than a sheet holds go on in the next one; a `mirrored` sheet begins at the right."""
    out, rest = _Pieces(), iter(rows)
    with zipfile.ZipFile(cast(IO[bytes], out), "w", zipfile.ZIP_DEFLATED, compresslevel=1) as book:
        for sheets in count(1):
            lines = 0
            with book.open(f"xl/worksheets/sheet{sheets}.xml", "w") as sheet:
                sheet.write(_beginning(head, mirrored=mirrored).encode())
                for lines, row in zip(range(1, _ROWS_A_SHEET + 1), rest, strict=False):
                    sheet.write(_row(lines + 1, row).encode())
                    if out.size >= PIECE_BYTES:
                        yield out.take()
                sheet.write(b"</sheetData></worksheet>")
            if lines < _ROWS_A_SHEET:
                break
        for name, part in _other_parts(title, sheets).items():
            book.writestr(name, part)
    yield out.take()


class _Pieces:
    """What is written, until it is taken away: nobody goes back in it."""

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self.size = 0

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """ZipFile calls it; nothing waits anywhere."""

    def take(self) -> bytes:
        taken, self._written, self.size = b"".join(self._written), [], 0
        return taken


def _beginning(head: Sequence[str], *, mirrored: bool) -> str:
    """Of a sheet: its columns' widths, and their names in a row that stays in sight."""
    widths = "".join(
        f'<col min="{number}" max="{number}" width="{max(12, min(40, len(name) + 2))}" customWidth="1"/>'
        for number, name in enumerate(head, 1)
    )
    return (
        f'{_XML}<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0" rightToLeft="{mirrored:d}">'
        '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>'
        f"<cols>{widths}</cols><sheetData>{_row(1, head, style=_BOLD)}"
    )


def _row(line: int, row: Row, style: int = 0) -> str:
    cells = (_cell(f"{_LETTERS[at]}{line}", cell, style) for at, cell in enumerate(row) if cell is not None)
    return f'<row r="{line}">{"".join(cells)}</row>'


def _cell(place: str, cell: Cell, style: int) -> str:
    if isinstance(cell, str):
        text = escape(_NO_XML.sub("\ufffd", cell[:_MOST_TEXT]))
        return f'<c r="{place}" s="{style}" t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'
    if isinstance(cell, datetime):
        return f'<c r="{place}" s="{_TIME}"><v>{(cell - _DAY_0).total_seconds() / 86400:.9f}</v></c>'
    return f'<c r="{place}"><v>{cell}</v></c>'


def _other_parts(title: str, sheets: int) -> dict[str, str]:
    """What makes sheets a workbook."""
    numbers = range(1, sheets + 1)
    kinds = {"/xl/workbook.xml": f"{_PART}.sheet.main+xml", "/xl/styles.xml": f"{_PART}.styles+xml"}
    kinds |= {f"/xl/worksheets/sheet{number}.xml": f"{_PART}.worksheet+xml" for number in numbers}
    links = [("worksheet", f"worksheets/sheet{number}.xml") for number in numbers] + [("styles", "styles.xml")]
    names = [f"{_NO_NAME.sub(' ', title)[:24]} {number if number > 1 else ''}".strip() for number in numbers]
    return {
        "[Content_Types].xml": f'{_XML}<Types xmlns="{_TYPES}">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        + "".join(f'<Override PartName="{part}" ContentType="{kind}"/>' for part, kind in kinds.items())
        + "</Types>",
        "_rels/.rels": _linked([("officeDocument", "xl/workbook.xml")]),
        "xl/_rels/workbook.xml.rels": _linked(links),
        "xl/styles.xml": _STYLES,
        "xl/workbook.xml": f'{_XML}<workbook xmlns="{_MAIN}" xmlns:r="{_RELATED}"><sheets>'
        + "".join(f'<sheet name={quoteattr(name)} sheetId="{n}" r:id="rId{n}"/>' for n, name in enumerate(names, 1))
        + "</sheets></workbook>",
    }


def _linked(links: Sequence[tuple[str, str]]) -> str:
    each = (
        f'<Relationship Id="rId{number}" Type="{_RELATED}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(links, 1)
    )
    return f'{_XML}<Relationships xmlns="{_LINKS}">{"".join(each)}</Relationships>'
