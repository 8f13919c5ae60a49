"""The one rule for all paths that a setting or an option names: only regular files are replaced,
renamed or removed.

Without it, a process that runs as root and is given /dev/null would put a regular file in the
place of the device, for every program on the machine.
"""

import errno
import os
import stat
from pathlib import Path

from domain.file_kind import other_kind

# Opened by its name, standard output would start again at the beginning of the file that it is
# redirected to.
_OWN_STREAMS = {"/dev/stdout": 1, "/dev/stderr": 2}


class NotARegularFile(OSError):
    """A device, pipe, socket or directory is at the path, or where the link at the path leads."""

    def __init__(self, path: Path, kind: str) -> None:
        super().__init__(errno.EINVAL, f"{path} is {kind}, not a regular file")


def check_regular(path: Path) -> None:
    """Raises NotARegularFile, and another OSError if the path cannot be examined.

    A missing file passes, and so does a link to one. A link to a regular file passes too: to
    replace or remove it affects the link alone.
    """
    try:
        kind = other_kind(path.stat().st_mode)
    except FileNotFoundError:
        return
    if kind:
        raise NotARegularFile(path, kind)


def rename_file(source: Path, target: Path) -> None:
    """Rename a file, and replace the target if there is one. Raises OSError."""
    check_regular(source)
    check_regular(target)
    source.replace(target)


def remove_file(path: Path) -> None:
    """Remove a file if there is one. Raises OSError."""
    check_regular(path)
    path.unlink(missing_ok=True)


def create_or_open_stream(path: Path, mode: int) -> tuple[int, bool]:
    """A descriptor to write to, and whether the file was created by this call.

    A character device, a pipe and this process's standard output and error are written to as they
    are, so that /dev/null, /dev/stdout and a shell's >(command) work. Opening a pipe waits for its
    reader. Everything else must not exist yet, and is created with this mode. Raises
    FileExistsError, NotARegularFile and other OSErrors.
    """
    if str(path) in _OWN_STREAMS:
        return os.dup(_OWN_STREAMS[str(path)]), False
    try:
        found = path.stat().st_mode
    except FileNotFoundError:
        found = stat.S_IFREG
    if stat.S_ISCHR(found) or stat.S_ISFIFO(found):
        return os.open(path, os.O_WRONLY | os.O_NOCTTY), False
    check_regular(path)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), True
