"""Columns and tables for tracking by itself, the spool, what the callbacks' door saw, and key rotation.

No row is rewritten: every new column may be empty or has a constant default.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TO_BE_TRACKED = sa.text("track_at IS NOT NULL")


def upgrade() -> None:
    op.add_column("message", sa.Column("stamp_key", sa.String(length=8), nullable=True))
    op.add_column("message", sa.Column("track_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("message", sa.Column("tracked", sa.Integer(), server_default="0", nullable=False))
    op.create_index(
        "ix_message_track_at", "message", ["track_at"], sqlite_where=_TO_BE_TRACKED, postgresql_where=_TO_BE_TRACKED
    )
    op.add_column("callback", sa.Column("last_id", sa.Uuid(), nullable=True))
    op.create_table(
        "intake",
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column("what", sa.String(length=20), nullable=False),
        sa.Column("writer", sa.String(length=16), nullable=False),
        sa.Column("callbacks", sa.BigInteger(), nullable=False),
        sa.Column("sample", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("minute", "what", "writer", name=op.f("pk_intake")),
    )
    op.create_table(
        "spooled",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("taken_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_spooled")),
    )
    op.create_table(
        "moment",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_moment")),
    )
