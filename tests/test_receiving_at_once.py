"""Callbacks from several threads at once: what is stored is the fold of all of it, on both stores."""

import json
import random
import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from webhook_app import receiving, sources, status
from webhook_app.database import Database
from webhook_app.ids import new_id
from webhook_app.models import Callback, Message
from webhook_app.otpiq import parse_report
from webhook_app.receiving import Arrival
from webhook_app.status import from_json

from .rows import (
    NOW,
    add_message,
    all_rows,
    arrival,
    callback,
    counted,
    fold_of_stored,
    get_message,
    recounted,
)

STORY = [("failed", "whatsapp", False), ("sent", "sms", False), ("delivered", "sms", True), ("failed", "sms", True)]


def in_threads(database: Database, batches: list[list[Arrival]], writers: int) -> list[str]:
    """Receive all batches from several threads at once; returns every verdict."""
    verdicts: list[str] = []
    start = threading.Barrier(writers)

    def write(mine: list[list[Arrival]]) -> None:
        start.wait()
        for batch in mine:
            verdicts.extend(receiving.receive(database, [replace(each, id=new_id(NOW)) for each in batch]))

    threads = [threading.Thread(target=write, args=(batches[place::writers],)) for place in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return verdicts


def shuffled(came: list[Arrival], seed: int, size: int) -> list[list[Arrival]]:
    random.Random(seed).shuffle(came)
    return [came[start : start + size] for start in range(0, len(came), size)]


@pytest.mark.parametrize("size", [1, 7])
def test_writers_at_once_leave_the_fold_of_all_they_wrote(database: Database, size: int) -> None:
    messages = [add_message(database, NOW + timedelta(milliseconds=place)) for place in range(20)]
    told = [
        arrival(message, callback(word, channel, final=final), NOW + timedelta(seconds=place))
        for message in messages
        for place, (word, channel, final) in enumerate(STORY)
    ]
    verdicts = in_threads(database, shuffled(told * 3, 5, size), writers=8)
    assert (verdicts.count("accepted"), verdicts.count("repeat")) == (80, 160)
    for message in messages:
        row = get_message(database, message)
        assert row.status == "delivered"
        assert from_json(row.delivery) == fold_of_stored(database, message)
        assert from_json(row.delivery) == status.fold(
            parse_report(each.raw).fact(each.at) for each in told if each.target_id == message
        )
    assert counted(database) == recounted(database)


@pytest.mark.parametrize("size", [1, 7])
def test_first_callbacks_of_a_source_at_once_make_each_message_once(database: Database, size: int) -> None:
    shops = [sources.add(database, name, NOW) for name in ("shop", "other")]
    told = [
        arrival(shop.id, callback(word, channel, final=final, smsId=f"sms-{number}"))
        for shop in shops
        for number in range(10)
        for word, channel, final in STORY
    ]
    verdicts = in_threads(database, shuffled(told * 2, 6, size), writers=8)
    assert (verdicts.count("accepted"), verdicts.count("repeat")) == (80, 80)
    rows = all_rows(database, Message)
    assert len(rows) == 20
    assert {row.status for row in rows} == {"delivered"}
    assert all(from_json(row.delivery) == fold_of_stored(database, row.id) for row in rows)
    assert counted(database) == recounted(database)


def test_orphans_at_once_are_stored_once_and_counted(database: Database) -> None:
    strays = [
        arrival(new_id(NOW), json.dumps({"status": word}).encode()) for word in ("sent", "read") for _ in range(4)
    ]
    strays += [arrival(strays[0].target_id, bytes([n])) for n in range(6)]
    verdicts = in_threads(database, shuffled(strays * 8, 7, 5), writers=8)
    assert len(verdicts) == 112
    stored = all_rows(database, Callback)
    assert len(stored) == 14
    assert {each.repeats for each in stored} == {7}
