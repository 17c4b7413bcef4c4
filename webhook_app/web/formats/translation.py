"""Flask-Babel's functions with types, and the marker for texts that stand in tables."""

from datetime import datetime

import flask_babel


def N_(text: str) -> str:  # noqa: N802 - the name text extraction looks for
    """Mark `text` for translation where it stands; it is translated where it is used."""
    return text


def gettext(text: str, /, **values: object) -> str:
    return str(flask_babel.gettext(text, **values))


def ngettext(one: str, many: str, num: int, /, **values: object) -> str:
    return str(flask_babel.ngettext(one, many, num, **values))


def format_local(local: datetime, pattern: str) -> str:
    """`local`, already in its zone, by a CLDR pattern in the reader's language."""
    return str(flask_babel.format_datetime(local, pattern, rebase=False))
