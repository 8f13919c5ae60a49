import os
import stat
from dataclasses import dataclass
from pathlib import Path

from domain.digest import digest, identifier_in
from domain.machine_evidence import Evidence

# The first file that holds an identifier counts.
_MACHINE_ID = ("etc/machine-id", "var/lib/dbus/machine-id")
# Not the serial numbers in the same directory: many are placeholders, and they are short enough to
# be guessed from their digests.
_HARDWARE_ID = "sys/class/dmi/id/product_uuid"
_BOOT_ID = "proc/sys/kernel/random/boot_id"
# The name in LoadCredential of the systemd unit, whose user cannot read the file itself.
_CREDENTIAL = "hardware-id"

_MAX_BYTES = 64


@dataclass(frozen=True)
class FileMachineEvidence:
    """Reads identifiers from files below the root of the machine.

    `credentials` is the directory in which the service manager passes credentials, None without
    one.
    """

    root: Path
    credentials: Path | None
    # Whether the root is that of a container: then its machine-id is the container's too.
    in_container: bool

    def read(self) -> Evidence:
        machine_id = "" if self.in_container else self._first(*_MACHINE_ID)
        hardware_id = self._first(_HARDWARE_ID) or self._credential()
        return Evidence(
            machine_id=digest("machine-id", machine_id),
            hardware_id=digest("hardware-id", hardware_id),
            boot_id=digest("boot-id", self._first(_BOOT_ID)),
        )

    def _first(self, *paths: str) -> str:
        identifiers = (_identifier(self.root, self.root / path) for path in paths)
        return next(filter(None, identifiers), "")

    def _credential(self) -> str:
        if self.credentials is None:
            return ""
        return _identifier(self.credentials, self.credentials / _CREDENTIAL)


def _identifier(root: Path, path: Path) -> str:
    """Empty if the file cannot be read or holds no identifier."""
    try:
        real = path.resolve()
        if not real.is_relative_to(root.resolve()):
            # An absolute link leads out of a root that is mounted elsewhere, to a file that does
            # not belong to this machine.
            return ""
        # If it is a pipe, do not wait for its writer.
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return ""
            content = file.read(_MAX_BYTES + 1)
        return identifier_in(content.decode("ascii")) if len(content) <= _MAX_BYTES else ""
    except (OSError, RuntimeError, ValueError):
        return ""
