"""The machines behind the servers. Several host managers may run on one machine."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from domain.capabilities import Capabilities
from domain.server import Server

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Machine:
    """A server whose machine is unknown forms a machine of its own, with the `number` 0."""

    number: int
    servers: Sequence[Server]

    @property
    def capabilities(self) -> Capabilities | None:
        """The latest report: that of the most recently seen server that has reported any."""
        reports = [
            (server.presence.last_seen or _NEVER, server.server_id, server.capabilities)
            for server in self.servers
            if server.capabilities
        ]
        return max(reports, key=lambda report: report[:2])[2] if reports else None


@dataclass(frozen=True, slots=True)
class Hardware:
    """The total hardware of this many machines, each counted once."""

    machines: int
    cpu_cores: int
    total_memory_mb: int


def machines_of(servers: Iterable[Server]) -> list[Machine]:
    """The machines of these servers, in the order of the first server of each."""
    by_machine: dict[tuple[int, int], list[Server]] = {}
    for server in servers:
        alone = 0 if server.machine else server.server_id
        by_machine.setdefault((server.machine, alone), []).append(server)
    return [Machine(number, on_it) for (number, _), on_it in by_machine.items()]


def hardware_of(machines: Iterable[Machine]) -> Hardware:
    known = [machine.capabilities for machine in machines]
    return Hardware(
        machines=len(known),
        cpu_cores=sum(one.cpu_cores for one in known if one),
        total_memory_mb=sum(one.total_memory_mb for one in known if one),
    )
