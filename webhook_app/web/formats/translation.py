"""Flask-Babel's functions with types, and the marker for texts that stand in tables."""

from datetime import datetime
from typing import Any

import flask_babel
from flask import g


def texts() -> Any:
    """The reader's catalogue, looked up once a request: a page has hundreds of texts."""
    if not g:
        return flask_babel.get_translations()
    if "texts" not in g:
        g.texts = flask_babel.get_translations()
    return g.texts


def gettext(text: str, /, **values: object) -> str:
    said = str(texts().ugettext(text))
    return said % values if values else said


def ngettext(one: str, many: str, num: int, /, **values: object) -> str:
    return str(texts().ungettext(one, many, num)) % ({"num": num} | values)


def comma() -> str:
    """What stands between the words of a list."""
    return gettext(", ")


def isolated(number: str) -> str:
    """A number whose sign stays before it among words that are read from the right."""
    return f"\u2066{number}\u2069"


def isolated_words(phrase: str) -> str:
    """A number with words of the reader's language: it reads in that one's direction."""
    return f"\u2068{phrase}\u2069"


def format_local(local: datetime, pattern: str) -> str:
    """`local`, already in its zone, by a CLDR pattern in the reader's language."""
    return str(flask_babel.format_datetime(local, pattern, rebase=False))


def format_axis_day(local: datetime, *, of_week: bool = False) -> str:
    """The day under a picture's time axis, where there is little room; `of_week` where few days are shown."""
    if of_week:
        # Translators: a day in CLDR's letters, as short as can be: EEE its name, d its number, M the month
        return format_local(local, gettext("EEE d"))
    # Translators: a date in CLDR's letters, as short as people write it: d the day, MMM the month's name, M its number
    return format_local(local, gettext("d MMM"))
