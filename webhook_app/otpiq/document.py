"""Reading JSON that a stranger wrote: one object, or one reason why not, raised as Unreadable and nothing else."""

import json
import re
from typing import Any, NoReturn

# Far past any real body, far below what the interpreter's stack bears wherever a document is walked later.
_MAX_DEPTH = 50
_UNCLEAN = re.compile("[\0\ud800-\udfff]")


class Unreadable(ValueError):
    """The text says why the body is not a JSON object that can be trusted to mean one thing."""


def read_object(raw: bytes) -> dict[str, Any]:
    """Parse UTF-8, UTF-16 or UTF-32 JSON. Raises Unreadable, also for NaN, repeated keys and absurd nesting."""
    if not raw.strip():
        raise Unreadable("the body is empty")
    try:
        document = json.loads(raw, object_pairs_hook=_unrepeated, parse_constant=_refuse_constant)
    except Unreadable:
        raise
    except RecursionError:
        raise Unreadable("the body is nested too deeply") from None
    except UnicodeDecodeError:
        raise Unreadable("the body is not text") from None
    except ValueError:  # bad JSON, or a number of more digits than Python reads
        raise Unreadable("the body is not JSON") from None
    if not isinstance(document, dict):
        raise Unreadable("the body is not a JSON object")
    if is_deep(document):
        raise Unreadable("the body is nested too deeply")
    return document


def is_deep(document: object) -> bool:
    """Whether it is nested deeper than anything we walk."""
    level = [document]
    for _ in range(_MAX_DEPTH):
        nested = [
            value.values() if isinstance(value, dict) else value for value in level if isinstance(value, dict | list)
        ]
        level = [inner for values in nested for inner in values]
        if not level:
            return False
    return True


def is_writable(document: object) -> bool:
    """Whether it can go out as JSON: 1e999 is read as infinity, and half of a surrogate pair is no UTF-8."""
    if is_deep(document):
        return False
    try:
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        return False
    return True


def is_clean_text(value: str) -> bool:
    """Whether both stores can hold it: no NUL (PostgreSQL refuses it) and no half of a surrogate pair."""
    return _UNCLEAN.search(value) is None


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise Unreadable("a key stands twice in the body")
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise Unreadable(f"{name} is not JSON")
