from collections.abc import Collection, Sequence
from typing import Protocol

from domain.configuration import Configuration


class ConfigurationFolder(Protocol):
    """Where a host stores its configuration for the programs that read it."""

    def known_revision(self, server_id: int) -> int:
        """The revision in the folder, 0 if it is empty or belongs to another server."""
        ...

    def apply(
        self,
        server_id: int,
        changed: Sequence[Configuration],
        names: Collection[str],
        revision: int,
    ) -> None:
        """Write the changed documents, each completely or not at all; delete the documents that
        were written before and are not among the names; then store the revision.

        Raises OSError.
        """
        ...
