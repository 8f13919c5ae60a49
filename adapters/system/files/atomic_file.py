"""Files that are there as a whole or not at all, whenever the machine stops."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

# The end of the name of a file that is being written.
UNFINISHED = ".manmanv2-unfinished"


def make_folder(path: Path, mode: int = 0o777) -> None:
    """One that is there is left as it is. Raises OSError; NotADirectoryError for a file there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(mode, exist_ok=True)
    except FileExistsError:
        # "File exists" would tell nobody what is wrong with it.
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from None


def write_atomically(path: Path, text: str) -> None:
    """For the owner only. It is to be found after a crash once `sync_folder` has returned.

    Raises OSError.
    """
    aside = path.with_name(f".{path.name}{UNFINISHED}")
    aside.unlink(missing_ok=True)
    # Made anew and for the owner only, so that nobody reads it before it is renamed.
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(descriptor)
    aside.replace(path)


def replace_atomically(path: Path, text: str, mode: int) -> None:
    """With the owner and the mode of the file that is there, else for ours and of this mode.

    Raises OSError, also where the owner is another and only root could keep it so.
    """
    aside = path.with_name(f".{path.name}{UNFINISHED}")
    write_atomically(aside, text)
    try:
        with suppress(FileNotFoundError):
            there = path.stat()
            mode = stat.S_IMODE(there.st_mode)
            os.chown(aside, there.st_uid, there.st_gid)
        aside.chmod(mode)
        aside.replace(path)
    except OSError:
        aside.unlink()
        raise


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
