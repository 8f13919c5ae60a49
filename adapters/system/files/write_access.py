import os
from pathlib import Path


def why_not_writable(folder: Path) -> str:
    """Why this user may not keep files in a folder, as "cannot be written to …"; empty if it may.

    One that does not exist can be made where the next one above it is writable.
    """
    existing = folder.absolute()
    try:
        while not existing.exists():
            existing = existing.parent
    except OSError as error:
        return f"cannot be looked at ({error.strerror})"
    if not existing.is_dir():
        return "is no folder" if existing == folder.absolute() else f"lies below {existing}, a file"
    if not os.access(existing, os.W_OK | os.X_OK, effective_ids=True):
        return f"cannot be written to by this user (uid {os.geteuid()})"
    return ""
