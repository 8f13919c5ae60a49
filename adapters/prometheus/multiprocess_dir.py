import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import mark_process_dead

# The variable that names it to each process; prometheus_client reads it when it is loaded.
COUNT_IN = "PROMETHEUS_MULTIPROC_DIR"

_PREFIX = "manmanv2-metrics-"
# Of processes that have ended: what they counted is one file of each kind.
_ENDED = "ended"
_SUMMED = ("counter", "histogram")


class SharedFolder:
    """Where the processes of an API keep what they count, so that one of them can tell for all.

    Raises OSError where none can be made. Takes away those that a killed predecessor has left.
    """

    def __init__(self) -> None:
        _remove_stale()
        self.path = tempfile.mkdtemp(prefix=_PREFIX)
        # Held for as long as this process lives, however it ends.
        self._lock = os.open(self.path, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def make_again(self) -> None:
        """Where somebody has tidied it away. Raises OSError."""
        Path(self.path).mkdir(mode=0o700, exist_ok=True)

    def fold(self, pid: int) -> None:
        """Keep what an ended process counted in the file of all that have ended."""
        with suppress(OSError):
            mark_process_dead(pid, path=self.path)  # type: ignore[no-untyped-call]
            for kind in _SUMMED:
                _add(Path(self.path, f"{kind}_{pid}.db"), Path(self.path, f"{kind}_{_ENDED}.db"))

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def reserve_room(path: str) -> None:
    """See that the files of this process lie on the disk as large as they are.

    They are mapped into memory: without it, writing to one on a full disk ends the process.
    Raises OSError.
    """
    for file in Path(path).glob(f"*_{os.getpid()}.db"):
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
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # Another user's, or one that its owner removes just now, is none of ours.
        with suppress(OSError):
            opened = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(opened)
