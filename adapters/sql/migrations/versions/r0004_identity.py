"""Identity: evidence, conflicts, bans, labels, approval, history, and deleted servers."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _moment() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def _evidence() -> list[sa.Column[str]]:
    kinds = ("machine_id", "hardware_id", "engine_id", "boot_id", "instance_id")
    return [sa.Column(kind, sa.String(32), nullable=False) for kind in kinds]


def _owned_by_servers(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["server_id"],
        ["servers.server_id"],
        name=f"fk_{table}_server_id",
        ondelete="CASCADE",
    )


def upgrade() -> None:
    # With constant defaults, so that PostgreSQL rewrites no rows, and older APIs, which do not know
    # these columns, still work.
    for column in (
        sa.Column("config_resync", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("epoch", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("approval", sa.String(16), nullable=False, server_default="approved"),
        sa.Column("approval_reason", sa.String(200), nullable=False, server_default=""),
        sa.Column("ephemeral", sa.Boolean, nullable=False, server_default=sa.false()),
    ):
        op.add_column("servers", column)
    op.add_column("outbox", sa.Column("cause", sa.Text, nullable=False, server_default=""))
    _create_configuration_of_selectors()
    _create_what_servers_own()
    _create_what_outlives_servers()


def _create_configuration_of_selectors() -> None:
    op.create_table(
        "selector_configurations",
        sa.Column("selector", sa.String(500), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("updated_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("selector", "name", name="pk_selector_configurations"),
    )
    op.create_table(
        "configuration_clock",
        sa.Column("clock_id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("clock_id", name="pk_configuration_clock"),
    )
    op.create_table(
        "selector_changes",
        sa.Column("revision", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("selector", sa.String(500), nullable=False),
        sa.Column("resync", sa.Boolean, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("reached", ROW_ID, nullable=False),
        sa.PrimaryKeyConstraint("revision", name="pk_selector_changes"),
    )
    op.execute(
        "INSERT INTO configuration_clock (clock_id, revision)"
        " SELECT 1, coalesce(max(config_revision), 0) FROM servers"
    )


def _create_what_servers_own() -> None:
    op.create_table(
        "server_identities",
        sa.Column("server_id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("machine", sa.BigInteger, nullable=False),
        *_evidence(),
        sa.Column("address", sa.String(100), nullable=False),
        sa.Column("registered_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("server_id", name="pk_server_identities"),
        _owned_by_servers("server_identities"),
    )
    for column in ("machine", "hardware_id", "boot_id"):
        op.create_index(f"ix_server_identities_{column}", "server_identities", [column])
    op.create_table(
        "server_labels",
        sa.Column("server_id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("key", sa.String(63), nullable=False),
        sa.Column("of_host", sa.String(63)),
        sa.Column("of_operators", sa.String(63)),
        sa.Column("value", sa.String(63), nullable=False),
        sa.PrimaryKeyConstraint("server_id", "key", name="pk_server_labels"),
        _owned_by_servers("server_labels"),
    )
    op.create_index("ix_server_labels_key", "server_labels", ["key", "value"])


def _create_what_outlives_servers() -> None:
    op.create_table(
        "conflicts",
        sa.Column("conflict_id", ROW_ID, nullable=False),
        sa.Column("server_id", ROW_ID, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("holder", sa.JSON, nullable=False),
        sa.Column("holder_last_seen", _moment()),
        sa.Column("challenger", sa.JSON, nullable=False),
        sa.Column("opened_at", _moment(), nullable=False),
        sa.Column("last_claimed_at", _moment(), nullable=False),
        sa.Column("claims", sa.BigInteger, nullable=False),
        sa.Column("resolution", sa.String(16)),
        sa.Column("new_name", sa.String(255), nullable=False),
        sa.Column("resolved_at", _moment()),
        sa.PrimaryKeyConstraint("conflict_id", name="pk_conflicts"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_conflicts_name", "conflicts", ["name"])
    op.create_table(
        "bans",
        sa.Column("server_id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        *_evidence(),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("banned_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("server_id", name="pk_bans"),
    )
    op.create_table(
        "deleted_servers",
        sa.Column("server_id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("deleted_at", _moment(), nullable=False),
        sa.Column("purged_at", _moment(), nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("record", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("server_id", name="pk_deleted_servers"),
    )
    op.create_index("ix_deleted_servers_purged_at", "deleted_servers", ["purged_at"])
    op.create_table(
        "server_history",
        sa.Column("server_id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("entry_no", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("at", _moment(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("agreeing", sa.String(100), nullable=False),
        sa.Column("differing", sa.String(100), nullable=False),
        sa.PrimaryKeyConstraint("server_id", "entry_no", name="pk_server_history"),
    )
    op.create_table(
        "would_rejects",
        sa.Column("entry_id", ROW_ID, nullable=False),
        sa.Column("switch", sa.String(32), nullable=False),
        sa.Column("server_id", ROW_ID, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("first_at", _moment(), nullable=False),
        sa.Column("last_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name="pk_would_rejects"),
        sa.UniqueConstraint("switch", "server_id", "name", name="uq_would_rejects_switch"),
    )
