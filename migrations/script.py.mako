"""${message}.

Before you ship it: does it hold a lock on `message` or `callback` for long (callbacks wait meanwhile, and are told to
come back)? Is there a default for rows that exist? Does it run on SQLite and on PostgreSQL, empty and full?
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
