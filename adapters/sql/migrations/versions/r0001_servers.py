"""Servers, their capabilities and their configuration."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _moment() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "servers",
        sa.Column("server_id", ROW_ID, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("status", sa.String(16), nullable=False, server_default="offline"),
        sa.Column("last_seen", _moment()),
        sa.Column("offline_after", _moment()),
        sa.Column("environment", sa.String(100), nullable=False, server_default=""),
        sa.Column("is_default", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("config_revision", sa.BigInteger, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("server_id", name="pk_servers"),
        sa.UniqueConstraint("name", name="uq_servers_name"),
        sa.CheckConstraint("status IN ('online', 'offline')", name=op.f("ck_servers_status")),
        postgresql_with={"fillfactor": 70},
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uq_servers_is_default",
        "servers",
        ["is_default"],
        unique=True,
        postgresql_where=sa.text("is_default"),
        sqlite_where=sa.text("is_default"),
    )
    op.create_table(
        "server_capabilities",
        sa.Column("server_id", ROW_ID, nullable=False, autoincrement=False),
        sa.Column("total_memory_mb", sa.Integer, nullable=False),
        sa.Column("available_memory_mb", sa.Integer, nullable=False),
        sa.Column("cpu_cores", sa.Integer, nullable=False),
        sa.Column("available_cpu_millicores", sa.Integer, nullable=False),
        sa.Column("available_ports", sa.JSON, nullable=False),
        sa.Column("docker_version", sa.String(100), nullable=False),
        sa.PrimaryKeyConstraint("server_id", name="pk_server_capabilities"),
        sa.ForeignKeyConstraint(
            ["server_id"],
            ["servers.server_id"],
            name="fk_server_capabilities_server_id",
            ondelete="CASCADE",
        ),
        postgresql_with={"fillfactor": 70},
    )
    op.create_table(
        "server_capability_history",
        sa.Column("entry_id", ROW_ID, nullable=False),
        sa.Column("server_id", ROW_ID, nullable=False),
        sa.Column("recorded_at", _moment(), nullable=False),
        sa.Column("total_memory_mb", sa.Integer, nullable=False),
        sa.Column("cpu_cores", sa.Integer, nullable=False),
        sa.Column("available_ports", sa.JSON, nullable=False),
        sa.Column("docker_version", sa.String(100), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name="pk_server_capability_history"),
        sa.ForeignKeyConstraint(
            ["server_id"],
            ["servers.server_id"],
            name="fk_server_capability_history_server_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "ix_server_capability_history_server_id", "server_capability_history", ["server_id"]
    )
    op.create_table(
        "configurations",
        sa.Column("server_id", ROW_ID, nullable=False, autoincrement=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("updated_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("server_id", "name", name="pk_configurations"),
        sa.ForeignKeyConstraint(
            ["server_id"],
            ["servers.server_id"],
            name="fk_configurations_server_id",
            ondelete="CASCADE",
        ),
    )
