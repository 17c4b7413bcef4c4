"""How long messages took, by the hour and the day alone: what a line over a whole range reads. Made of the tallies; what a
process of before folds after this is missing here until `wasl db recount`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table, span, tally in (("pace_tally", "hour", "part_tally"), ("day_pace_tally", "day", "day_part_tally")):
        op.create_table(
            table,
            sa.Column("part", sa.String(length=8), nullable=False),
            sa.Column("place", sa.Integer(), nullable=False),
            sa.Column(span, sa.DateTime(timezone=True), nullable=False),
            sa.Column("messages", sa.BigInteger(), nullable=False),
            sa.Column("seconds", sa.BigInteger(), nullable=False),
            sa.Column("charged_iqd", sa.BigInteger(), nullable=False),
            sa.PrimaryKeyConstraint("part", span, "place", name=op.f(f"pk_{table}")),
        )
        op.execute(
            f"INSERT INTO {table} (part, {span}, place, messages, seconds, charged_iqd) "
            f"SELECT part, {span}, place, sum(messages), sum(seconds), sum(charged_iqd) "
            f"FROM {tally} GROUP BY part, {span}, place"
        )


def downgrade() -> None:
    op.drop_table("day_pace_tally")
    op.drop_table("pace_tally")
