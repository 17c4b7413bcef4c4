"""What `make check` looks at beside the linters finds what it is there to find."""

from pathlib import Path

import pytest
from babel.messages.catalog import Catalog

from .checks import directions, translations

PLURAL = ("%(num)s day ago", "%(num)s days ago")


@pytest.fixture
def texts() -> Catalog:
    """What the sources say."""
    catalog = Catalog()
    catalog.add("Send to %(name)s")
    catalog.add(PLURAL)
    return catalog


def found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, texts: Catalog, entries: str) -> list[str]:
    path = tmp_path / "messages.po"
    path.write_text(f'msgid ""\nmsgstr "Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n\n{entries}')
    monkeypatch.setattr(translations, "path_of", lambda _locale: path)
    return list(translations.flaws("ckb_IQ", texts))


GOOD_DAYS = 'msgid "%(num)s day ago"\nmsgid_plural "%(num)s days ago"\nmsgstr[0] "ڕۆژێک"\nmsgstr[1] "%(num)s ڕۆژ"\n'
OBSOLETE_DAYS = "\n".join(f"#~ {line}" for line in GOOD_DAYS.splitlines())
GOOD_SEND = 'msgid "Send to %(name)s"\nmsgstr "بۆ %(name)s بنێرە"\n\n'


@pytest.mark.parametrize(
    ("entries", "flaw"),
    [
        (GOOD_DAYS, "“Send to %(name)s” is missing: make translations"),
        (GOOD_DAYS + '\nmsgid "Send to %(name)s"\nmsgstr ""\n', "“Send to %(name)s” is not translated"),
        ("#, fuzzy\n" + GOOD_SEND + GOOD_DAYS, "“Send to %(name)s” is marked fuzzy: look at it and take the mark away"),
        (GOOD_SEND.replace("%(name)s بنێ", "بنێ") + GOOD_DAYS, "“Send to %(name)s” lacks %(name)s"),
        (GOOD_SEND.replace("بۆ %(name)s", "%(nam)s %(name)s") + GOOD_DAYS, "“Send to %(name)s” knows no %(nam)s"),
        (GOOD_SEND.replace("بۆ", "100%") + GOOD_DAYS, "“Send to %(name)s” a % that is meant as such is written %%"),
        (GOOD_SEND.replace("بۆ", "To").replace("بنێرە", "") + GOOD_DAYS, "“Send to %(name)s” is left in English"),
        (GOOD_SEND + GOOD_DAYS.replace('msgstr[1] "%(num)s ڕۆژ"\n', ""), "“%(num)s day ago” is not translated"),
        (GOOD_SEND + GOOD_DAYS + '\nmsgid "Gone"\nmsgstr "ڕۆیشت"\n', "“Gone” is used no more: make translations"),
        (GOOD_SEND + OBSOLETE_DAYS, "“%(num)s day ago” is missing: make translations"),
    ],
)  # fmt: skip
def test_a_flaw_of_a_catalogue_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, texts: Catalog, entries: str, flaw: str
) -> None:
    assert found(monkeypatch, tmp_path, texts, entries) == [flaw]


def test_nothing_is_found_in_a_catalogue_that_is_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, texts: Catalog
) -> None:
    assert found(monkeypatch, tmp_path, texts, GOOD_SEND + GOOD_DAYS) == []


@pytest.mark.parametrize(
    "line",
    [
        "a { margin-left: 1px; }",
        "a { padding-top: 1px; }",
        "a { border-top-left-radius: 1px; }",
        "a { left: 0; }",
        "a { text-align: right; }",
        "a { float: left; }",
        "a { direction: ltr; }",
    ],
)
def test_a_style_for_one_direction_only_is_found(line: str) -> None:
    assert list(directions.flaws(Path("app.css"), line)) != []


@pytest.mark.parametrize(
    "line",
    [
        '<p style="color: red">',
        "<a>Next →</a>",
        '<div dir="rtl">',
        "{{ ltr(row.took_s|seconds) }}",
    ],
)
def test_a_template_that_breaks_when_read_from_the_right_is_found(line: str) -> None:
    assert list(directions.flaws(Path("page.html"), line)) != []


def test_logical_styles_and_isolated_numbers_are_fine() -> None:
    css = "a { margin-inline-start: 1px; inset-block-end: 0; padding: env(safe-area-inset-bottom); text-align: start; }"
    html = '<bdi dir="ltr">1</bdi> <span lang="ar" dir="rtl">وصل</span> {{ phrase(row.took_s|seconds) }}'
    assert list(directions.flaws(Path("app.css"), css)) == []
    assert list(directions.flaws(Path("page.html"), html)) == []
