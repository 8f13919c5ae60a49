"""JSON files that only their owner can read, with a checksum that detects a partial restore."""

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from adapters.system.files.atomic_file import sync_folder, write_atomically
from adapters.system.files.regular_file import check_regular
from domain.errors import InvalidField

CHECKSUM = "checksum"
# What reading a file raises that was not written by `write_with_checksum`.
DAMAGE = (InvalidField, LookupError, RecursionError, TypeError, ValueError)

_MAX_BYTES = 2**20
_MAX_NUMBER = 2**63 - 1


def read_with_checksum(path: Path) -> dict[str, Any]:
    """The fields, if they are as they were written. Raises OSError, and the errors of DAMAGE."""
    content = _content(path)
    if len(content) > _MAX_BYTES:
        raise ValueError("too large")
    fields = json.loads(content)
    if not isinstance(fields, dict):
        raise TypeError("not an object")
    if fields[CHECKSUM] != _checksum(fields):
        raise ValueError(CHECKSUM)
    return fields


def write_with_checksum(path: Path, fields: Mapping[str, object]) -> None:
    """Writes the file as a whole or not at all. Raises OSError."""
    text = json.dumps({**fields, CHECKSUM: _checksum(fields)}, indent=2)
    write_atomically(path, f"{text}\n")
    sync_folder(path.parent)


def integer_field(fields: Mapping[str, Any], key: str, minimum: int) -> int:
    value = fields[key]
    if type(value) is not int or not minimum <= value <= _MAX_NUMBER:
        raise TypeError(key)
    return value


def text_field(fields: Mapping[str, Any], key: str) -> str:
    value = fields[key]
    if not isinstance(value, str):
        raise TypeError(key)
    return value


def boolean_field(fields: Mapping[str, Any], key: str) -> bool:
    value = fields[key]
    if not isinstance(value, bool):
        raise TypeError(key)
    return value


def _content(path: Path) -> bytes:
    check_regular(path)
    # If a pipe has taken the place of the file since, do not wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(_MAX_BYTES + 1) or b""


def _checksum(fields: Mapping[str, object]) -> str:
    """The checksum of all other fields; the layout of the file does not matter."""
    summed = {key: value for key, value in fields.items() if key != CHECKSUM}
    canonical = json.dumps(summed, sort_keys=True, separators=(",", ":"))
    return f"sha256:{sha256(canonical.encode()).hexdigest()}"
