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
    boolean_field,
    integer_field,
    read_with_checksum,
    text_field,
    write_with_checksum,
)
from adapters.system.files.regular_file import check_regular, remove_file, rename_file
from application.ports.host.state_folder import QuarantineReason, SavedState, StateFolderTaken
from domain.machine_evidence import KINDS, Evidence, check_evidence
from domain.naming import check_environment, check_name

_log = logging.getLogger(__name__)

STATE = "state.json"
# The certificate of the server that the state describes.
CERTIFICATE = "certificate.json"
_LOCK = ".lock"
_VERSION = 1
_OWN_FIELDS = {
    *("version", "server_id", "name", "environment", "ephemeral", "epoch", "instance_id"),
    *("evidence", "credential", CHECKSUM),
}


class _LaterVersion(Exception):
    pass


@dataclass
class DiskStateFolder:
    """One file, state.json, that only its owner can read, with a checksum that detects a partial
    restore.

    A missing directory is created for the owner only; an existing one keeps its mode. The
    certificate of a server is removed with its state.
    """

    path: Path
    _lock: int | None = field(init=False, default=None)
    # Fields of a later version, which are written back unchanged.
    _foreign_fields: Mapping[str, object] = field(init=False, default_factory=dict)

    def lock(self) -> None:
        if self._lock is not None:
            return
        make_folder(self.path, mode=0o700)
        check_regular(self.path / _LOCK)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        descriptor = os.open(self.path / _LOCK, flags, 0o600)
        try:
            # The lock is released when the process ends, however it ends.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise StateFolderTaken(
                f"STATE_DIR {self.path} is in use by another host manager",
                "stop that one, or give this one a STATE_DIR of its own",
            ) from None
        except OSError:
            os.close(descriptor)
            raise
        self._lock = descriptor

    def read(self) -> SavedState | None:
        try:
            fields = read_with_checksum(self.path / STATE)
            state = _parse(fields)
        except FileNotFoundError:
            return None
        except _LaterVersion:
            self._quarantine_and_warn(
                QuarantineReason.OF_A_LATER_VERSION,
                "was written by a later version of the host manager",
                "if it belongs to this host, start that version again",
            )
            return None
        except DAMAGE:
            self._quarantine_and_warn(
                QuarantineReason.DAMAGED,
                "is damaged",
                "if it was restored from a backup, restore it again",
            )
            return None
        self._foreign_fields = {
            key: value for key, value in fields.items() if key not in _OWN_FIELDS
        }
        return state

    def peek(self) -> SavedState | None:
        """Like `read`, but changes nothing and never raises."""
        try:
            return _parse(read_with_checksum(self.path / STATE))
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
            **self._foreign_fields,
        }
        write_with_checksum(self.path / STATE, fields)

    def quarantine(self, why: QuarantineReason) -> str:
        # Fields of a later version belong to the state that is set aside.
        self._foreign_fields = {}
        quarantined = self.path / f"{STATE}.{why}"
        rename_file(self.path / STATE, quarantined)
        # The API issues another one on request.
        remove_file(self.path / CERTIFICATE)
        sync_folder(self.path)
        return str(quarantined)

    def forget(self) -> None:
        self._foreign_fields = {}
        remove_file(self.path / STATE)
        remove_file(self.path / CERTIFICATE)
        sync_folder(self.path)

    def _quarantine_and_warn(self, why: QuarantineReason, problem: str, fix: str) -> None:
        quarantined = self.quarantine(why)
        _log.warning(
            "%s %s: it was renamed to %s, and this host starts without it; %s.",
            self.path / STATE,
            problem,
            quarantined,
            fix,
        )


def _parse(fields: Mapping[str, Any]) -> SavedState:
    if integer_field(fields, "version", minimum=1) > _VERSION:
        raise _LaterVersion
    evidence = fields["evidence"]
    digests = {kind: text_field(evidence, kind) for kind in KINDS}
    state = SavedState(
        server_id=integer_field(fields, "server_id", minimum=1),
        name=text_field(fields, "name"),
        environment=text_field(fields, "environment"),
        ephemeral=boolean_field(fields, "ephemeral"),
        epoch=integer_field(fields, "epoch", minimum=0),
        evidence=Evidence(**digests, instance_id=text_field(fields, "instance_id")),
        # An earlier version stored no credential.
        credential=text_field({"credential": "", **fields}, "credential"),
    )
    check_name(state.name)
    check_environment(state.environment)
    check_evidence(state.evidence)
    return state
