"""A source gets a new address while the old one works on, and is paused and resumed; no callback is lost. On both
stores."""

from datetime import timedelta
from uuid import UUID

import pytest

from webhook_app import figures, receiving, replaying, sources
from webhook_app.database import Database
from webhook_app.figures import SourceRow
from webhook_app.ids import new_id
from webhook_app.models import Callback, Message, Source, SourceAddress
from webhook_app.sources import PAUSED, RETIRED, AddressRule
from webhook_app.stamp import Stamper

from .rows import NOW, all_rows, arrival, callback, counted, get_message, recounted

SOON = NOW + timedelta(seconds=1)
LATER = NOW + timedelta(hours=1)
MUCH_LATER = NOW + timedelta(hours=2)


@pytest.fixture
def shop(database: Database) -> UUID:
    return sources.add(database, "shop", NOW).id


def come(database: Database, address_id: UUID, *bodies: bytes, at: object = NOW) -> list[str]:
    return receiving.receive(database, [arrival(address_id, body, at) for body in bodies])  # type: ignore[arg-type]


def row_of(database: Database, stamper: Stamper) -> SourceRow:
    (row,) = figures.source_rows(database, stamper)
    return row


def test_a_new_address_has_a_url_and_a_secret_of_its_own(database: Database, stamper: Stamper, shop: UUID) -> None:
    before = row_of(database, stamper).address
    assert before.id == shop
    new = sources.rotate(database, shop, LATER)
    row = row_of(database, stamper)
    assert (row.address.id, row.old) == (new, before)
    assert row.address.url != before.url
    assert row.address.secret != before.secret
    assert stamper.check(str(new), row.address.secret.encode())
    assert not stamper.check(str(new), before.secret.encode())
    assert row.address.secret not in repr(row)


def test_both_addresses_lead_to_the_same_messages(database: Database, shop: UUID) -> None:
    new = sources.rotate(database, shop, LATER)
    assert come(database, shop, callback("sent")) == ["accepted"]
    assert come(database, new, callback("delivered", final=True), callback("sent", smsId="sms-2")) == ["accepted"] * 2
    rows = {row.sms_id: row for row in all_rows(database, Message)}
    assert {sms_id: (row.status, row.source_id) for sms_id, row in rows.items()} == {
        "sms-1": ("delivered", shop),
        "sms-2": ("sent", shop),
    }
    assert counted(database) == recounted(database)


def test_one_batch_may_come_by_both(database: Database, shop: UUID) -> None:
    new = sources.rotate(database, shop, LATER)
    batch = [arrival(shop, callback("sent")), arrival(new, callback("delivered")), arrival(shop, callback("read"))]
    assert receiving.receive(database, batch) == ["accepted"] * 3
    (message,) = all_rows(database, Message)
    assert message.status == "read"


def test_a_third_address_has_to_wait_until_the_first_is_retired(database: Database, shop: UUID) -> None:
    sources.rotate(database, shop, SOON)
    with pytest.raises(AddressRule, match="Two addresses are in use"):
        sources.rotate(database, shop, LATER)
    sources.retire(database, shop, shop, LATER)
    sources.rotate(database, shop, MUCH_LATER)
    with pytest.raises(AddressRule, match="Two addresses are in use"):
        sources.restore(database, shop, shop)
    assert len(all_rows(database, SourceAddress)) == 3


def test_what_comes_at_a_retired_address_is_kept_and_tells_nothing(database: Database, shop: UUID) -> None:
    come(database, shop, callback("sent"))
    sources.rotate(database, shop, SOON)
    sources.retire(database, shop, shop, LATER)
    assert come(database, shop, callback("delivered"), callback(smsId="sms-2"), at=LATER) == ["quarantined"] * 2
    (message,) = all_rows(database, Message)
    assert message.status == "sent"
    kept = [row for row in all_rows(database, Callback) if row.verdict == "quarantined"]
    assert [(row.note, row.message_id) for row in kept] == [(RETIRED, None)] * 2
    assert counted(database) == recounted(database)


def test_what_came_before_the_address_was_retired_tells_though_it_waited_in_the_spool(
    database: Database, shop: UUID
) -> None:
    sources.rotate(database, shop, SOON)
    sources.retire(database, shop, shop, LATER)
    assert come(database, shop, callback("sent"), at=LATER - timedelta(milliseconds=1)) == ["accepted"]


