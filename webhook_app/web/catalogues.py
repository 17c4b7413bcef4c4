"""The texts in other languages, read from their .po files once a process: who corrects one restarts, and sees it.

A file that cannot be read leaves its language in English, and a text that would break a page leaves that text; both are
logged. Whether the files are complete is a question for `make check`.
"""

import re
from functools import cache
from io import BytesIO
from pathlib import Path

import structlog
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import PoFileError, read_po
from babel.support import NullTranslations, Translations

FOLDER = Path(__file__).parent.parent / "translations"
_PLACEHOLDER = re.compile(r"%\(\w+\)s|\{\w+\}")

log = structlog.get_logger()


def path_of(locale: str) -> Path:
    return FOLDER / locale / "LC_MESSAGES" / "messages.po"


@cache
def catalogue(locale: str) -> NullTranslations:
    """The texts of `locale` as Flask-Babel looks them up; English, which has no file, stands for itself."""
    return NullTranslations() if locale == "en" else read(path_of(locale), locale)


def read(path: Path, locale: str) -> NullTranslations:
    try:
        with path.open("rb") as file:
            catalog = read_po(file, locale=locale, abort_invalid=True)
        return _compiled(catalog)
    except (OSError, ValueError, PoFileError) as error:
        log.error("translation.unreadable", locale=locale, error=str(error))
        return NullTranslations()


def _compiled(catalog: Catalog) -> Translations:
    for message in [message for message in catalog if message.id and mistakes(message)]:
        log.error("translation.text_left_out", locale=str(catalog.locale), text=message.id)
        message.string = ""
    compiled = BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    return Translations(compiled)


def mistakes(message: Message) -> list[str]:
    """What is wrong with a translation so that a page would break on it or say less than it should."""
    originals, texts = _forms(message.id), _forms(message.string)
    known = set(_PLACEHOLDER.findall(" ".join(originals)))
    found = []
    for text in texts:
        used = set(_PLACEHOLDER.findall(text))
        found += [f"knows no {name}" for name in sorted(used - known)]
        # "one message" may do without its number; a sentence without a plural may leave nothing out.
        found += [f"lacks {name}" for name in sorted(known - used)] if not message.pluralizable else []
        if _bare_percents(text) > _bare_percents(originals[-1]):
            found.append("a % that is meant as such is written %%")
    return found


def _forms(text: object) -> list[str]:
    """A text, or the several of a plural; those that are filled in."""
    forms = text if isinstance(text, (list, tuple)) else [text]
    return [str(form) for form in forms if form]


def _bare_percents(text: str) -> int:
    return _PLACEHOLDER.sub("", text).replace("%%", "").count("%")
