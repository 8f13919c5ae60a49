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
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
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

# Not owned by the servers: what happened to one that is gone is still to be told.
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
