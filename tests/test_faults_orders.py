"""The short tier of the orders run."""

from .faults import orders


def test_no_order_and_no_company_changes_what_callbacks_come_to(store_url: str) -> None:
    (told,) = orders.run(0.01, {"the store": store_url})
    assert told.endswith("all right")
