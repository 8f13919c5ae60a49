"""Files that exist as a whole or not at all, whenever the machine stops."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from adapters.system.files.regular_file import check_regular, remove_file, rename_file

# The end of the name of a file that is being written.
UNFINISHED = ".manmanv2-unfinished"


def make_folder(path: Path, mode: int = 0o777) -> None:
    """Leaves an existing directory as it is. Raises OSError; NotADirectoryError for a file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode, exist_ok=True)
    except FileExistsError:
        # "File exists" would not say what is wrong with the file.
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from None


def write_atomically(path: Path, text: str) -> None:
    """Writes a file that only its owner can read.

    It survives a crash once `sync_folder` has returned. Raises OSError, NotARegularFile if
    something else is at the path.
    """
    check_regular(path)
    unfinished = _unfinished(path)
    remove_file(unfinished)
    # Always a new file with this mode, so that nobody else can read it before it is renamed.
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(descriptor)
    rename_file(unfinished, path)


def replace_atomically(path: Path, text: str, mode: int) -> None:
    """Writes a file with the owner and mode of the one that it replaces.

    A new file gets this process's owner and the given mode. Raises OSError, also if the owner is
    somebody else and only root could preserve it; NotARegularFile if something else is at the path.
    """
    check_regular(path)
    unfinished = _unfinished(path)
    write_atomically(unfinished, text)
    try:
        with suppress(FileNotFoundError):
            replaced = path.stat()
            mode = stat.S_IMODE(replaced.st_mode)
            os.chown(unfinished, replaced.st_uid, replaced.st_gid)
        unfinished.chmod(mode)
        rename_file(unfinished, path)
    except OSError:
        unfinished.unlink()
        raise


def sync_folder(path: Path) -> None:
    """Write the names in a directory to the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}{UNFINISHED}")
