from .faults import reloads


def test_no_request_fails_while_the_workers_are_replaced(store_url: str) -> None:
    print(*reloads.run(2 / reloads.RELOADS, {"store": store_url}))
