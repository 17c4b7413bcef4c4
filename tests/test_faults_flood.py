from .faults import flood


def test_a_flood_of_wrong_secrets_does_not_slow_the_right_ones(store_url: str) -> None:
    print(*flood.run(5 / flood.SECONDS, {"store": store_url}))
