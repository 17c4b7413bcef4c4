"""Repeats, and sends that may have been charged, are listed: each found by an index of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_CLOSED_REPEAT = sa.text("is_repeat AND closed")
_AT_RISK = sa.text("charged_iqd IS NULL AND send_state IN ('sending', 'unconfirmed')")


def upgrade() -> None:
    for name, holds in (("repeat", _CLOSED_REPEAT), ("at_risk", _AT_RISK)):
        op.create_index(f"ix_message_{name}", "message", ["status", "id"], sqlite_where=holds, postgresql_where=holds)


def downgrade() -> None:
    op.drop_index("ix_message_at_risk", "message")
    op.drop_index("ix_message_repeat", "message")
