"""Repeats, and sends that may have been charged, are listed: each found by an index of its own.

For each all messages are looked through once: 3 s for ten million on SQLite, once they were read.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_REPEATED = sa.text("is_repeat = true AND closed")
_AT_RISK = sa.text("charged_iqd IS NULL AND send_state IN ('sending', 'unconfirmed')")


def upgrade() -> None:
    for name, columns, holds in (
        ("repeat", ["is_repeat", "status", "id"], _REPEATED),
        ("at_risk", ["id", "status"], _AT_RISK),
    ):
        op.create_index(f"ix_message_{name}", "message", columns, sqlite_where=holds, postgresql_where=holds)


def downgrade() -> None:
    op.drop_index("ix_message_at_risk", "message")
    op.drop_index("ix_message_repeat", "message")
