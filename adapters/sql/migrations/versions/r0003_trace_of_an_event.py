"""The trace of the call that made an event happen."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # With a default: APIs that do not know of it yet go on writing events beside newer ones.
    op.add_column(
        "outbox", sa.Column("trace_parent", sa.String(55), nullable=False, server_default="")
    )
