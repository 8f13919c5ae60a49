import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import mark_process_dead

# The variable that names the directory to each process. prometheus_client reads it on import.
DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_PREFIX = "manmanv2-metrics-"
# The name for all processes that have ended: their values are merged into one file of each kind.
_ENDED = "ended"
_SUMMED = ("counter", "histogram")


class MultiprocessDir:
    """The directory in which the processes of an API keep their metrics, so that one can serve all.

    Removes the directories that killed predecessors left behind. Raises OSError if no directory
    can be created.
    """

    def __init__(self) -> None:
        _remove_stale()
        self.path = tempfile.mkdtemp(prefix=_PREFIX)
        # Locked for as long as this process lives, however it ends.
        self._lock = os.open(self.path, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def recreate(self) -> None:
        """Create the directory again if something has cleaned it up. Raises OSError."""
        Path(self.path).mkdir(mode=0o700, exist_ok=True)

    def merge(self, pid: int) -> None:
        """Move the values of an ended process to the files of all that have ended."""
        with suppress(OSError):
            mark_process_dead(pid, path=self.path)  # type: ignore[no-untyped-call]
            for kind in _SUMMED:
                _add(Path(self.path, f"{kind}_{pid}.db"), Path(self.path, f"{kind}_{_ENDED}.db"))

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def allocate_files(directory: str) -> None:
    """Allocate the disk space of this process's files now.

    The files are mapped into memory: without this, a write on a full disk would kill the process.
    Raises OSError.
    """
    for file in Path(directory).glob(f"*_{os.getpid()}.db"):
        with file.open("rb+") as opened:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)


def _add(source: Path, target: Path) -> None:
    if not source.exists():
        return
    ended = MmapedDict(str(target))  # type: ignore[no-untyped-call]
    for key, value, _, _ in MmapedDict.read_all_values_from_file(str(source)):  # type: ignore[no-untyped-call]
        before, _ = ended.read_value(key)  # type: ignore[no-untyped-call]
        ended.write_value(key, before + value, 0.0)  # type: ignore[no-untyped-call]
    ended.close()  # type: ignore[no-untyped-call]
    source.unlink()


def _remove_stale() -> None:
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # Leave alone what belongs to another user, is in use, or is being removed by its owner.
        with suppress(OSError):
            opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(directory)
            finally:
                os.close(opened)
