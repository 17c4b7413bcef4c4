"""Every page that can be read: found in the app's own map of addresses, so that none is forgotten, and narrowed in
each way that asks the store for something else."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import Flask
from sqlalchemy import Select, select
from werkzeug.routing import Rule

from webhook_app.models import Callback, Message, Search

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
_DAYS = "from={day}&to={day}"
CHOICES = {
    "pages.overview": ("range=1h", "range=7d", "range=30d", _DAYS),
    "pages.messages": (
        *("status=delivered", "outcome=failed", "outcome=waiting", "carrier=korek&outcome=failed", "channel=whatsapp"),
        *("type=custom", "carrier=zain&channel=sms", "tried=3", "repeat=1", "at_risk=1", _DAYS),
        "like={message_id}&status=failed",
        "carrier=zain&channel=sms&type=verification&status=delivered",
    ),
    "callback_pages.callbacks": ("verdict=accepted", "verdict=late", "verdict=repeated", "verdict=orphan"),
}
# The one that is shown where one must be named: with a story, so that its page is a whole one.
_NAMED: Mapping[str, Select[tuple[UUID]]] = {
    "message_id": select(Message.id).where(Message.status == "delivered").order_by(Message.id.desc()),
    "search_id": select(Search.id).order_by(Search.id.desc()),
    "callback_id": select(Callback.id).where(Callback.verdict == "accepted").order_by(Callback.id.desc()),
}


def paths(app: Flask) -> list[str]:
    """In the order of their addresses."""
    rules = sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule)
    return [path for rule in rules if _is_page(app, rule) for path in _paths(app, rule)]


def name_of(path: str) -> str:
    """The same page is called the same, whatever message it is about."""
    return _ID.sub("…", path)


def _is_page(app: Flask, rule: Rule) -> bool:
    """Not a file, not for programs, not what only leads to a page, and not the one before one is signed in."""
    if rule.endpoint == "pages.search_again":
        return False
    return "GET" in (rule.methods or ()) and not getattr(app.view_functions[rule.endpoint], "wasl_open", False)


def _paths(app: Flask, rule: Rule) -> Iterator[str]:
    with app.extensions["wasl"].database.reading() as session:
        named = {name: session.scalar(query.limit(1)) for name, query in _NAMED.items()}
    of_path = {name: named[name] for name in rule.arguments}
    if None in of_path.values():  # a search, say, that nobody made
        return
    path = app.url_map.bind("wasl").build(rule.endpoint, of_path)
    yesterday = (datetime.now(UTC) - timedelta(days=1)).astimezone(ZoneInfo("Asia/Baghdad")).date()
    values = {"day": yesterday, "message_id": named["message_id"] or UUID(int=0)}
    yield from (path, *(f"{path}?{choice.format(**values)}" for choice in CHOICES.get(rule.endpoint, ())))
