from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Connection,
    Row,
    Select,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from adapters.sql import tables
from adapters.sql.capability_reports import capabilities_of
from adapters.sql.selectors import conditions
from adapters.sql.server_labels import labels_of
from adapters.sql.statements import Ids, insert_or_ignore, is_among
from application.ports.store.servers import ServerFilter
from domain.approval import Approval
from domain.errors import ServerNameTaken, ServerNotFound
from domain.labels import NO_LABELS, Labels, Selector
from domain.liveness import Presence, Status
from domain.machine import Hardware
from domain.server import Server

# Any number that no other software uses on the same database.
_MOVE_OF_THE_DEFAULT = 0x6D616E6E
# In the messages of PostgreSQL and of SQLite.
_NAME_IS_TAKEN = ("uq_servers_name", "servers.name")


class SqlServers:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, name: str) -> Server | None:
        return self._one(_LOCKED.where(tables.servers.c.name == name))

    def find_or_add(self, name: str) -> Server:
        # Searched first, because an insert with a conflict uses up an id.
        # The loop repeats only if the server is deleted between the insert and the next search.
        while True:
            server = self.find(name)
            if server:
                return server
            insert = insert_or_ignore(self._connection.dialect.name, tables.servers)
            added: int | None = self._connection.execute(
                insert.values(name=name).returning(tables.servers.c.server_id)
            ).scalar_one_or_none()
            if added:
                return Server(added, name)

    def add(self, name: str, environment: str) -> Server:
        statement = insert(tables.servers).returning(tables.servers.c.server_id)
        try:
            server_id = self._connection.execute(
                statement, {"name": name, "environment": environment}
            ).scalar_one()
        except IntegrityError as error:
            raise translate_integrity_error(error, name) from error
        return Server(server_id, name, environment)

    def get(self, server_id: int, *, lock: bool = False) -> Server:
        query = _LOCKED if lock else _SERVERS
        server = self._one(query.where(tables.servers.c.server_id == server_id))
        if server is None:
            raise ServerNotFound(server_id)
        return server

    def lock_with_default(self, server_id: int) -> Server:
        if self._connection.dialect.name == "postgresql":
            self._connection.execute(select(func.pg_advisory_xact_lock(_MOVE_OF_THE_DEFAULT)))
        columns = tables.servers.c
        rows = self._connection.execute(
            _LOCKED.where(or_(columns.server_id == server_id, columns.is_default)).order_by(
                columns.server_id
            )
        ).all()
        for row in rows:
            if row.server_id == server_id:
                return self._with_labels([row])[0]
        raise ServerNotFound(server_id)

    def save(self, server: Server) -> None:
        if server.is_default:
            self._connection.execute(
                update(tables.servers)
                .where(tables.servers.c.is_default, tables.servers.c.server_id != server.server_id)
                .values(is_default=False)
            )
        try:
            self._connection.execute(
                update(tables.servers).where(tables.servers.c.server_id == server.server_id),
                {
                    "name": server.name,
                    "environment": server.environment,
                    "status": server.presence.status,
                    "last_seen": server.presence.last_seen,
                    "offline_after": server.presence.offline_after,
                    "heard_via": server.presence.via,
                    "is_default": server.is_default,
                    "config_revision": server.config_revision,
                    "config_resync": server.config_resync,
                    "epoch": server.epoch,
                    "approval": server.approval,
                    "approval_reason": server.approval_reason,
                    "ephemeral": server.ephemeral,
                },
            )
        except IntegrityError as error:
            raise translate_integrity_error(error, server.name) from error

    def page(self, matching: ServerFilter, after: int, size: int) -> Sequence[Server]:
        columns = tables.servers.c
        query = _SERVERS.where(columns.server_id > after).order_by(columns.server_id).limit(size)
        if matching.environment is not None:
            query = query.where(columns.environment == matching.environment)
        if matching.status is not None:
            query = query.where(columns.status == matching.status)
        if matching.not_seen_since is not None:
            query = query.where(
                or_(columns.last_seen.is_(None), columns.last_seen < matching.not_seen_since)
            )
        if matching.approval is not None:
            query = query.where(columns.approval == matching.approval)
        if matching.selector is not None:
            query = query.where(*conditions(matching.selector, columns.server_id))
        return self._with_labels(self._connection.execute(query).all())

    def count(self, approval: Approval) -> int:
        return self._connection.execute(
            select(func.count()).where(tables.servers.c.approval == approval)
        ).scalar_one()

    def online_hardware(self) -> Hardware:
        row = self._connection.execute(_HARDWARE_ONLINE).one()
        return Hardware(row.machines, row.cpu_cores, row.total_memory_mb)

    def of_machine(self, machine: int) -> Sequence[Server]:
        is_machine = tables.identities.c.machine == machine
        query = _SERVERS.where(is_machine, tables.identities.c.machine != 0)
        rows = self._connection.execute(query.order_by(tables.servers.c.server_id)).all()
        return self._with_labels(rows)

    def prunable(self, not_seen_since: datetime, size: int) -> Sequence[Server]:
        columns = tables.servers.c
        has_recent_event = exists().where(
            tables.history.c.server_id == columns.server_id, tables.history.c.at >= not_seen_since
        )
        query = _SERVERS.where(
            columns.ephemeral,
            columns.status == Status.OFFLINE,
            columns.last_seen < not_seen_since,
            columns.approval != Approval.REJECTED,
            ~has_recent_event,
        ).with_for_update(key_share=True, skip_locked=True, of=tables.servers)
        rows = self._connection.execute(query.order_by(columns.server_id).limit(size)).all()
        return self._with_labels(rows)

    def lock_selected(self, selector: Selector, after: int, size: int) -> Sequence[int]:
        columns = tables.servers.c
        return self._connection.scalars(
            select(columns.server_id)
            .where(columns.server_id > after, *conditions(selector, columns.server_id))
            .order_by(columns.server_id)
            .limit(size)
            .with_for_update(key_share=True)
        ).all()

    def highest_revision(self) -> int:
        highest: int | None = self._connection.execute(
            select(func.max(tables.servers.c.config_revision))
        ).scalar_one()
        return highest or 0

    def configure(self, server_ids: Collection[int], revision: int, *, resync: bool) -> None:
        parameters = {"ids": server_ids, "revision": revision, "resync": resync}
        self._connection.execute(_CONFIGURE, parameters)

    def count_by_status(self) -> Mapping[tuple[Status, str], int]:
        columns = tables.servers.c
        rows = self._connection.execute(
            select(columns.status, columns.environment, func.count()).group_by(
                columns.status, columns.environment
            )
        )
        return {(Status(status), environment): count for status, environment, count in rows}

    def remove(self, server_id: int) -> None:
        removed = self._connection.execute(
            delete(tables.servers).where(tables.servers.c.server_id == server_id)
        )
        if not removed.rowcount:
            raise ServerNotFound(server_id)

    def _one(self, query: Select[Any]) -> Server | None:
        row = self._connection.execute(query).one_or_none()
        return self._with_labels([row])[0] if row else None

    def _with_labels(self, rows: Sequence[Row[Any]]) -> list[Server]:
        labels = labels_of(self._connection, [row.server_id for row in rows])
        return [server_of(row, labels.get(row.server_id, NO_LABELS)) for row in rows]


