import fcntl
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from adapters.system.atomic_file import make_folder, sync_folder, write_atomically
from application.ports.state_folder import KeptState, NotForUs, StateFolderTaken
from domain.errors import InvalidField
from domain.identity import KINDS, Evidence, check_evidence
from domain.naming import check_environment, check_name

_log = logging.getLogger(__name__)

STATE = "state.json"
_LOCK = ".lock"
_VERSION = 1
_LARGEST_BYTES = 2**20
_LARGEST_NUMBER = 2**63 - 1
_CHECKSUM = "checksum"
_OURS = ("version", "server_id", "name", "environment", "ephemeral", "epoch", "instance_id")


# What comes of reading what nobody wrote.
_DAMAGE = (InvalidField, LookupError, RecursionError, TypeError, ValueError)


class _LaterVersion(Exception):
    pass


@dataclass
class DiskStateFolder:
    """One file, state.json, for the owner only, with a checksum by which one that is half
    restored is noticed.

    A folder that does not exist is made for the owner only; one that does is left as it is.
    """

    path: Path
    _lock: int | None = field(init=False, default=None)
    _of_others: Mapping[str, object] = field(init=False, default_factory=dict)

    def take(self) -> None:
        if self._lock is not None:
            return
        make_folder(self.path, mode=0o700)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        descriptor = os.open(self.path / _LOCK, flags, 0o600)
        try:
            # It ends with the process, however that ends.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise StateFolderTaken(
                f"STATE_DIR {self.path} is in use by another host manager: stop that one, or give"
                " this one a STATE_DIR of its own."
            ) from None
        except OSError:
            os.close(descriptor)
            raise
        self._lock = descriptor

    def read(self) -> KeptState | None:
        try:
            content = self._content()
        except FileNotFoundError:
            return None
        try:
            fields = _checked(content)
            state = _understood(fields)
        except _LaterVersion:
            self._warn(
                NotForUs.OF_A_LATER_VERSION,
                "was written by a later version of the host manager",
                "if it was this host's, start that version with it again",
            )
            return None
        except _DAMAGE:
            self._warn(
                NotForUs.DAMAGED,
                "is damaged",
                "if it was restored from a backup, restore it again",
            )
            return None
        self._of_others = {key: value for key, value in fields.items() if key not in _ALL_OURS}
        return state

    def glance(self) -> KeptState | None:
        """What `read` would return, for somebody who changes nothing. Never raises."""
        try:
            return _understood(_checked(self._content()))
        except (OSError, _LaterVersion, *_DAMAGE):
            return None

    def write(self, state: KeptState) -> None:
        evidence = {kind: getattr(state.evidence, kind) for kind in KINDS}
        fields = {
            "version": _VERSION,
            "server_id": state.server_id,
            "name": state.name,
            "environment": state.environment,
            "ephemeral": state.ephemeral,
            "epoch": state.epoch,
            "instance_id": state.evidence.instance_id,
            "evidence": evidence,
            "credential": state.credential,
            **self._of_others,
        }
        text = json.dumps({**fields, _CHECKSUM: _checksum(fields)}, indent=2)
        write_atomically(self.path / STATE, f"{text}\n")
        sync_folder(self.path)

    def set_aside(self, why: NotForUs) -> str:
        # What was in it for a later version belongs to whom it belonged.
        self._of_others = {}
        aside = self.path / f"{STATE}.{why}"
        (self.path / STATE).replace(aside)
        sync_folder(self.path)
        return str(aside)

    def forget(self) -> None:
        self._of_others = {}
        (self.path / STATE).unlink(missing_ok=True)
        sync_folder(self.path)

    def _content(self) -> bytes:
        # Whatever lies there, nobody waits for it.
        descriptor = os.open(self.path / STATE, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(_LARGEST_BYTES + 1) or b""

    def _warn(self, why: NotForUs, what: str, cure: str) -> None:
        aside = self.set_aside(why)
        _log.warning(
            "%s %s: it is set aside as %s, and this host starts without it; %s.",
            self.path / STATE,
            what,
            aside,
            cure,
        )


_ALL_OURS = {*_OURS, "evidence", "credential", _CHECKSUM}


def _checked(content: bytes) -> dict[str, Any]:
    """The fields, when they are as they were written."""
    if len(content) > _LARGEST_BYTES:
        raise ValueError("too large")
    fields = json.loads(content)
    if not isinstance(fields, dict):
        raise TypeError("no object")
    if fields[_CHECKSUM] != _checksum(fields):
        raise ValueError(_CHECKSUM)
    return fields


def _checksum(fields: Mapping[str, object]) -> str:
    """Of everything but itself; how the file is laid out does not matter."""
    summed = {key: value for key, value in fields.items() if key != _CHECKSUM}
    canonical = json.dumps(summed, sort_keys=True, separators=(",", ":"))
    return f"sha256:{sha256(canonical.encode()).hexdigest()}"


def _understood(fields: Mapping[str, Any]) -> KeptState:
    if _whole_number(fields, "version", least=1) > _VERSION:
        raise _LaterVersion
    evidence = fields["evidence"]
    digests = {kind: _text(evidence, kind) for kind in KINDS}
    state = KeptState(
        server_id=_whole_number(fields, "server_id", least=1),
        name=_text(fields, "name"),
        environment=_text(fields, "environment"),
        ephemeral=_switch(fields, "ephemeral"),
        epoch=_whole_number(fields, "epoch", least=0),
        evidence=Evidence(**digests, instance_id=_text(fields, "instance_id")),
        # What an earlier version wrote has none.
        credential=_text({"credential": "", **fields}, "credential"),
    )
    check_name(state.name)
    check_environment(state.environment)
    check_evidence(state.evidence)
    return state


def _whole_number(fields: Mapping[str, Any], key: str, least: int) -> int:
    value = fields[key]
    if type(value) is not int or not least <= value <= _LARGEST_NUMBER:
        raise TypeError(key)
    return value


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields[key]
    if not isinstance(value, str):
        raise TypeError(key)
    return value


def _switch(fields: Mapping[str, Any], key: str) -> bool:
    value = fields[key]
    if not isinstance(value, bool):
        raise TypeError(key)
    return value
