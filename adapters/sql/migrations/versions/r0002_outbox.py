"""Events waiting to be published, and the transport of a server's last heartbeat."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.add_column(
        "servers", sa.Column("heard_via", sa.String(16), nullable=False, server_default="")
    )
    op.create_table(
        "outbox",
        sa.Column("entry_id", ROW_ID, nullable=False),
        sa.Column("message_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("server_id", ROW_ID, nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("environment", sa.String(100), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("config_revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name="pk_outbox"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "outbox_lease",
        sa.Column("lease_id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("holder", sa.String(100), nullable=False),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("lease_id", name="pk_outbox_lease"),
    )
