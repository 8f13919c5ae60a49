"""Files of JSON for their owner only, with a checksum by which one that is half restored is
noticed."""

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from adapters.system.files.atomic_file import sync_folder, write_atomically
from domain.errors import InvalidField

CHECKSUM = "checksum"
# What comes of reading what nobody wrote.
DAMAGE = (InvalidField, LookupError, RecursionError, TypeError, ValueError)

_MAX_BYTES = 2**20
_MAX_NUMBER = 2**63 - 1


def read_checked(path: Path) -> dict[str, Any]:
    """The fields, when they are as they were written. Raises OSError, and what DAMAGE names."""
    content = _content(path)
    if len(content) > _MAX_BYTES:
        raise ValueError("too large")
    fields = json.loads(content)
    if not isinstance(fields, dict):
        raise TypeError("no object")
    if fields[CHECKSUM] != _checksum(fields):
        raise ValueError(CHECKSUM)
    return fields


def write_checked(path: Path, fields: Mapping[str, object]) -> None:
    """Wholly or not at all. Raises OSError."""
    text = json.dumps({**fields, CHECKSUM: _checksum(fields)}, indent=2)
    write_atomically(path, f"{text}\n")
    sync_folder(path.parent)


def whole_number_of(fields: Mapping[str, Any], key: str, least: int) -> int:
    value = fields[key]
    if type(value) is not int or not least <= value <= _MAX_NUMBER:
        raise TypeError(key)
    return value


def text_of(fields: Mapping[str, Any], key: str) -> str:
    value = fields[key]
    if not isinstance(value, str):
        raise TypeError(key)
    return value


def _content(path: Path) -> bytes:
    # Whatever lies there, nobody waits for it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(_MAX_BYTES + 1) or b""


def _checksum(fields: Mapping[str, object]) -> str:
    """Of everything but itself; how the file is laid out does not matter."""
    summed = {key: value for key, value in fields.items() if key != CHECKSUM}
    canonical = json.dumps(summed, sort_keys=True, separators=(",", ":"))
    return f"sha256:{sha256(canonical.encode()).hexdigest()}"
