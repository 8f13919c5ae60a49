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
    """A moment in UTC. SQLite keeps no time zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


# SQLite counts up by itself only in a column whose type is INTEGER.
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


# No index on last_seen or offline_after, and room left in each page: then a heartbeat is a
# HOT update that touches no index. The sweep's scan is cheaper than that index would be.
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
    # A host that knows an older revision of its configuration is sent all of it.
    Column("config_resync", BigInteger, nullable=False, server_default="0"),
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    Column("approval", String(16), nullable=False, server_default="approved"),
    Column("approval_reason", String(200), nullable=False, server_default=""),
    Column("ephemeral", Boolean, nullable=False, server_default=false()),
    CheckConstraint("status IN ('online', 'offline')", name="status"),
    postgresql_with={"fillfactor": 70},
    sqlite_autoincrement=True,
)

# One default server at most.
Index(
    "uq_servers_is_default",
    servers.c.is_default,
    unique=True,
    postgresql_where=servers.c.is_default,
    sqlite_where=servers.c.is_default,
)

# Kept apart from the servers, so that a heartbeat without a report writes a narrow row.
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

# Documents that hang on a selector of servers.
selector_configurations = Table(
    "selector_configurations",
    metadata,
    Column("selector", String(500), primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("document", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

# One row: the last revision that any change of configuration got. Written first in each of them,
# so that revisions are visible in their order.
configuration_clock = Table(
    "configuration_clock",
    metadata,
    Column("clock_id", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
)

# Changes on selectors of which not all servers are told yet: those up to `reached` are.
selector_changes = Table(
    "selector_changes",
    metadata,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("selector", String(500), nullable=False),
    Column("resync", Boolean, nullable=False),
    Column("cause", Text, nullable=False),
    Column("reached", ROW_ID, nullable=False),
)

# Who registered a server last. Kept apart from the servers, as their capabilities are.
identities = Table(
    "server_identities",
    metadata,
    _owner(primary_key=True, autoincrement=False),
    Column("machine", BigInteger, nullable=False, index=True),
    *_evidence(),
    Column("address", String(100), nullable=False),
    Column("registered_at", UtcDateTime, nullable=False),
)
# Two witnesses tell a machine, and one of the two is always one of these.
Index("ix_server_identities_hardware_id", identities.c.hardware_id)
Index("ix_server_identities_boot_id", identities.c.boot_id)

# `value` is what counts: what an operator says, else what the host says.
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

# The tables from here on are not owned by the servers: what they tell is of some that are gone.
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

# `record` is everything that the tables which servers own had of it.
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

# Numbered for each server without gaps, so that which entry is too many is known by the last one.
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

# One row at most: who publishes now, and until when nobody else does.
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

# Without a foreign key to servers: who joined with a key is of use also when it is gone.
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
    # What is old is looked for every minute.
    Index("ix_audit_at", "at"),
    # As with the outbox: all of it may be purged, and no id is given twice.
    sqlite_autoincrement=True,
)

# One row at most. Who reads it can forge the credential of any host.
signing_keys = Table(
    "signing_keys",
    metadata,
    Column("key_id", Integer, primary_key=True, autoincrement=False),
    Column("secret", LargeBinary, nullable=False),
)
