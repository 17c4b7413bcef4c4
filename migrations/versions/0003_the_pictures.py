"""Tables for the pictures, prices, budgets and who looked at a number; what a closed message is counted by.

No row is rewritten here: the new columns may be empty. `recounting.derive_again` fills them and counts them afterwards,
beside whatever is going on. What the tally is summed up to is few rows, and made at once; what a process of before
folds after this is missing there until `wasl db recount`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "budget",
        sa.Column("period", sa.String(length=5), nullable=False),
        sa.Column("iqd", sa.BigInteger(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("set_by", sa.String(length=80), nullable=False),
        sa.CheckConstraint("period IN ('day', 'month')", name=op.f("ck_budget_period")),
        sa.CheckConstraint("iqd > 0", name=op.f("ck_budget_iqd")),
        sa.PrimaryKeyConstraint("period", name=op.f("pk_budget")),
    )
    op.create_table(
        "cell_tally",
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("carrier", sa.String(length=10), nullable=False),
        sa.Column("channel", sa.String(length=10), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("is_sample", sa.Boolean(), nullable=False),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.Column("charged_iqd", sa.BigInteger(), nullable=False),
        sa.Column("at_risk_iqd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "carrier", "channel", "status", "is_sample", name=op.f("pk_cell_tally")),
    )
    op.create_table(
        "hour_tally",
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("is_sample", sa.Boolean(), nullable=False),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.Column("charged_iqd", sa.BigInteger(), nullable=False),
        sa.Column("at_risk_iqd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "status", "is_sample", name=op.f("pk_hour_tally")),
    )
    op.create_table(
        "part_delta",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("part", sa.String(length=8), nullable=False),
        sa.Column("carrier", sa.String(length=10), nullable=False),
        sa.Column("channel", sa.String(length=10), nullable=False),
        sa.Column("word", sa.String(length=200), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("is_sample", sa.Boolean(), nullable=False),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.BigInteger(), nullable=False),
        sa.Column("charged_iqd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_part_delta")),
    )
    op.create_table(
        "part_tally",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("part", sa.String(length=8), nullable=False),
        sa.Column("carrier", sa.String(length=10), nullable=False),
        sa.Column("channel", sa.String(length=10), nullable=False),
        sa.Column("word", sa.String(length=200), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("is_sample", sa.Boolean(), nullable=False),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.BigInteger(), nullable=False),
        sa.Column("charged_iqd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_part_tally")),
        sa.UniqueConstraint(
            "part", "hour", "carrier", "channel", "word", "place", "is_sample", name="uq_part_tally_key"
        ),
    )
    op.create_table(
        "day_tally",
        sa.Column("day", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("is_sample", sa.Boolean(), nullable=False),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.Column("charged_iqd", sa.BigInteger(), nullable=False),
        sa.Column("at_risk_iqd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "status", "is_sample", name=op.f("pk_day_tally")),
    )
    op.create_table(
        "day_cell_tally",
        sa.Column("day", sa.DateTime(timezone=True), nullable=False),
        sa.Column("carrier", sa.String(length=10), nullable=False),
        sa.Column("channel", sa.String(length=10), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("is_sample", sa.Boolean(), nullable=False),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.Column("charged_iqd", sa.BigInteger(), nullable=False),
        sa.Column("at_risk_iqd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "carrier", "channel", "status", "is_sample", name=op.f("pk_day_cell_tally")),
    )
    op.create_table(
        "day_part_tally",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("day", sa.DateTime(timezone=True), nullable=False),
        sa.Column("part", sa.String(length=8), nullable=False),
        sa.Column("carrier", sa.String(length=10), nullable=False),
        sa.Column("channel", sa.String(length=10), nullable=False),
        sa.Column("word", sa.String(length=200), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("is_sample", sa.Boolean(), nullable=False),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.BigInteger(), nullable=False),
        sa.Column("charged_iqd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_day_part_tally")),
        sa.UniqueConstraint(
            "part", "day", "carrier", "channel", "word", "place", "is_sample", name="uq_day_part_tally_key"
        ),
    )
    op.create_table(
        "sender_price",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sender_id", sa.String(length=40), nullable=False),
        sa.Column("carrier", sa.String(length=10), nullable=False),
        sa.Column("iqd", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sender_price")),
    )
    op.create_index(
        op.f("ix_sender_price_sender_id_carrier_id"), "sender_price", ["sender_id", "carrier", "id"], unique=False
    )
    op.create_table(
        "reveal",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("chosen", sa.String(length=500), nullable=True),
        sa.Column("user_name", sa.String(length=60), nullable=False),
        sa.Column("why", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_reveal_message_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reveal")),
    )
    op.create_index(op.f("ix_reveal_message_id"), "reveal", ["message_id"], unique=False)
    op.add_column("message", sa.Column("path", sa.String(length=80), nullable=True))
    op.add_column("message", sa.Column("fallback_s", sa.Integer(), nullable=True))
    op.add_column("message", sa.Column("took_bucket", sa.Integer(), nullable=True))
    op.create_index(
        "ix_message_to_be_derived",
        "message",
        ["id"],
        unique=False,
        sqlite_where=sa.text("closed AND path IS NULL"),
        postgresql_where=sa.text("closed AND path IS NULL"),
    )
    op.add_column("user", sa.Column("language", sa.String(length=10), nullable=True))
    _sum_up()


def _sum_up() -> None:
    """What the tally holds, by the hour and by the day (in Iraq, which begins at 21:00 UTC)."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("LOCK TABLE tally IN SHARE MODE")  # a fold on its way would be left out
        day = "date_trunc('day', hour - interval '21 hours', 'UTC') + interval '21 hours'"
    else:
        day = "strftime('%Y-%m-%d 21:00:00.000000', hour, '-21 hours')"
    for table, column, named in (("hour_tally", "hour", "hour"), ("day_tally", "day", day)):
        _add(table, column, named, "status, is_sample")
    for table, column, named in (("cell_tally", "hour", "hour"), ("day_cell_tally", "day", day)):
        _add(table, column, named, "carrier, channel, status, is_sample")


def _add(table: str, column: str, named: str, key: str) -> None:
    op.execute(
        f"INSERT INTO {table} ({column}, {key}, messages, charged_iqd, at_risk_iqd) "
        f"SELECT {named}, {key}, sum(messages), sum(charged_iqd), sum(at_risk_iqd) FROM tally GROUP BY {named}, {key}"
    )


def downgrade() -> None:
    op.drop_column("user", "language")
    op.drop_index("ix_message_to_be_derived", table_name="message")
    op.drop_column("message", "took_bucket")
    op.drop_column("message", "fallback_s")
    op.drop_column("message", "path")
    op.drop_index(op.f("ix_reveal_message_id"), table_name="reveal")
    op.drop_table("reveal")
    op.drop_index(op.f("ix_sender_price_sender_id_carrier_id"), table_name="sender_price")
    op.drop_table("sender_price")
    op.drop_table("day_part_tally")
    op.drop_table("day_cell_tally")
    op.drop_table("day_tally")
    op.drop_table("part_tally")
    op.drop_table("part_delta")
    op.drop_table("hour_tally")
    op.drop_table("cell_tally")
    op.drop_table("budget")
