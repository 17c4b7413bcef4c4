from .faults import kills


def test_nothing_acknowledged_is_lost_to_kill_9(store_url: str) -> None:
    print(*kills.run(0.015, {"store": store_url}))
