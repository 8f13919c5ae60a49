from collections.abc import Collection, Sequence
from typing import Protocol

from domain.configuration import Configuration


class ConfigurationFolder(Protocol):
    """Where a host keeps its configuration for the programs that read it."""

    def known_revision(self, server_id: int) -> int:
        """The revision that the folder holds of this server, 0 when nothing or another's."""
        ...

    def apply(
        self,
        server_id: int,
        changed: Sequence[Configuration],
        names: Collection[str],
        revision: int,
    ) -> None:
        """Write the changed documents, each as a whole or not at all, take away those that were
        written before and are not among the names, then remember the revision.

        Raises OSError.
        """
        ...
