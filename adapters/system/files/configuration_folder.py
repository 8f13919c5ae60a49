import errno
import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from adapters.system.files.atomic_file import UNFINISHED, make_folder, sync_folder, write_atomically
from adapters.system.files.regular_file import check_regular, remove_file
from domain.configuration import Configuration, check_configuration_name
from domain.errors import InvalidField

_log = logging.getLogger(__name__)

_MANIFEST = ".manmanv2.json"


@dataclass(frozen=True, slots=True)
class _Manifest:
    """The revision of the server's configuration that the directory holds, and the names of the
    documents that were written here."""

    server_id: int = 0
    revision: int = 0
    names: frozenset[str] = frozenset()


@dataclass
class DiskConfigurationFolder:
    """Each document is a file NAME.json that only its owner can read. Other files are left alone.

    A crash at any moment leaves whole documents: a file is written under another name, synced to
    the disk and renamed, and the manifest names it before it appears.
    """

    path: Path
    _warned: bool = field(init=False, default=False)
    _written_for: int | None = field(init=False, default=None)

    def known_revision(self, server_id: int) -> int:
        """0 also if something else has removed a document. Raises OSError."""
        manifest = self._read_manifest()
        if manifest.server_id not in (0, server_id) and self._written_for == server_id:
            # Each would remove the other's documents as leftovers and write its own, forever.
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
        remaining = {configuration.name for configuration in changed} | (before.names & set(names))
        after = _Manifest(server_id, revision, frozenset(remaining))
        if not changed and self._holds(after):
            return
        for leftover in self.path.glob(f"*{UNFINISHED}"):
            remove_file(leftover)
        # Revision 0 until everything is written: after a crash the host fetches everything again.
        self._write_manifest(_Manifest(server_id, 0, before.names | after.names))
        for configuration in changed:
            write_atomically(self._document(configuration.name), configuration.document)
        for name in before.names - after.names:
            remove_file(self._document(name))
        sync_folder(self.path)
        self._write_manifest(after)
        self._written_for = server_id

    def _holds(self, manifest: _Manifest) -> bool:
        return (self.path / _MANIFEST).exists() and self._read_manifest() == manifest

    def _document(self, name: str) -> Path:
        return self.path / f"{name}.json"

    def _read_manifest(self) -> _Manifest:
        file = self.path / _MANIFEST
        check_regular(file)
        try:
            manifest = _parse(file.read_bytes())
        except FileNotFoundError:
            manifest = _Manifest()
        except (InvalidField, LookupError, RecursionError, TypeError, ValueError):
            if not self._warned:
                _log.warning(
                    "%s is damaged: this host fetches every document again, and the files of"
                    " documents that were deleted meanwhile stay until you remove them.",
                    file,
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
        # Each becomes the path of a file that may be removed.
        check_configuration_name(name)
    return _Manifest(int(fields["server_id"]), int(fields["revision"]), frozenset(names))