_WITH_DETAILS = tables.servers.join(tables.capabilities, isouter=True).join(
    tables.identities,
    tables.servers.c.server_id == tables.identities.c.server_id,
    isouter=True,
)
_SERVERS: Select[Any] = select(
    tables.servers,
    *(column for column in tables.capabilities.c if column.name != "server_id"),
    tables.identities.c.machine,
    tables.identities.c.address,
).select_from(_WITH_DETAILS)

# The weaker lock, so that rows that refer to the server can be added meanwhile.
_LOCKED: Select[Any] = _SERVERS.with_for_update(key_share=True, of=tables.servers)


# A server with an unknown machine counts as a machine of its own.
_machine = case(
    (tables.identities.c.machine > 0, tables.identities.c.machine),
    else_=-tables.servers.c.server_id,
)
_machines_online = (
    select(
        func.max(tables.capabilities.c.cpu_cores).label("cpu_cores"),
        func.max(tables.capabilities.c.total_memory_mb).label("total_memory_mb"),
    )
    .select_from(_WITH_DETAILS)
    .where(tables.servers.c.status == Status.ONLINE)
    .group_by(_machine)
    .subquery()
)
_HARDWARE_ONLINE = select(
    func.count().label("machines"),
    func.coalesce(func.sum(_machines_online.c.cpu_cores), 0).label("cpu_cores"),
    func.coalesce(func.sum(_machines_online.c.total_memory_mb), 0).label("total_memory_mb"),
).select_from(_machines_online)


_COLUMNS = tables.servers.c
_REVISION = bindparam("revision", type_=_COLUMNS.config_revision.type)
_IS_BEHIND = _COLUMNS.config_revision < _REVISION
_NEXT_REVISION = case((_IS_BEHIND, _REVISION), else_=_COLUMNS.config_revision + 1)
_CONFIGURE = (
    update(tables.servers)
    .where(is_among(_COLUMNS.server_id, bindparam("ids", type_=Ids())))
    .values(
        config_revision=_NEXT_REVISION,
        config_resync=case(
            (_IS_BEHIND & ~bindparam("resync", type_=Boolean()), _COLUMNS.config_resync),
            else_=_NEXT_REVISION,
        ),
    )
)


def server_of(row: Row[Any], labels: Labels) -> Server:
    return Server(
        server_id=row.server_id,
        name=row.name,
        environment=row.environment,
        presence=Presence(Status(row.status), row.last_seen, row.offline_after, row.heard_via),
        is_default=row.is_default,
        capabilities=capabilities_of(row) if row.total_memory_mb is not None else None,
        config_revision=row.config_revision,
        config_resync=row.config_resync,
        epoch=row.epoch,
        approval=Approval(row.approval),
        approval_reason=row.approval_reason,
        ephemeral=row.ephemeral,
        labels=labels,
        machine=row.machine or 0,
        address=row.address or "",
    )


def translate_integrity_error(error: IntegrityError, name: str) -> Exception:
    if any(constraint in str(error.orig) for constraint in _NAME_IS_TAKEN):
        return ServerNameTaken(name)
    return error
