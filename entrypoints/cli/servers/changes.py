"""What changes in the fleet between one look at it and the next."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from domain.server import Server
from entrypoints.cli.fleet_filter import FleetFilter
from entrypoints.cli.views.tables import shown_status

if TYPE_CHECKING:
    from adapters.grpc.client.operator_client import OperatorClient


class Kind(StrEnum):
    INITIAL = "initial"
    ADDED = "added"
    STATUS = "status"
    # It is there, but not among those asked for any more.
    UNLISTED = "unlisted"
    DELETED = "deleted"


@dataclass(frozen=True)
class Change:
    """`server` is as it is now, or as it was seen last; `old_status` is empty where it had none."""

    at: datetime
    kind: Kind
    server: Server
    old_status: str = ""

    @property
    def goes(self) -> bool:
        return self.kind in (Kind.UNLISTED, Kind.DELETED)

    @property
    def new_status(self) -> str:
        return "deleted" if self.kind is Kind.DELETED else shown_status(self.server)


@dataclass(frozen=True)
class Snapshot:
    """The servers that were asked for, and what became of those that were listed before: None for
    one that is deleted."""

    listed: Mapping[int, Server]
    gone: Mapping[int, Server | None]

    def changes_since(self, before: Mapping[int, Server] | None, at: datetime) -> Iterator[Change]:
        """By id; `before` is what was listed then, None for nothing yet."""
        if before is None:
            for server in self.listed.values():
                yield Change(at, Kind.INITIAL, server)
            return
        for server_id in sorted({*before, *self.listed}):
            old, new = before.get(server_id), self.listed.get(server_id)
            if new and not old:
                yield Change(at, Kind.ADDED, new)
            elif old and not new:
                there = self.gone[server_id]
                kind = Kind.UNLISTED if there else Kind.DELETED
                yield Change(at, kind, there or old, shown_status(old))
            elif old and new and shown_status(old) != shown_status(new):
                yield Change(at, Kind.STATUS, new, shown_status(old))


@dataclass(frozen=True)
class WatchFilter:
    """Which servers: those with the ids, or, without any, those that the filter lets pass."""

    server_ids: tuple[int, ...] = ()
    matching: FleetFilter = field(default_factory=FleetFilter)

    def take_snapshot(
        self, client: "OperatorClient", before: Mapping[int, Server] | None
    ) -> Snapshot:
        """Raises OperatorCallFailed, for the first look also where an id does not exist."""
        if not self.server_ids:
            listed = {server.server_id: server for server in self.matching.servers(client)}
        elif before is None:
            listed = {server_id: client.server(server_id) for server_id in self.server_ids}
        else:
            there = {server_id: _if_there(client, server_id) for server_id in self.server_ids}
            listed = {server_id: server for server_id, server in there.items() if server}
        gone = (before or {}).keys() - listed.keys()
        return Snapshot(listed, self._fate_of(client, gone))

    def _fate_of(
        self, client: "OperatorClient", gone: Collection[int]
    ) -> Mapping[int, Server | None]:
        there: Mapping[int, Server] = {}
        of_environment = FleetFilter(self.matching.environment)
        if gone and self.matching != of_environment:
            # In pages: with a network goes all that hangs on it.
            there = {server.server_id: server for server in of_environment.servers(client)}
        return {
            server_id: there.get(server_id) or _if_there(client, server_id) for server_id in gone
        }


def _if_there(client: "OperatorClient", server_id: int) -> Server | None:
    from adapters.grpc.client.operator_client import OperatorCallFailed

    try:
        return client.server(server_id)
    except OperatorCallFailed as error:
        if error.code.name == "NOT_FOUND":
            return None
        raise
