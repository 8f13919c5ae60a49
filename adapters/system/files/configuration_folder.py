import errno
import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from adapters.system.files.atomic_file import UNFINISHED, make_folder, sync_folder, write_atomically
from domain.configuration import Configuration, check_configuration_name
from domain.errors import InvalidField

_log = logging.getLogger(__name__)

_MANIFEST = ".manmanv2.json"


@dataclass(frozen=True, slots=True)
class _Manifest:
    """What the folder holds: the server's revision, and the names of what was written here."""

    server_id: int = 0
    revision: int = 0
    names: frozenset[str] = frozenset()


@dataclass
class DiskConfigurationFolder:
    """Each document is the file NAME.json, for the owner only; other files are left alone.

    A crash at any moment leaves whole documents: files are written aside, brought to the disk
    and renamed, and the manifest names a file before it appears.
    """

    path: Path
    _warned: bool = field(init=False, default=False)
    _written_for: int | None = field(init=False, default=None)

    def known_revision(self, server_id: int) -> int:
        """Also 0 when a document was taken away by somebody else. Raises OSError."""
        manifest = self._read_manifest()
        if manifest.server_id not in (0, server_id) and self._written_for == server_id:
            # Each would take the other's documents for leftovers, and write its own, for ever.
            raise OSError(errno.EBUSY, "another host manager writes to it")
        if manifest.server_id != server_id:
            return 0
        if not all(self._document(name).exists() for name in manifest.names):
            return 0
        return manifest.revision

    def apply(
        self,
        server_id: int,
        changed: Sequence[Configuration],
        names: Collection[str],
        revision: int,
    ) -> None:
        make_folder(self.path)
        before = self._read_manifest()
        kept = {configuration.name for configuration in changed} | (before.names & set(names))
        after = _Manifest(server_id, revision, frozenset(kept))
        if not changed and self._holds(after):
            return
        for leftover in self.path.glob(f"*{UNFINISHED}"):
            leftover.unlink()
        # Revision 0 until all is written: after a crash the host asks for everything again.
        self._write_manifest(_Manifest(server_id, 0, before.names | after.names))
        for configuration in changed:
            write_atomically(self._document(configuration.name), configuration.document)
        for name in before.names - after.names:
            self._document(name).unlink(missing_ok=True)
        sync_folder(self.path)
        self._write_manifest(after)
        self._written_for = server_id

    def _holds(self, manifest: _Manifest) -> bool:
        return (self.path / _MANIFEST).exists() and self._read_manifest() == manifest

    def _document(self, name: str) -> Path:
        return self.path / f"{name}.json"

    def _read_manifest(self) -> _Manifest:
        try:
            manifest = _parse((self.path / _MANIFEST).read_bytes())
        except FileNotFoundError:
            manifest = _Manifest()
        except (InvalidField, LookupError, RecursionError, TypeError, ValueError):
            if not self._warned:
                _log.warning(
                    "%s is damaged: every document is fetched again, and files that were written"
                    " for documents which are gone since stay until you delete them.",
                    self.path / _MANIFEST,
                )
            self._warned = True
            return _Manifest()
        self._warned = False
        return manifest

    def _write_manifest(self, manifest: _Manifest) -> None:
        content = {
            "server_id": manifest.server_id,
            "revision": manifest.revision,
            "names": sorted(manifest.names),
        }
        write_atomically(self.path / _MANIFEST, json.dumps(content))
        sync_folder(self.path)


def _parse(content: bytes) -> _Manifest:
    fields = json.loads(content)
    names = fields["names"]
    if not isinstance(names, list):
        raise TypeError("names")
    for name in names:
        # Each becomes the path of a file that may be deleted.
        check_configuration_name(name)
    return _Manifest(int(fields["server_id"]), int(fields["revision"]), frozenset(names))
