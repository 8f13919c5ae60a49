"""Fake machines for host managers: each is a folder with the files that identify a machine."""

from __future__ import annotations

import secrets
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.fake_servers import engine

_MACHINE_ID = "etc/machine-id"
_HARDWARE_ID = "sys/class/dmi/id/product_uuid"
_BOOT_ID = "proc/sys/kernel/random/boot_id"
_ENGINE_ID = "var/lib/docker/engine-id"
_STATE = "var/lib/manmanv2-host"


@dataclass(frozen=True)
class FakeMachine:
    """`root` is its file system, for HOST_ROOT. Make one with `fresh`.

    Start a host manager on it by `start_host(address, **machine.settings)`, and on its disk,
    where it keeps its state, by `start_host(address, **machine.settings_with_state)`.
    """

    root: Path

    @classmethod
    def fresh(cls, root: Path) -> FakeMachine:
        """A new machine with random identifiers, in a new folder."""
        machine = cls(root)
        machine._install()
        machine._write(_HARDWARE_ID, str(uuid.uuid4()))
        machine.reboot()
        return machine

    @property
    def settings(self) -> dict[str, str]:
        return {"HOST_ROOT": str(self.root)}

    @property
    def settings_with_state(self) -> dict[str, str]:
        return {**self.settings, "STATE_DIR": str(self.state_dir)}

    @property
    def identifiers(self) -> list[Path]:
        """The files whose contents must not leave the machine."""
        return [self.root / path for path in (_MACHINE_ID, _HARDWARE_ID, _BOOT_ID, _ENGINE_ID)]

    @property
    def state_dir(self) -> Path:
        return self.root / _STATE

    def reboot(self) -> None:
        self._write(_BOOT_ID, str(uuid.uuid4()))

    def reimage(self) -> None:
        """A new installation on the same board: the old contents of the disk are lost."""
        shutil.rmtree(self.state_dir, ignore_errors=True)
        self._install()
        self.reboot()

    def clone(self, root: Path, *, while_running: bool = False) -> FakeMachine:
        """Another machine with a copy of this one's disk, including its state.

        A machine that is copied while it runs, with its memory, also has the same boot id.
        """
        shutil.copytree(self.root, root)
        other = FakeMachine(root)
        other._write(_HARDWARE_ID, str(uuid.uuid4()))
        if not while_running:
            other.reboot()
        return other

    @contextmanager
    def docker(self) -> Iterator[dict[str, str]]:
        """Run a Docker engine on the machine; yields the settings to use it."""
        socket = self.root / "docker.sock"
        with engine(socket, ID=(self.root / _ENGINE_ID).read_text().strip()):
            yield {**self.settings, "DOCKER_SOCKET": str(socket)}

    def _install(self) -> None:
        self._write(_MACHINE_ID, secrets.token_hex(16))
        self._write(_ENGINE_ID, str(uuid.uuid4()))

    def _write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
