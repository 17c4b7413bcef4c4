"""Whether styles and templates hold in both directions of reading: `python -m tests.checks.directions`."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SIDE = "(?:left|right|top|bottom)"
# Where to look, what must not stand there, and what to write instead.
RULES = (
    ("webhook_app/static/*.css", rf"(?:margin|padding|border)-{SIDE}\b", "the -inline-start of it, and so on"),
    ("webhook_app/static/*.css", r"border-(?:top|bottom)-(?:left|right)-radius", "border-start-start-radius …"),
    ("webhook_app/static/*.css", rf"(?<![\w-]){SIDE}\s*:", "inset-inline-start …"),
    ("webhook_app/static/*.css", r"(?<![\w-])(?:text-align|float|clear)\s*:\s*(?:left|right)", "start or end"),
    ("webhook_app/static/*.css", r"^(?!.*\[dir=).*(?<![\w-])direction\s*:", "dir in the template"),
    ("templates/**/*.html", r"\b(?:style|align)\s*=", "a class"),
    ("templates/**/*.html", r"[←→⟵⟶‹›]", "an icon, which can be mirrored"),
    # Other than what holds code or is typed into, only a text that names its own language may have a direction.
    ("templates/**/*.html", r"<(?!bdi|code|pre|input|textarea)(?![^>]*\blang=)\w[^>{]*\bdir=\"[lr]", "the macro ltr"),
    (
        "templates/**/*.html",
        r"\bltr\([^)]*\|\s*(?:seconds|when|day|ago|megabytes)\b",
        "the macro phrase: there are words in it",
    ),
)


def main() -> None:
    sys.exit("\n".join(flaw for path in sorted(paths()) for flaw in flaws(path, path.read_text())) or None)


def paths() -> set[Path]:
    return {path for pattern, _wrong, _right in RULES for path in ROOT.glob(pattern)}


def flaws(path: Path, text: str) -> Iterator[str]:
    """Each line of `text` that breaks a rule for files like `path`."""
    rules = [(wrong, right) for pattern, wrong, right in RULES if path.suffix == Path(pattern).suffix]
    for number, line in enumerate(text.splitlines(), start=1):
        for wrong, right in rules:
            if found := re.search(wrong, line):
                yield f"{path.name}:{number}: {found[0]} -> {right}"


if __name__ == "__main__":
    main()
