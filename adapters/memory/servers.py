from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice

from adapters.memory.tables import Tables
from application.ports.servers import ServerFilter
from domain.errors import ServerNameTaken, ServerNotFound
from domain.liveness import Status
from domain.server import Server


class MemoryServers:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def find_or_add(self, name: str) -> Server:
        server_id = self._tables.ids.get(name)
        return self._tables.servers[server_id] if server_id else self.add(name, environment="")

    def add(self, name: str, environment: str) -> Server:
        if name in self._tables.ids:
            raise ServerNameTaken(name)
        self._tables.last_id += 1
        server = Server(self._tables.last_id, name, environment)
        self._tables.servers[server.server_id] = server
        self._tables.ids[name] = server.server_id
        return server

    def get(self, server_id: int, *, lock: bool = False) -> Server:
        try:
            return self._tables.servers[server_id]
        except KeyError:
            raise ServerNotFound(server_id) from None

    def lock_with_default(self, server_id: int) -> Server:
        return self.get(server_id)

    def save(self, server: Server) -> None:
        before = self.get(server.server_id)
        if server.name != before.name:
            if server.name in self._tables.ids:
                raise ServerNameTaken(server.name)
            del self._tables.ids[before.name]
            self._tables.ids[server.name] = server.server_id
        if server.is_default and not before.is_default:
            for other in list(self._tables.servers.values()):
                if other.is_default:
                    self._tables.servers[other.server_id] = replace(other, is_default=False)
        self._tables.servers[server.server_id] = replace(server, capabilities=before.capabilities)

    def page(self, matching: ServerFilter, after: int, size: int) -> Sequence[Server]:
        # A removal that was undone has put its server behind all others.
        found = (
            server
            for server_id, server in sorted(self._tables.servers.items())
            if server_id > after and _matches(server, matching)
        )
        return list(islice(found, size))

    def census(self) -> Mapping[tuple[Status, str], int]:
        return Counter(
            (server.presence.status, server.environment) for server in self._tables.servers.values()
        )

    def remove(self, server_id: int) -> None:
        server = self.get(server_id)
        del self._tables.servers[server_id]
        del self._tables.ids[server.name]
        self._tables.equipment.pop(server_id, None)
        self._tables.configurations.pop(server_id, None)


def _matches(server: Server, matching: ServerFilter) -> bool:
    last_seen = server.presence.last_seen
    return (
        (matching.environment is None or server.environment == matching.environment)
        and (matching.status is None or server.presence.status is matching.status)
        and (
            matching.not_seen_since is None
            or last_seen is None
            or last_seen < matching.not_seen_since
        )
    )