def test_a_retired_address_can_be_used_again_and_what_was_kept_be_replayed(database: Database, shop: UUID) -> None:
    sources.rotate(database, shop, SOON)
    sources.retire(database, shop, shop, LATER)
    come(database, shop, callback("delivered"), at=MUCH_LATER)
    assert replaying.replay(database).moved == {}
    sources.restore(database, shop, shop)
    assert replaying.replay(database).moved == {("quarantined", "accepted"): 1}
    (message,) = all_rows(database, Message)
    assert (message.status, message.created_at, message.settled_at) == ("delivered", MUCH_LATER, MUCH_LATER)
    assert counted(database) == recounted(database)


def test_what_came_at_a_retired_address_is_counted_there_and_can_be_taken_in_once_it_is_used_again(
    database: Database, stamper: Stamper, shop: UUID
) -> None:
    sources.rotate(database, shop, SOON)
    sources.retire(database, shop, shop, LATER)
    come(database, shop, callback("delivered"), callback(smsId="sms-2"), at=LATER)
    row = row_of(database, stamper)
    assert ([address.held for address in row.retired], row.held) == ([2], 0)
    assert figures.held_callbacks(database, shop, 10) == []
    sources.restore(database, shop, shop)
    assert row_of(database, stamper).held == 2
    held = figures.held_callbacks(database, shop, 10)
    assert replaying.replay(database, callback_ids=held).moved == {("quarantined", "accepted"): 2}
    assert row_of(database, stamper).held == 0


def test_the_newest_address_is_not_retired_and_to_retire_twice_changes_nothing(database: Database, shop: UUID) -> None:
    with pytest.raises(AddressRule, match="This is the newest address"):
        sources.retire(database, shop, shop, NOW)
    new = sources.rotate(database, shop, SOON)
    with pytest.raises(AddressRule, match="This is the newest address"):
        sources.retire(database, shop, new, NOW)
    sources.retire(database, shop, shop, LATER)
    sources.retire(database, shop, shop, MUCH_LATER)
    assert [row.retired_at for row in all_rows(database, SourceAddress)] == [LATER, None]


def test_nothing_is_done_to_a_source_or_an_address_that_is_not_there_or_another_s(
    database: Database, shop: UUID
) -> None:
    other, nobody = sources.add(database, "other", NOW).id, new_id(NOW)
    for act in (
        lambda: sources.rotate(database, nobody, NOW),
        lambda: sources.pause(database, nobody, NOW),
        lambda: sources.resume(database, nobody),
        lambda: sources.retire(database, shop, nobody, NOW),
        lambda: sources.retire(database, shop, other, NOW),
        lambda: sources.restore(database, other, shop),
        lambda: sources.restore(database, nobody, shop),
    ):
        with pytest.raises(LookupError):
            act()


def test_a_paused_source_s_callbacks_are_kept_and_change_nothing(
    database: Database, stamper: Stamper, shop: UUID
) -> None:
    come(database, shop, callback("sent"))
    sources.pause(database, shop, LATER)
    assert come(database, shop, callback("delivered"), callback(smsId="sms-2"), at=LATER) == ["quarantined"] * 2
    assert come(database, shop, callback("sent"), at=LATER) == ["repeat"]
    assert [row.status for row in all_rows(database, Message)] == ["sent"]
    assert [row.note for row in all_rows(database, Callback)] == [None, PAUSED, PAUSED]
    row = row_of(database, stamper)
    assert (row.paused_at, row.held, row.messages) == (LATER, 2, 1)
    assert replaying.replay(database).moved == {}
    assert counted(database) == recounted(database)


def test_one_that_goes_on_has_what_was_held_taken_in(database: Database, stamper: Stamper, shop: UUID) -> None:
    come(database, shop, callback("sent"))
    sources.pause(database, shop, LATER)
    come(database, shop, callback("delivered"), callback(smsId="sms-2"), at=LATER)
    come(database, shop, b"no JSON", at=LATER)
    sources.resume(database, shop)
    held = figures.held_callbacks(database, shop, 10)
    assert len(held) == 2
    assert replaying.replay(database, callback_ids=held).moved == {("quarantined", "accepted"): 2}
    rows = {row.sms_id: (row.status, row.created_at) for row in all_rows(database, Message)}
    assert rows == {"sms-1": ("delivered", NOW), "sms-2": ("sent", LATER)}
    assert (row_of(database, stamper).held, row_of(database, stamper).paused_at) == (0, None)
    assert counted(database) == recounted(database)


