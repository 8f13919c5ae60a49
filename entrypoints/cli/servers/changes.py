"""What changes in the fleet between one snapshot and the next."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from domain.server import Server
from entrypoints.cli.fleet_filter import FleetFilter
from entrypoints.cli.views.servers import status_text

if TYPE_CHECKING:
    from adapters.grpc.client.operator_client import OperatorClient


class Kind(StrEnum):
    INITIAL = "initial"
    ADDED = "added"
    STATUS = "status"
    # It still exists, but no longer matches the filter.
    UNLISTED = "unlisted"
    DELETED = "deleted"


@dataclass(frozen=True)
class Change:
    """`server` is its latest known state; `old_status` is empty for a server that was not listed
    before."""

    at: datetime
    kind: Kind
    server: Server
    old_status: str = ""

    @property
    def is_removal(self) -> bool:
        return self.kind in (Kind.UNLISTED, Kind.DELETED)

    @property
    def new_status(self) -> str:
        return "deleted" if self.kind is Kind.DELETED else status_text(self.server)


@dataclass(frozen=True)
class Snapshot:
    """The servers that match, and the fate of those that matched before: as they are now, or None
    for a deleted one."""

    listed: Mapping[int, Server]
    gone: Mapping[int, Server | None]

    def changes_since(self, before: Mapping[int, Server] | None, at: datetime) -> Iterator[Change]:
        """By id; `before` is what the last snapshot listed, None for the first snapshot."""
        if before is None:
            for server in self.listed.values():
                yield Change(at, Kind.INITIAL, server)
            return
        for server_id in sorted({*before, *self.listed}):
            old, new = before.get(server_id), self.listed.get(server_id)
            if new and not old:
                yield Change(at, Kind.ADDED, new)
            elif old and not new:
                now = self.gone[server_id]
                kind = Kind.UNLISTED if now else Kind.DELETED
                yield Change(at, kind, now or old, status_text(old))
            elif old and new and status_text(old) != status_text(new):
                yield Change(at, Kind.STATUS, new, status_text(old))


@dataclass(frozen=True)
class WatchFilter:
    """The servers with these ids or, without ids, those that match the filter."""

    server_ids: tuple[int, ...] = ()
    matching: FleetFilter = field(default_factory=FleetFilter)

    def take_snapshot(
        self, client: "OperatorClient", before: Mapping[int, Server] | None
    ) -> Snapshot:
        """`before` is what the last snapshot listed, None for the first.

        Raises OperatorCallFailed; the first snapshot also if an id does not exist.
        """
        if not self.server_ids:
            listed = {server.server_id: server for server in self.matching.servers(client)}
        elif before is None:
            listed = {server_id: client.server(server_id) for server_id in self.server_ids}
        else:
            existing = {server_id: _get_or_none(client, server_id) for server_id in self.server_ids}
            listed = {server_id: server for server_id, server in existing.items() if server}
        gone = (before or {}).keys() - listed.keys()
        return Snapshot(listed, self._fate_of(client, gone))

    def _fate_of(
        self, client: "OperatorClient", gone: Collection[int]
    ) -> Mapping[int, Server | None]:
        existing: Mapping[int, Server] = {}
        in_environment = FleetFilter(self.matching.environment)
        if gone and self.matching != in_environment:
            # Listed in pages and not asked for one by one: when a network fails, thousands of
            # servers go offline at once.
            existing = {server.server_id: server for server in in_environment.servers(client)}
        return {
            server_id: existing.get(server_id) or _get_or_none(client, server_id)
            for server_id in gone
        }


def _get_or_none(client: "OperatorClient", server_id: int) -> Server | None:
    from adapters.grpc.client.operator_client import OperatorCallFailed

    try:
        return client.server(server_id)
    except OperatorCallFailed as error:
        if error.code.name == "NOT_FOUND":
            return None
        raise
