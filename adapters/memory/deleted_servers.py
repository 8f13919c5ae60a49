from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice

from adapters.memory.tables import DeletedRow, Tables
from application.ports.store.deleted_servers import DeletedServer
from domain.errors import DeletedServerNotFound, ServerNameTaken
from domain.liveness import Status
from domain.server import Server


class MemoryDeletedServers:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def move_to_deleted(
        self, server_ids: Collection[int], now: datetime, purged_at: datetime, cause: str
    ) -> None:
        tables = self._tables
        for server_id in server_ids:
            server = tables.servers.pop(server_id)
            del tables.ids[server.name]
            tables.deleted_rows[server_id] = DeletedRow(
                DeletedServer(server, now, purged_at, cause),
                tables.equipment.pop(server_id, ()),
                tables.configurations.pop(server_id, {}),
                tables.identities.pop(server_id, None),
            )

    def restore(self, server_id: int, name: str = "") -> Server:
        tables = self._tables
        row = tables.deleted_rows.pop(server_id, None)
        if row is None:
            raise DeletedServerNotFound(server_id)
        before = row.deleted.server
        name = name or before.name
        if name in tables.ids:
            raise ServerNameTaken(name)
        presence = replace(before.presence, status=Status.OFFLINE, offline_after=None)
        server = replace(before, name=name, presence=presence, is_default=False)
        tables.servers[server_id] = server
        tables.ids[name] = server_id
        tables.equipment[server_id] = row.equipment
        tables.configurations[server_id] = row.configurations
        if row.identity:
            tables.identities[server_id] = row.identity
        return server

    def page(self, after: int, size: int) -> Sequence[DeletedServer]:
        by_id = sorted(self._tables.deleted_rows.items())
        deleted = (row.deleted for server_id, row in by_id if server_id > after)
        return list(islice(deleted, size))

    def purge(self, now: datetime, limit: int) -> Collection[int]:
        overdue = sorted(
            (row.deleted.purged_at, server_id)
            for server_id, row in self._tables.deleted_rows.items()
            if row.deleted.purged_at <= now
        )[:limit]
        for _, server_id in overdue:
            del self._tables.deleted_rows[server_id]
        return [server_id for _, server_id in overdue]
