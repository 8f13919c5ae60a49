import logging
from dataclasses import dataclass
from pathlib import Path

from adapters.system.files.checksummed_file import (
    DAMAGE,
    read_checked,
    text_of,
    whole_number_of,
    write_checked,
)
from application.ports.host.authority_folder import KnownAuthority

_log = logging.getLogger(__name__)

AUTHORITY = "authority.json"
_VERSION = 1


@dataclass(frozen=True)
class DiskAuthorityFolder:
    """One file, authority.json, which stays when the host's state is forgotten: it tells of the
    API."""

    path: Path

    def read(self) -> KnownAuthority | None:
        try:
            return _kept_in(self.path)
        except FileNotFoundError:
            return None
        except DAMAGE:
            _log.warning(
                "%s is damaged, or of a later version: this host starts without it, and knows the"
                " API by its join key or the CAs of this machine.",
                self.path / AUTHORITY,
            )
            return None

    def write(self, authority: KnownAuthority) -> None:
        fields = {
            "version": _VERSION,
            "authority_digest": authority.authority_digest,
            "certificates": authority.certificates,
        }
        write_checked(self.path / AUTHORITY, fields)


@dataclass(frozen=True)
class ReadOnlyAuthorityFolder:
    """For somebody who changes nothing, and has no word to say of it."""

    path: Path

    def read(self) -> KnownAuthority | None:
        try:
            return _kept_in(self.path)
        except (OSError, *DAMAGE):
            return None

    def write(self, authority: KnownAuthority) -> None:
        pass


def _kept_in(folder: Path) -> KnownAuthority:
    fields = read_checked(folder / AUTHORITY)
    if whole_number_of(fields, "version", least=1) > _VERSION:
        raise ValueError("version")
    return KnownAuthority(
        authority_digest=text_of(fields, "authority_digest"),
        certificates=text_of(fields, "certificates"),
    )
