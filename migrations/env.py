"""Runs the migrations on the connection `webhook_app.schema` hands over, inside its transaction."""

from typing import Any, Literal

from alembic import context

from webhook_app.database import UtcDateTime
from webhook_app.models import Base


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """A migration must not change when our own types do: it names what the store sees."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite cannot alter most things in place
    render_item=render_item,
)
with context.begin_transaction():
    context.run_migrations()
