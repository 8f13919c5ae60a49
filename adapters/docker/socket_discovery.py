import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from adapters.docker.machine import DockerMachine
from application.ports.host.machine import EngineUnavailable


@dataclass(frozen=True)
class SocketDiscovery:
    """Searches the other usual places for a socket on which an engine answers."""

    machine: DockerMachine
    home: Path
    run: Path = Path("/run")
    # For each place: an engine on this machine answers within milliseconds.
    timeout_seconds: float = 1.0

    def __call__(self) -> Path | None:
        for path in self._candidates():
            if path != self.machine.socket_path and path.is_socket():
                try:
                    replace(
                        self.machine, socket_path=path, timeout_seconds=self.timeout_seconds
                    ).report()
                except EngineUnavailable:
                    continue
                return path
        return None

    def _candidates(self) -> Iterator[Path]:
        # Docker Desktop: beside the usual socket and in the home directory.
        yield Path(f"{self.machine.socket_path}.raw")
        yield self.home / ".docker/run/docker.sock"
        yield self.home / ".docker/desktop/docker.sock"
        yield self.run / "docker.sock"
        # A rootless engine has its socket in the runtime directory of its user.
        yield self.run / f"user/{os.geteuid()}/docker.sock"
