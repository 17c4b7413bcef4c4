"""What a source, a key or a user may be called."""

from .marking import N_

MAX_NAME = 60


class BadName(ValueError):
    """The text says which rule the name breaks."""


def checked_name(name: str) -> str:
    """`name` without blanks around it. Raises BadName."""
    name = name.strip()
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise BadName(N_("must be 1 to 60 characters that can be printed"))
    return name
