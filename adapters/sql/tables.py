from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC. SQLite stores no time zone, so it is added on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


# SQLite assigns ids only in a column of the type INTEGER.
ROW_ID = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _owner(**options: Any) -> Column[int]:
    return Column(
        "server_id", ROW_ID, ForeignKey("servers.server_id", ondelete="CASCADE"), **options
    )


def _evidence() -> list[Column[str]]:
    kinds = ("machine_id", "hardware_id", "engine_id", "boot_id", "instance_id")
    return [Column(kind, String(32), nullable=False) for kind in kinds]


# No index on last_seen or offline_after, and free space in each page, so that a heartbeat is a HOT
# update that touches no index. The scan of the sweep is cheaper than such an index would be.
servers = Table(
    "servers",
    metadata,
    Column("server_id", ROW_ID, primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("status", String(16), nullable=False, server_default="offline"),
    Column("last_seen", UtcDateTime),
    Column("offline_after", UtcDateTime),
    Column("heard_via", String(16), nullable=False, server_default=""),
    Column("environment", String(100), nullable=False, server_default=""),
    Column("is_default", Boolean, nullable=False, server_default=false()),
    Column("config_revision", BigInteger, nullable=False, server_default="0"),
    # A host that knows an older revision of its configuration gets all documents.
    Column("config_resync", BigInteger, nullable=False, server_default="0"),
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    Column("approval", String(16), nullable=False, server_default="approved"),
    Column("approval_reason", String(200), nullable=False, server_default=""),
    Column("ephemeral", Boolean, nullable=False, server_default=false()),
    CheckConstraint("status IN ('online', 'offline')", name="status"),
    postgresql_with={"fillfactor": 70},
    sqlite_autoincrement=True,
)

# At most one default server.
Index(
    "uq_servers_is_default",
    servers.c.is_default,
    unique=True,
    postgresql_where=servers.c.is_default,
    sqlite_where=servers.c.is_default,
)

# Separate from the servers, so that a heartbeat without a report writes a narrow row.
capabilities = Table(
    "server_capabilities",
    metadata,
    _owner(primary_key=True, autoincrement=False),
    Column("total_memory_mb", Integer, nullable=False),
    Column("available_memory_mb", Integer, nullable=False),
    Column("cpu_cores", Integer, nullable=False),
    Column("available_cpu_millicores", Integer, nullable=False),
    Column("available_ports", JSON, nullable=False),
    Column("docker_version", String(100), nullable=False),
    postgresql_with={"fillfactor": 70},
)

capability_history = Table(
    "server_capability_history",
    metadata,
    Column("entry_id", ROW_ID, primary_key=True),
    _owner(nullable=False, index=True),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("total_memory_mb", Integer, nullable=False),
    Column("cpu_cores", Integer, nullable=False),
    Column("available_ports", JSON, nullable=False),
    Column("docker_version", String(100), nullable=False),
)

configurations = Table(
    "configurations",
    metadata,
    _owner(primary_key=True, autoincrement=False),
    Column("name", String(100), primary_key=True),
    Column("document", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

# Documents for the servers that a selector matches.
selector_configurations = Table(
    "selector_configurations",
    metadata,
    Column("selector", String(500), primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("document", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

# One row: the last revision that any change of a configuration got. Each change writes it first, so
# that revisions become visible in their order.
configuration_clock = Table(
    "configuration_clock",
    metadata,
    Column("clock_id", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
)

# Changes on selectors that are not yet propagated to all servers. Servers with an id up to
# `reached` have the change.
selector_changes = Table(
    "selector_changes",
    metadata,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("selector", String(500), nullable=False),
    Column("resync", Boolean, nullable=False),
    Column("cause", Text, nullable=False),
    Column("reached", ROW_ID, nullable=False),
)

# The machine that registered a server last. Separate from the servers, like their capabilities.
identities = Table(
    "server_identities",
    metadata,
    _owner(primary_key=True, autoincrement=False),
    Column("machine", BigInteger, nullable=False, index=True),
    *_evidence(),
    Column("address", String(100), nullable=False),
    Column("registered_at", UtcDateTime, nullable=False),
)
# A machine is recognized by two sources of evidence, and one of the two is always one of these.
Index("ix_server_identities_hardware_id", identities.c.hardware_id)
Index("ix_server_identities_boot_id", identities.c.boot_id)

# `value` is the effective one: that of the operators, else that of the host.
labels = Table(
    "server_labels",
    metadata,
    _owner(primary_key=True, autoincrement=False),
    Column("key", String(63), primary_key=True),
    Column("of_host", String(63)),
    Column("of_operators", String(63)),
    Column("value", String(63), nullable=False),
    Index("ix_server_labels_key", "key", "value"),
)

# The tables from here on do not reference the servers: their rows outlive a server.
conflicts = Table(
    "conflicts",
    metadata,
    Column("conflict_id", ROW_ID, primary_key=True),
    Column("server_id", ROW_ID, nullable=False),
    Column("name", String(255), nullable=False, index=True),
    Column("state", String(16), nullable=False),
    Column("holder", JSON, nullable=False),
    Column("holder_last_seen", UtcDateTime),
    Column("challenger", JSON, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("last_claimed_at", UtcDateTime, nullable=False),
    Column("claims", BigInteger, nullable=False),
    Column("resolution", String(16)),
    Column("new_name", String(255), nullable=False),
    Column("resolved_at", UtcDateTime),
    sqlite_autoincrement=True,
)

bans = Table(
    "bans",
    metadata,
    Column("server_id", ROW_ID, primary_key=True, autoincrement=False),
    Column("name", String(255), nullable=False),
    *_evidence(),
    Column("reason", String(200), nullable=False),
    Column("banned_at", UtcDateTime, nullable=False),
)

# `record` holds the rows of the server in all tables that reference the servers.
deleted_servers = Table(
    "deleted_servers",
    metadata,
    Column("server_id", ROW_ID, primary_key=True, autoincrement=False),
    Column("name", String(255), nullable=False),
    Column("deleted_at", UtcDateTime, nullable=False),
    Column("purged_at", UtcDateTime, nullable=False, index=True),
    Column("cause", Text, nullable=False),
    Column("record", JSON, nullable=False),
)

# Numbered without gaps for each server, so that the last number tells which entry is superfluous.
history = Table(
    "server_history",
    metadata,
    Column("server_id", ROW_ID, primary_key=True, autoincrement=False),
    Column("entry_no", BigInteger, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("cause", Text, nullable=False),
    Column("agreeing", String(100), nullable=False),
    Column("differing", String(100), nullable=False),
)

dry_run_refusals = Table(
    "would_rejects",
    metadata,
    Column("entry_id", ROW_ID, primary_key=True),
    Column("switch", String(32), nullable=False),
    Column("server_id", ROW_ID, nullable=False),
    Column("name", String(255), nullable=False),
    Column("reason", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("first_at", UtcDateTime, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
    UniqueConstraint("switch", "server_id", "name", name="uq_would_rejects_switch"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("entry_id", ROW_ID, primary_key=True),
    Column("message_id", String(36), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("server_id", ROW_ID, nullable=False),
    Column("occurred_at", UtcDateTime, nullable=False),
    Column("name", String(255), nullable=False),
    Column("environment", String(100), nullable=False),
    Column("status", String(16), nullable=False),
    Column("config_revision", BigInteger, nullable=False),
    Column("trace_parent", String(55), nullable=False, server_default=""),
    Column("cause", Text, nullable=False, server_default=""),
    sqlite_autoincrement=True,
)

# At most one row: the process that publishes events at present, and until when no other may.
outbox_lease = Table(
    "outbox_lease",
    metadata,
    Column("lease_id", Integer, primary_key=True, autoincrement=False),
    Column("holder", String(100), nullable=False),
    Column("held_until", UtcDateTime, nullable=False),
)

join_keys = Table(
    "join_keys",
    metadata,
    Column("key_id", String(32), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("environment", String(100), nullable=False),
    Column("name_pattern", String(255), nullable=False),
    Column("labels", JSON, nullable=False),
    Column("uses", BigInteger),
    Column("ephemeral", Boolean, nullable=False),
    Column("pre_approved", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", String(255), nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)

# Without a foreign key to servers: the uses of a key stay known after a server is deleted.
join_key_uses = Table(
    "join_key_uses",
    metadata,
    Column("key_id", ForeignKey("join_keys.key_id", ondelete="CASCADE"), primary_key=True),
    Column("server_id", ROW_ID, primary_key=True, autoincrement=False),
    Column("name", String(255), nullable=False),
    Column("address", String(100), nullable=False),
    Column("first_at", UtcDateTime, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
    Column("times", BigInteger, nullable=False),
)

operator_keys = Table(
    "operator_keys",
    metadata,
    Column("key_id", String(32), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("name", String(100), nullable=False),
    Column("role", String(16), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", String(255), nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)

audit = Table(
    "audit",
    metadata,
    Column("entry_id", ROW_ID, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", String(255), nullable=False),
    Column("credential_id", String(64), nullable=False),
    Column("address", String(100), nullable=False),
    Column("action", String(64), nullable=False),
    Column("server_id", ROW_ID, nullable=False),
    Column("target", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Index("ix_audit_server_id", "server_id", "entry_id"),
    # Old entries are searched every minute.
    Index("ix_audit_at", "at"),
    # As with the outbox: all rows may be purged, and no id may be used twice.
    sqlite_autoincrement=True,
)

# At most one row. Anyone who can read it can forge the credential of any host.
signing_keys = Table(
    "signing_keys",
    metadata,
    Column("key_id", Integer, primary_key=True, autoincrement=False),
    Column("secret", LargeBinary, nullable=False),
)
