import logging
from dataclasses import dataclass
from pathlib import Path

from adapters.system.files.checksummed_file import (
    DAMAGE,
    integer_field,
    read_with_checksum,
    text_field,
    write_with_checksum,
)
from application.ports.host.authority_folder import KnownAuthority

_log = logging.getLogger(__name__)

AUTHORITY = "authority.json"
_VERSION = 1


@dataclass(frozen=True)
class DiskAuthorityFolder:
    """One file, authority.json. It stays when the host's state is forgotten, because it describes
    the API and not the host."""

    path: Path

    def read(self) -> KnownAuthority | None:
        try:
            return _stored_in(self.path)
        except FileNotFoundError:
            return None
        except DAMAGE:
            _log.warning(
                "%s is damaged, or was written by a later version: this host starts without it and"
                " identifies the API by its join key or the CAs of this machine.",
                self.path / AUTHORITY,
            )
            return None

    def write(self, authority: KnownAuthority) -> None:
        fields = {
            "version": _VERSION,
            "authority_digest": authority.authority_digest,
            "certificates": authority.certificates,
        }
        write_with_checksum(self.path / AUTHORITY, fields)


@dataclass(frozen=True)
class ReadOnlyAuthorityFolder:
    """For a caller that must change nothing, such as the doctor; logs no warning."""

    path: Path

    def read(self) -> KnownAuthority | None:
        try:
            return _stored_in(self.path)
        except (OSError, *DAMAGE):
            return None

    def write(self, authority: KnownAuthority) -> None:
        pass


def _stored_in(folder: Path) -> KnownAuthority:
    fields = read_with_checksum(folder / AUTHORITY)
    if integer_field(fields, "version", minimum=1) > _VERSION:
        raise ValueError("version")
    return KnownAuthority(
        authority_digest=text_field(fields, "authority_digest"),
        certificates=text_field(fields, "certificates"),
    )
