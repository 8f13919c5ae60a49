from dataclasses import dataclass, replace

from application.liveness.heartbeat_interval import HeartbeatInterval
from application.ports.clock import Clock
from application.ports.store.store import Store
from domain.events import Event, EventKind, status_events
from domain.liveness import Presence, Status, offline_deadline
from domain.naming import check_name
from domain.server import Server


@dataclass(frozen=True, slots=True)
class ServerChanges:
    """The new values; None leaves a value unchanged."""

    name: str | None = None
    status: Status | None = None
    is_default: bool | None = None


@dataclass(frozen=True)
class UpdateServer:
    """An operator changes a server. Raises ServerNotFound, ServerNameTaken, InvalidField.

    A server that an operator sets online goes offline again unless its host sends a heartbeat in
    time.
    """

    store: Store
    clock: Clock
    heartbeat_interval: HeartbeatInterval

    def __call__(self, server_id: int, changes: ServerChanges) -> Server:
        if changes.name is not None:
            check_name(changes.name)
        with self.store.begin() as transaction:
            if changes.is_default:
                server = transaction.servers.lock_with_default(server_id)
            else:
                server = transaction.servers.get(server_id, lock=True)
            before = server
            if changes.name is not None:
                server = replace(server, name=changes.name)
            if changes.status is not None:
                server = replace(
                    server, presence=self._presence_set_by_operator(server, changes.status)
                )
            if changes.is_default is not None:
                server = replace(server, is_default=changes.is_default)
            transaction.servers.save(server)
            transaction.outbox.add(self._events(before, server))
        return server

    def _events(self, before: Server, after: Server) -> list[Event]:
        now = self.clock.now()
        status = after.presence.status
        events = []
        if after.name != before.name:
            cause = f"an operator renamed it from {before.name} to {after.name}"
            events.append(Event(EventKind.RENAMED, after.server_id, now, cause))
        return events + status_events(
            after.server_id, before.presence.status, status, now, f"an operator set it {status}"
        )

    def _presence_set_by_operator(self, server: Server, status: Status) -> Presence:
        online = status is Status.ONLINE
        offline_after = (
            offline_deadline(self.clock.now(), self.heartbeat_interval.interval) if online else None
        )
        return replace(server.presence, status=status, offline_after=offline_after)
