from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice

from adapters.memory.tables import Tables
from application.ports.store.servers import ServerFilter
from domain.approval import Approval
from domain.capabilities import Capabilities
from domain.errors import ServerNameTaken, ServerNotFound
from domain.labels import Selector
from domain.liveness import Status
from domain.machine import Hardware, machines_of
from domain.server import Server


class MemoryServers:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def find(self, name: str) -> Server | None:
        server_id = self._tables.ids.get(name)
        return self._tables.servers[server_id] if server_id else None

    def find_or_add(self, name: str) -> Server:
        return self.find(name) or self.add(name, environment="")

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
        self._tables.servers[server.server_id] = replace(
            server,
            capabilities=before.capabilities,
            labels=before.labels,
            machine=before.machine,
            address=before.address,
        )

    def page(self, matching: ServerFilter, after: int, size: int) -> Sequence[Server]:
        # Sorted, because undoing a removal puts its server behind all others.
        matching_servers = (
            server
            for server_id, server in sorted(self._tables.servers.items())
            if server_id > after and _matches(server, matching)
        )
        return list(islice(matching_servers, size))

    def count(self, approval: Approval) -> int:
        return sum(server.approval is approval for server in self._tables.servers.values())

    def online_hardware(self) -> Hardware:
        machines = machines_of(
            server
            for server in self._tables.servers.values()
            if server.presence.status is Status.ONLINE
        )
        reports = [
            [server.capabilities or Capabilities() for server in machine.servers]
            for machine in machines
        ]
        return Hardware(
            machines=len(machines),
            cpu_cores=sum(max(one.cpu_cores for one in machine) for machine in reports),
            total_memory_mb=sum(max(one.total_memory_mb for one in machine) for machine in reports),
        )

    def of_machine(self, machine: int) -> Sequence[Server]:
        return [
            server
            for _, server in sorted(self._tables.servers.items())
            if server.machine == machine != 0
        ]

    def prunable(self, not_seen_since: datetime, size: int) -> Sequence[Server]:
        prunable = (
            server
            for _, server in sorted(self._tables.servers.items())
            if server.ephemeral
            and server.presence.status is Status.OFFLINE
            and server.presence.last_seen is not None
            and server.presence.last_seen < not_seen_since
            and server.approval is not Approval.REJECTED
            and not self._has_event_since(server.server_id, not_seen_since)
        )
        return list(islice(prunable, size))

    def _has_event_since(self, server_id: int, since: datetime) -> bool:
        entries = self._tables.history.get(server_id, ())
        return any(entry.at >= since for entry in entries)

    def lock_selected(self, selector: Selector, after: int, size: int) -> Sequence[int]:
        selected = self.page(ServerFilter(selector=selector), after, size)
        return [server.server_id for server in selected]

    def highest_revision(self) -> int:
        return max((server.config_revision for server in self._tables.servers.values()), default=0)

    def configure(self, server_ids: Collection[int], revision: int, *, resync: bool) -> None:
        for server_id in server_ids:
            server = self._tables.servers[server_id]
            behind = server.config_revision < revision
            self._tables.servers[server_id] = server.configured(
                revision if behind else server.config_revision + 1, resync=resync or not behind
            )

    def count_by_status(self) -> Mapping[tuple[Status, str], int]:
        return Counter(
            (server.presence.status, server.environment) for server in self._tables.servers.values()
        )

    def remove(self, server_id: int) -> None:
        server = self.get(server_id)
        del self._tables.servers[server_id]
        del self._tables.ids[server.name]
        self._tables.equipment.pop(server_id, None)
        self._tables.configurations.pop(server_id, None)
        self._tables.identities.pop(server_id, None)


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
        and (matching.approval is None or server.approval is matching.approval)
        and (matching.selector is None or matching.selector.matches(server.labels.effective))
    )