def test_one_without_an_sms_id_is_not_held_but_said_to_be_odd(database: Database, stamper: Stamper, shop: UUID) -> None:
    sources.pause(database, shop, NOW)
    assert come(database, shop, callback(smsId=None), callback()) == ["quarantined"] * 2
    assert {row.note for row in all_rows(database, Callback)} == {"the body has no smsId", PAUSED}
    assert row_of(database, stamper).held == 1


def test_each_source_s_held_callbacks_are_counted_by_themselves(
    database: Database, stamper: Stamper, shop: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures.sources, "COUNT_CAP", 3)
    other = sources.add(database, "other", NOW).id
    for source in (shop, other):
        sources.pause(database, source, NOW)
    come(database, shop, *(callback(smsId=f"sms-{n}") for n in range(5)))
    come(database, other, callback())
    assert {row.name: row.held for row in figures.source_rows(database, stamper)} == {"shop": 3, "other": 1}


def test_a_source_that_an_older_process_made_works_by_its_own_id(database: Database, stamper: Stamper) -> None:
    old = new_id(NOW)
    with database.transaction() as session:
        session.add(Source(id=old, name="old", created_at=NOW))  # and no address
    assert row_of(database, stamper).address.id == old
    assert come(database, old, callback("sent")) == ["accepted"]
    new = sources.rotate(database, old, LATER)
    row = row_of(database, stamper)
    assert (row.address.id, row.old and row.old.id) == (new, old)
    assert come(database, old, callback("delivered")) == ["accepted"]
    (message,) = all_rows(database, Message)
    assert message.status == "delivered"


def test_the_same_callback_sent_again_after_the_pause_is_taken_in(database: Database, shop: UUID) -> None:
    sources.pause(database, shop, NOW)
    come(database, shop, callback("delivered"))
    sources.resume(database, shop)
    assert come(database, shop, callback("delivered"), at=LATER) == ["accepted"]
    (message,), (kept,) = all_rows(database, Message), all_rows(database, Callback)
    assert (message.status, message.settled_at) == ("delivered", NOW)
    assert (kept.verdict, kept.note, kept.repeats) == ("accepted", None, 1)
    assert figures.held_callbacks(database, shop, 10) == []


def test_what_came_before_the_pause_tells_and_to_pause_twice_changes_nothing(database: Database, shop: UUID) -> None:
    sources.pause(database, shop, LATER)
    sources.pause(database, shop, MUCH_LATER)
    assert come(database, shop, callback("sent")) == ["accepted"]
    (source,) = all_rows(database, Source)
    assert source.paused_at == LATER


def test_only_the_paused_source_is_held_and_only_its_own_is_counted(
    database: Database, stamper: Stamper, shop: UUID
) -> None:
    other = sources.add(database, "other", NOW).id
    new = sources.rotate(database, shop, SOON)
    sources.pause(database, shop, NOW)
    batch = [arrival(shop, callback()), arrival(new, callback()), arrival(other, callback()), arrival(other, b"odd")]
    assert receiving.receive(database, batch) == ["quarantined", "quarantined", "accepted", "quarantined"]
    assert {row.name: row.held for row in figures.source_rows(database, stamper)} == {"shop": 2, "other": 0}
    assert len(figures.held_callbacks(database, shop, 1)) == 1
    (message,) = all_rows(database, Message)
    assert message.source_id == other


def test_it_is_told_by_which_address_the_newest_message_came(database: Database, stamper: Stamper, shop: UUID) -> None:
    def told() -> list[bool]:
        return [address.is_of_newest for address in row_of(database, stamper).addresses]

    new = sources.rotate(database, shop, LATER)
    assert told() == [False, False]
    come(database, shop, callback("sent"))
    assert told() == [False, True]
    come(database, new, callback("sent", smsId="sms-2"), at=LATER)
    assert told() == [True, False]
    come(database, shop, callback("delivered", smsId="sms-2"), at=MUCH_LATER)
    assert told() == [True, False]  # by the one that it came by first


def test_a_callback_of_a_new_address_is_shown_with_its_source(database: Database, shop: UUID) -> None:
    new = sources.rotate(database, shop, SOON)
    come(database, new, callback(), b"odd")
    shown = figures.callback_page(database, None).rows
    assert [row.source_name for row in shown] == ["shop", "shop"]
    message = get_message(database, shown[0].message_id or shown[1].message_id)  # type: ignore[arg-type]
    assert message.asked_by == "source:shop"
