import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from adapters.docker.machine import DockerMachine
from application.ports.host.machine import EngineUnavailable


@dataclass(frozen=True)
class EngineSearch:
    """Where an engine answers, when it does not where it was looked for."""

    machine: DockerMachine
    home: Path
    run: Path = Path("/run")

    def __call__(self) -> Path | None:
        for path in self._places():
            if path != self.machine.socket_path and path.is_socket():
                try:
                    replace(self.machine, socket_path=path, timeout_seconds=1.0).report()
                except EngineUnavailable:
                    continue
                return path
        return None

    def _places(self) -> Iterator[Path]:
        # Docker Desktop's, beside the usual one and in the home folder.
        yield Path(f"{self.machine.socket_path}.raw")
        yield self.home / ".docker/run/docker.sock"
        yield self.home / ".docker/desktop/docker.sock"
        yield self.run / "docker.sock"
        # An engine without root has its socket where its user's session has its files.
        yield self.run / f"user/{os.geteuid()}/docker.sock"
