"""What the last hours are counted by: slots of five minutes, and the slot of each delta.

No row is rewritten: deltas that wait have no slot, and belong to none. `recounting.recount_slots` fills the tables
afterwards. What a process of before writes or folds after this is missing in them, for as long as they tell of it: some
hours, or until `wasl db recount`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "slot_tally",
        sa.Column("slot", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("is_sample", sa.Boolean(), nullable=False),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.Column("charged_iqd", sa.BigInteger(), nullable=False),
        sa.Column("at_risk_iqd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("slot", "status", "is_sample", name=op.f("pk_slot_tally")),
    )
    op.create_table(
        "slot_cell_tally",
        sa.Column("slot", sa.DateTime(timezone=True), nullable=False),
        sa.Column("carrier", sa.String(length=10), nullable=False),
        sa.Column("channel", sa.String(length=10), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("is_sample", sa.Boolean(), nullable=False),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.Column("charged_iqd", sa.BigInteger(), nullable=False),
        sa.Column("at_risk_iqd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("slot", "carrier", "channel", "status", "is_sample", name=op.f("pk_slot_cell_tally")),
    )
    op.create_table(
        "slot_part_tally",
        sa.Column("slot", sa.DateTime(timezone=True), nullable=False),
        sa.Column("part", sa.String(length=8), nullable=False),
        sa.Column("carrier", sa.String(length=10), nullable=False),
        sa.Column("channel", sa.String(length=10), nullable=False),
        sa.Column("word", sa.String(length=200), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("is_sample", sa.Boolean(), nullable=False),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.BigInteger(), nullable=False),
        sa.Column("charged_iqd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "part", "slot", "carrier", "channel", "word", "place", "is_sample", name=op.f("pk_slot_part_tally")
        ),
    )
    op.add_column("delta", sa.Column("slot", sa.DateTime(timezone=True), nullable=True))
    op.add_column("part_delta", sa.Column("slot", sa.DateTime(timezone=True), nullable=True))
    if op.get_bind().dialect.name == "postgresql":  # where each addition to a row takes a number
        for table in ("tally", "part_tally", "day_part_tally"):
            op.alter_column(table, "id", type_=sa.BigInteger())
            op.execute(f"ALTER SEQUENCE {table}_id_seq AS BIGINT")


def downgrade() -> None:
    op.drop_column("part_delta", "slot")
    op.drop_column("delta", "slot")
    op.drop_table("slot_part_tally")
    op.drop_table("slot_cell_tally")
    op.drop_table("slot_tally")
