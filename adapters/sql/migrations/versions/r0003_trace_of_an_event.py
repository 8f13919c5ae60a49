"""The trace of the call that caused an event."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # With a default, so that older APIs, which do not know the column, can still write events.
    op.add_column(
        "outbox", sa.Column("trace_parent", sa.String(55), nullable=False, server_default="")
    )
