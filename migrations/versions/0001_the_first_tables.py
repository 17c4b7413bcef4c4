"""The first tables.

Before you ship it: does it hold a lock on `message` or `callback` for long (callbacks wait meanwhile, and are told to
come back)? Is there a default for rows that exist? Does it run on SQLite and on PostgreSQL, empty and full?
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_key",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("hint", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_key_digest")),
        sa.UniqueConstraint("name", name=op.f("uq_api_key_name")),
    )
    op.create_table(
        "balance_reading",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("iqd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_balance_reading")),
    )
    op.create_table(
        "delta",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("carrier", sa.String(length=10), nullable=False),
        sa.Column("channel", sa.String(length=10), nullable=False),
        sa.Column("sms_type", sa.String(length=20), nullable=False),
        sa.Column("sender_id", sa.String(length=40), nullable=False),
        sa.Column("source", sa.String(length=36), nullable=False),
        sa.Column("is_sample", sa.Boolean(), nullable=False),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.Column("charged_iqd", sa.BigInteger(), nullable=False),
        sa.Column("at_risk_iqd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delta")),
    )
    op.create_table(
        "sign_in_failure",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.String(length=80), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_failure")),
    )
    with op.batch_alter_table("sign_in_failure", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sign_in_failure_subject"), ["subject"], unique=False)

    op.create_table(
        "source",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source")),
        sa.UniqueConstraint("name", name=op.f("uq_source_name")),
    )
    op.create_table(
        "tally",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("carrier", sa.String(length=10), nullable=False),
        sa.Column("channel", sa.String(length=10), nullable=False),
        sa.Column("sms_type", sa.String(length=20), nullable=False),
        sa.Column("sender_id", sa.String(length=40), nullable=False),
        sa.Column("source", sa.String(length=36), nullable=False),
        sa.Column("is_sample", sa.Boolean(), nullable=False),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.Column("charged_iqd", sa.BigInteger(), nullable=False),
        sa.Column("at_risk_iqd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tally")),
        sa.UniqueConstraint(
            "hour", "status", "carrier", "channel", "sms_type", "sender_id", "source", "is_sample", name="uq_tally_key"
        ),
    )
    op.create_table(
        "user",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user")),
        sa.UniqueConstraint("name", name=op.f("uq_user_name")),
    )
    op.create_table(
        "message",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("asked_by", sa.String(length=80), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=True),
        sa.Column("again_of", sa.Uuid(), nullable=True),
        sa.Column("is_sample", sa.Boolean(), nullable=False),
        sa.Column("phone", sa.String(length=15), nullable=True),
        sa.Column("phone_end", sa.String(length=4), nullable=True),
        sa.Column("carrier", sa.String(length=10), nullable=False),
        sa.Column("sms_type", sa.String(length=20), nullable=False),
        sa.Column("provider", sa.String(length=30), nullable=True),
        sa.Column("sender_id", sa.String(length=40), nullable=True),
        sa.Column("custom_text", sa.Text(), nullable=True),
        sa.Column("reference", sa.String(length=100), nullable=True),
        sa.Column("request", sa.JSON(), nullable=True),
        sa.Column("once_key", sa.String(length=255), nullable=True),
        sa.Column("request_digest", sa.String(length=64), nullable=True),
        sa.Column("send_state", sa.String(length=12), nullable=False),
        sa.Column("outcome", sa.JSON(), nullable=True),
        sa.Column("sms_id", sa.String(length=200), nullable=True),
        sa.Column("delivery", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.Column("channel", sa.String(length=10), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_fact_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("estimate_iqd", sa.BigInteger(), nullable=True),
        sa.Column("charged_iqd", sa.BigInteger(), nullable=True),
        sa.Column("balance_iqd", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("carrier IN ('zain', 'asiacell', 'korek', 'other')", name=op.f("ck_message_carrier")),
        sa.CheckConstraint(
            "send_state IN ('queued', 'sending', 'accepted', 'rejected', 'throttled', 'unconfirmed', 'unsent')",
            name=op.f("ck_message_send_state"),
        ),
        sa.CheckConstraint(
            "status IN ('read', 'delivered', 'failed', 'sent', 'retrying', 'accepted', 'queued', 'sending', 'rejected', 'throttled', 'unconfirmed', 'unsent')",
            name=op.f("ck_message_status"),
        ),
        sa.CheckConstraint("charged_iqd >= 0 AND estimate_iqd >= 0", name=op.f("ck_message_iqd")),
        sa.ForeignKeyConstraint(["again_of"], ["message.id"], name=op.f("fk_message_again_of")),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_message_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
        sa.UniqueConstraint("asked_by", "once_key", name=op.f("uq_message_asked_by_once_key")),
        sa.UniqueConstraint("source_id", "sms_id", name=op.f("uq_message_source_id_sms_id")),
    )
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_message_again_of"), ["again_of"], unique=False)
        batch_op.create_index(batch_op.f("ix_message_carrier_status_id"), ["carrier", "status", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_message_channel_status_id"), ["channel", "status", "id"], unique=False)
        batch_op.create_index(
            "ix_message_in_progress",
            ["id"],
            unique=False,
            sqlite_where=sa.text("send_state IN ('queued', 'sending')"),
            postgresql_where=sa.text("send_state IN ('queued', 'sending')"),
        )
        batch_op.create_index(batch_op.f("ix_message_phone_end_id"), ["phone_end", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_message_phone_id"), ["phone", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_message_reference"), ["reference"], unique=False)
        batch_op.create_index(batch_op.f("ix_message_sms_id"), ["sms_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_message_sms_type_status_id"), ["sms_type", "status", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_message_source_id_id"), ["source_id", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_message_status_id"), ["status", "id"], unique=False)

    op.create_table(
        "sign_in",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_sign_in_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_sign_in")),
    )
    op.create_table(
        "callback",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("target_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("repeats", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("headers", sa.JSON(), nullable=False),
        sa.Column("verdict", sa.String(length=12), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("changed", sa.Boolean(), nullable=False),
        sa.CheckConstraint("verdict IN ('accepted', 'orphan', 'quarantined')", name=op.f("ck_callback_verdict")),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_callback_message_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_callback")),
        sa.UniqueConstraint("target_id", "digest", name=op.f("uq_callback_target_id_digest")),
    )
    with op.batch_alter_table("callback", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_callback_message_id"), ["message_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_callback_verdict_id"), ["verdict", "id"], unique=False)

    op.create_table(
        "exchange",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("words", sa.Text(), nullable=True),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("trace", sa.Text(), nullable=False),
        sa.Column("sms_id", sa.String(length=200), nullable=True),
        sa.Column("cost_iqd", sa.BigInteger(), nullable=True),
        sa.Column("balance_iqd", sa.BigInteger(), nullable=True),
        sa.Column("changed", sa.Boolean(), nullable=False),
        sa.CheckConstraint("kind IN ('answer', 'tracking')", name=op.f("ck_exchange_kind")),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_exchange_message_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exchange")),
    )
    with op.batch_alter_table("exchange", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_exchange_message_id"), ["message_id"], unique=False)
