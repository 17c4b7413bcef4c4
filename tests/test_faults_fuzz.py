"""The short tier of the fuzz run."""

from .faults import fuzz


def test_what_nobody_should_send_is_refused_or_kept_and_stops_nobody(store_url: str) -> None:
    (told,) = fuzz.run(0.016, {"the store": store_url})
    assert told.endswith("all right")
