import os
from pathlib import Path


def write_problem(folder: Path) -> str:
    """Why this user cannot write files in a directory, for example "cannot be written to by …".

    Empty if it can. A missing directory can be created if the nearest existing one above it is
    writable.
    """
    existing = folder.absolute()
    try:
        while not existing.exists():
            existing = existing.parent
    except OSError as error:
        return f"cannot be examined ({error.strerror})"
    if not existing.is_dir():
        if existing == folder.absolute():
            return "is not a directory"
        return f"is below {existing}, which is not a directory"
    if not os.access(existing, os.W_OK | os.X_OK, effective_ids=True):
        return f"cannot be written to by this user (uid {os.geteuid()})"
    return ""
