"""Checks that a test run leaves the machine's devices, configuration and mounts unchanged.

Once a run as root left a machine with a regular file in place of /dev/null.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

FOLDERS = (Path("/dev"), Path("/etc"))
# Terminals and shared memory come and go with every process.
TRANSIENT = {Path("/dev/pts"), Path("/dev/shm"), Path("/dev/mqueue"), Path("/dev/fd")}

# Mounts that come and go with the machine's own containers; shm is a container's shared memory.
TRANSIENT_KINDS = {"overlay", "nsfs"}
TRANSIENT_DEVICES = {"shm"}


def machine_state() -> Mapping[str, str]:
    """By path: type, mode, owner and device number of every file; and by mount point what is
    mounted there."""
    state = {str(path): _described(path.lstat()) for path in _files()}
    for mount in Path("/proc/self/mounts").read_text().splitlines():
        device, point, kind, *_ = mount.split()
        if kind not in TRANSIENT_KINDS and device not in TRANSIENT_DEVICES:
            state[f"mount {point}"] = f"{device} {kind}"
    return state


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """A line for each file and mount that was added, removed or changed."""
    return [
        f"{name}: {before.get(name, 'absent')} before, {after.get(name, 'absent')} after"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _files() -> Iterator[Path]:
    for top in FOLDERS:
        for folder, folders, files in os.walk(top):
            folders[:] = [name for name in folders if Path(folder, name) not in TRANSIENT]
            for name in [*folders, *files]:
                path = Path(folder, name)
                if path not in TRANSIENT and os.path.lexists(path):
                    yield path


def _described(status: os.stat_result) -> str:
    owner = f"{status.st_uid}:{status.st_gid}"
    return f"{stat.filemode(status.st_mode)} {owner} {status.st_rdev}"
