"""The load of the fault runs: what it posts, and what it takes for acknowledged."""

import json
from collections import Counter
from itertools import islice
from uuid import UUID

from .faults.load import Cast, Posted, Record, post, traffic
from .scripted import Scripted, answer

CAST = Cast(messages=[UUID(int=number) for number in range(200)], sources=[UUID(int=1000), UUID(int=1001)])
POSTED = Posted(target_id=CAST.messages[0], raw=b"{}")
CUT = [b"HTTP/1.1 200 OK\r\nContent-Le"]


def port_of(server: Scripted) -> int:
    return int(server.base_url.split(":")[2].split("/")[0])


def test_a_post_that_breaks_is_repeated_until_it_is_answered() -> None:
    record = Record()
    with Scripted(answer(503, {}), CUT, answer(200, {})) as server:
        post(port_of(server), [POSTED], record)
    assert record.answers == {"503": 1, "ConnectionAbortedError": 1, "200": 1}
    assert (record.attempted, record.acknowledged) == ({POSTED.pair: 3}, {POSTED.pair: 1})


def test_a_post_that_breaks_is_attempted_but_not_acknowledged() -> None:
    record = Record()
    with Scripted(answer(500, {})) as server:
        post(port_of(server), [POSTED], record, again=False)
    assert (record.attempted, record.acknowledged) == ({POSTED.pair: 1}, {})


def test_a_server_that_is_not_there_is_no_answer() -> None:
    with Scripted() as server:
        port = port_of(server)
    record = Record()
    post(port, [POSTED], record, again=False)
    assert record.answers == {"ConnectionRefusedError": 1}


def test_a_paced_post_that_waits_for_a_connection_has_waited_for_the_server() -> None:
    record = Record()
    with Scripted([0.3, *answer(200, {})], answer(200, {})) as server:
        post(port_of(server), [POSTED, POSTED], record, connections=1, rate=1000)
    assert record.took_s[1] > 0.25


def test_the_same_seed_tells_the_same_stories() -> None:
    assert list(traffic(CAST, 300, seed=3)) == list(traffic(CAST, 300, seed=3))
    assert list(traffic(CAST, 300, seed=3)) != list(traffic(CAST, 300, seed=4))


def test_the_traffic_is_of_every_kind() -> None:
    posts = list(islice(traffic(CAST, 10**9), 600))
    kinds = Counter(kind(posted) for posted in posts)
    assert all(kinds[name] for name in ("a message", "a source", "nobody", "unreadable")), kinds
    assert len({posted.pair for posted in posts}) < 0.95 * len(posts)


def kind(posted: Posted) -> str:
    try:
        json.loads(posted.raw)
    except ValueError:
        return "unreadable"
    if posted.target_id in CAST.messages:
        return "a message"
    return "a source" if posted.target_id in CAST.sources else "nobody"
