from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime

from adapters.memory.tables import Tables
from application.ports.store.presences import Known
from domain.liveness import Presence, Status


class MemoryPresences:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def lock(self, server_ids: Collection[int]) -> Mapping[int, Known]:
        return self.known(server_ids)

    def known(self, server_ids: Collection[int]) -> Mapping[int, Known]:
        servers = (self._tables.servers.get(server_id) for server_id in server_ids)
        return {
            server.server_id: Known(
                server.presence.status, server.config_revision, server.epoch, server.approval
            )
            for server in servers
            if server
        }

    def set(
        self, epochs: Mapping[int, int], presence: Presence, *, include_refused: bool = False
    ) -> Mapping[int, Known]:
        known = {
            server_id: server
            for server_id, server in self.known(epochs.keys()).items()
            if server.accepts(epochs[server_id], include_refused=include_refused)
        }
        for server_id in known:
            server = self._tables.servers[server_id]
            self._tables.servers[server_id] = replace(server, presence=presence)
        return known

    def expire(self, now: datetime, unheard_transports: Collection[str] = ()) -> Collection[int]:
        silent = [
            server
            for server in self._tables.servers.values()
            if server.presence.status is Status.ONLINE
            and server.presence.offline_after is not None
            and server.presence.offline_after < now
            and server.presence.via not in unheard_transports
        ]
        for server in silent:
            offline = replace(server.presence, status=Status.OFFLINE, offline_after=None)
            self._tables.servers[server.server_id] = replace(server, presence=offline)
        return [server.server_id for server in silent]

    def count_online(self) -> int:
        return sum(
            server.presence.status is Status.ONLINE for server in self._tables.servers.values()
        )
