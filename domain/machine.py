"""The machines behind the servers: several host managers may run on one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from domain.capabilities import Capabilities
from domain.server import Server

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Machine:
    """`number` is 0 where it is not known which machine a server is on; then it is alone."""

    number: int
    servers: Sequence[Server]

    @property
    def capabilities(self) -> Capabilities | None:
        """As its most recently seen server has reported them, of those that have."""
        reports = [
            (server.presence.last_seen or _NEVER, server.server_id, server.capabilities)
            for server in self.servers
            if server.capabilities
        ]
        return max(reports, key=lambda report: report[:2])[2] if reports else None


@dataclass(frozen=True, slots=True)
class Hardware:
    """What so many machines have together, each of them counted once."""

    machines: int
    cpu_cores: int
    total_memory_mb: int


def machines_of(servers: Iterable[Server]) -> list[Machine]:
    """The machines on which the servers are, in the order of the first server of each."""
    found: dict[tuple[int, int], list[Server]] = {}
    for server in servers:
        alone = 0 if server.machine else server.server_id
        found.setdefault((server.machine, alone), []).append(server)
    return [Machine(number, of_it) for (number, _), of_it in found.items()]


def hardware_of(machines: Iterable[Machine]) -> Hardware:
    known = [machine.capabilities for machine in machines]
    return Hardware(
        machines=len(known),
        cpu_cores=sum(one.cpu_cores for one in known if one),
        total_memory_mb=sum(one.total_memory_mb for one in known if one),
    )
