from datetime import UTC, datetime

from webhook_app import receiving, sources
from webhook_app.database import Database
from webhook_app.ids import new_id
from webhook_app.receiving import Arrival

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def test_a_callback_of_an_unknown_message_is_kept_as_an_orphan(database: Database) -> None:
    arrival = Arrival(target_id=new_id(NOW), raw=b'{"status": "sent"}', headers={}, at=NOW)
    assert receiving.receive(database, [arrival]) == ["orphan"]
    assert receiving.receive(database, [arrival]) == ["repeat"]


def test_a_source_makes_its_messages_as_callbacks_come(database: Database) -> None:
    source = sources.add(database, "shop", NOW)
    raw = b'{"smsId": "sms-1", "status": "delivered", "channel": "sms", "isFinal": true, "deliveryReportType": "all"}'
    assert receiving.receive(database, [Arrival(target_id=source.id, raw=raw, headers={}, at=NOW)]) == ["accepted"]
