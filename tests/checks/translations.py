"""Whether every text of the sources stands in every catalogue, whole: `python -m tests.checks.translations`.

With `--update` the catalogues are first brought up to date: new texts come in empty, texts that are gone leave.
"""

import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.frontend import CommandLineInterface
from babel.messages.pofile import read_po, write_po

from webhook_app.web.catalogues import mistakes, path_of
from webhook_app.web.language import LANGUAGES

ROOT = Path(__file__).parent.parent.parent
LOCALES = tuple(locale for locale in LANGUAGES if locale != "en")
# What a native reader looks for first stands first: statuses, reasons and what to do about them.
FIRST = ("webhook_app/web/formats/words.py", "webhook_app/web/formats/reasons.py")
SAME_EVERYWHERE = ("CSV", "Excel", "OTPIQ", "SMS", "Wasl", "EEE", "EEE d", "d MMM")
_PLACEHOLDER = re.compile(r"%\(\w+\)s|\{\w+\}")
_LETTER, _ARABIC_LETTER = re.compile(r"[A-Za-z]"), re.compile(r"[\u0620-\u06ff]")


def main() -> None:
    texts = extracted()
    if "--update" in sys.argv[1:]:
        for locale in LOCALES:
            update(locale, texts)
    found = [f"{path_of(locale).relative_to(ROOT)}: {flaw}" for locale in LOCALES for flaw in flaws(locale, texts)]
    sys.exit("\n".join(found) or None)


def extracted() -> Catalog:
    """Every marked text of the sources, with where it stands and what is said to translators."""
    files = sorted([*ROOT.glob("webhook_app/**/*.py"), *ROOT.glob("templates/**/*.html")])
    paths = [str(path.relative_to(ROOT)) for path in files]
    paths.sort(key=lambda path: path not in FIRST)
    with tempfile.NamedTemporaryFile(suffix=".pot") as pot:
        options = ("-F", "pyproject.toml", "-k", "N_", "-c", "Translators:", "-s", "--add-location", "file")
        CommandLineInterface().run(["pybabel", "-q", "extract", *options, "-o", pot.name, *paths])
        return read_po(pot)


def read(locale: str) -> Catalog:
    with path_of(locale).open("rb") as file:
        return read_po(file, locale=locale, abort_invalid=True)


def update(locale: str, texts: Catalog) -> None:
    catalog = read(locale)
    catalog.update(texts, no_fuzzy_matching=True, update_creation_date=False)
    with path_of(locale).open("wb") as file:
        # Unwrapped: a line that breaks in the middle is hard to read from the right.
        write_po(file, catalog, width=0, ignore_obsolete=True, include_lineno=False)


def flaws(locale: str, texts: Catalog) -> Iterator[str]:
    catalog = read(locale)
    for text in texts:
        if text.id:
            yield from (f"“{_name(text)}” {flaw}" for flaw in _flaws_of(catalog.get(text.id), text, catalog))
    for known in catalog:
        if known.id and texts.get(known.id) is None:
            yield f"“{_name(known)}” is used no more: make translations"


def _flaws_of(known: Message | None, text: Message, catalog: Catalog) -> Iterator[str]:
    if known is None:
        yield "is missing: make translations"
        return
    if known.id != text.id or known.auto_comments != text.auto_comments:
        yield "has changed: make translations"
    forms = known.string if isinstance(known.string, (list, tuple)) else (known.string,)
    if not all(forms):
        yield "is not translated"
        return
    if known.fuzzy:
        yield "is marked fuzzy: look at it and take the mark away"
    if known.pluralizable and len(forms) != catalog.num_plurals:
        yield f"has {len(forms)} plural forms instead of {catalog.num_plurals}"
    if _is_english(_name(text), " ".join(forms)):
        yield "is left in English"
    yield from mistakes(known)


def _is_english(text: str, translated: str) -> bool:
    if text in SAME_EVERYWHERE or not _LETTER.search(_PLACEHOLDER.sub("", text)):
        return False
    return not _ARABIC_LETTER.search(translated)


def _name(message: Message) -> str:
    return str(message.id[0] if message.pluralizable else message.id)


if __name__ == "__main__":
    main()
