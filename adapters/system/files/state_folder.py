import fcntl
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapters.system.files.atomic_file import make_folder, sync_folder
from adapters.system.files.checksummed_file import (
    CHECKSUM,
    DAMAGE,
    read_checked,
    text_of,
    whole_number_of,
    write_checked,
)
from application.ports.host.state_folder import QuarantineReason, SavedState, StateFolderTaken
from domain.machine_evidence import KINDS, Evidence, check_evidence
from domain.naming import check_environment, check_name

_log = logging.getLogger(__name__)

STATE = "state.json"
# The certificate of the server that the state is about.
CERTIFICATE = "certificate.json"
_LOCK = ".lock"
_VERSION = 1
_OURS = ("version", "server_id", "name", "environment", "ephemeral", "epoch", "instance_id")


class _LaterVersion(Exception):
    pass


@dataclass
class DiskStateFolder:
    """One file, state.json, for the owner only, with a checksum by which one that is half
    restored is noticed.

    A folder that does not exist is made for the owner only; one that does is left as it is. What
    is kept of a server's certificate goes with its state.
    """

    path: Path
    _lock: int | None = field(init=False, default=None)
    _of_others: Mapping[str, object] = field(init=False, default_factory=dict)

    def lock(self) -> None:
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

    def read(self) -> SavedState | None:
        try:
            fields = read_checked(self.path / STATE)
            state = _understood(fields)
        except FileNotFoundError:
            return None
        except _LaterVersion:
            self._warn(
                QuarantineReason.OF_A_LATER_VERSION,
                "was written by a later version of the host manager",
                "if it was this host's, start that version with it again",
            )
            return None
        except DAMAGE:
            self._warn(
                QuarantineReason.DAMAGED,
                "is damaged",
                "if it was restored from a backup, restore it again",
            )
            return None
        self._of_others = {key: value for key, value in fields.items() if key not in _ALL_OURS}
        return state

    def peek(self) -> SavedState | None:
        """What `read` would return, for somebody who changes nothing. Never raises."""
        try:
            return _understood(read_checked(self.path / STATE))
        except (OSError, _LaterVersion, *DAMAGE):
            return None

    def write(self, state: SavedState) -> None:
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
        write_checked(self.path / STATE, fields)

    def quarantine(self, why: QuarantineReason) -> str:
        # What was in it for a later version belongs to whom it belonged.
        self._of_others = {}
        aside = self.path / f"{STATE}.{why}"
        (self.path / STATE).replace(aside)
        # Another one is issued for the asking.
        (self.path / CERTIFICATE).unlink(missing_ok=True)
        sync_folder(self.path)
        return str(aside)

    def forget(self) -> None:
        self._of_others = {}
        (self.path / STATE).unlink(missing_ok=True)
        (self.path / CERTIFICATE).unlink(missing_ok=True)
        sync_folder(self.path)

    def _warn(self, why: QuarantineReason, what: str, cure: str) -> None:
        aside = self.quarantine(why)
        _log.warning(
            "%s %s: it is set aside as %s, and this host starts without it; %s.",
            self.path / STATE,
            what,
            aside,
            cure,
        )


_ALL_OURS = {*_OURS, "evidence", "credential", CHECKSUM}


def _understood(fields: Mapping[str, Any]) -> SavedState:
    if whole_number_of(fields, "version", least=1) > _VERSION:
        raise _LaterVersion
    evidence = fields["evidence"]
    digests = {kind: text_of(evidence, kind) for kind in KINDS}
    state = SavedState(
        server_id=whole_number_of(fields, "server_id", least=1),
        name=text_of(fields, "name"),
        environment=text_of(fields, "environment"),
        ephemeral=_switch(fields, "ephemeral"),
        epoch=whole_number_of(fields, "epoch", least=0),
        evidence=Evidence(**digests, instance_id=text_of(fields, "instance_id")),
        # What an earlier version wrote has none.
        credential=text_of({"credential": "", **fields}, "credential"),
    )
    check_name(state.name)
    check_environment(state.environment)
    check_evidence(state.evidence)
    return state


def _switch(fields: Mapping[str, Any], key: str) -> bool:
    value = fields[key]
    if not isinstance(value, bool):
        raise TypeError(key)
    return value
