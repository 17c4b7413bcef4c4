"""Which messages were asked for within a minute of another to the same number, and what they cost.

Those of before are found here, by one sort of the numbers; only they are rewritten. They are counted as deltas, which
are folded like all others. What a process of before closes after this is not counted among them until `wasl db recount`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_REFUSED = "('rejected', 'throttled', 'unsent')"
_GAP_S = {
    "sqlite": "(julianday(created_at) - julianday(before)) * 86400",
    "postgresql": "extract(epoch FROM created_at - before)",
}
_HOUR = {
    "sqlite": "substr(created_at, 1, 13) || ':00:00.000000'",
    "postgresql": "date_trunc('hour', created_at, 'UTC')",
}


def upgrade() -> None:
    store = op.get_bind().dialect.name
    # Found before the table is touched: it is locked for no longer than it takes to mark these few.
    op.execute(f"""
        CREATE TEMPORARY TABLE asked_again AS SELECT id FROM (
            SELECT id, created_at, lag(created_at) OVER (PARTITION BY phone ORDER BY id) AS before
            FROM message WHERE phone IS NOT NULL AND send_state NOT IN {_REFUSED}
        ) AS asked WHERE {_GAP_S[store]} <= 60
    """)
    op.add_column("message", sa.Column("is_repeat", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.execute("UPDATE message SET is_repeat = true WHERE id IN (SELECT id FROM asked_again)")
    op.execute(f"""
        INSERT INTO part_delta (hour, part, carrier, channel, word, place, is_sample, messages, seconds, charged_iqd)
        SELECT {_HOUR[store]}, 'repeat', carrier, coalesce(channel, ''), '', 0, is_sample,
               count(*), 0, coalesce(sum(charged_iqd), 0)
        FROM message JOIN asked_again USING (id) WHERE path IS NOT NULL AND status NOT IN {_REFUSED}
        GROUP BY {_HOUR[store]}, carrier, coalesce(channel, ''), is_sample
    """)
    op.execute("DROP TABLE asked_again")


def downgrade() -> None:
    for table in ("part_delta", "part_tally", "day_part_tally", "slot_part_tally"):
        op.execute(f"DELETE FROM {table} WHERE part = 'repeat'")
    op.drop_column("message", "is_repeat")
