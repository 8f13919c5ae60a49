import re
from pathlib import Path

_MARKER_FILES = (".dockerenv", "run/.containerenv")
_CONTAINER_GROUP = re.compile(r"\b(docker|kubepods|containerd|libpod)\b")


def runs_in_container(root: Path = Path("/")) -> bool:
    """Whether this process sees a container's file system and hostname, not the machine's."""
    if any((root / marker).exists() for marker in _MARKER_FILES):
        return True
    try:
        groups = (root / "proc/self/cgroup").read_text()
    except OSError:
        return False
    return bool(_CONTAINER_GROUP.search(groups))
