"""Flask-Babel's functions with types, and the marker for texts that stand in tables."""

from datetime import datetime

import flask_babel


def gettext(text: str, /, **values: object) -> str:
    return str(flask_babel.gettext(text, **values))


def ngettext(one: str, many: str, num: int, /, **values: object) -> str:
    return str(flask_babel.ngettext(one, many, num, **values))


def format_local(local: datetime, pattern: str) -> str:
    """`local`, already in its zone, by a CLDR pattern in the reader's language."""
    return str(flask_babel.format_datetime(local, pattern, rebase=False))
