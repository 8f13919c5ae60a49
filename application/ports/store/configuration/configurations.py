from collections.abc import Sequence
from typing import Protocol

from domain.configuration import Configuration, ConfigurationSummary


class Configurations(Protocol):
    """The documents of servers."""

    def put(self, server_id: int, configuration: Configuration) -> None:
        """Add or replace a document. The server must exist and be locked."""
        ...

    def get(self, server_id: int, name: str) -> Configuration | None: ...

    def summaries(self, server_id: int) -> Sequence[ConfigurationSummary]:
        """The documents of a server, by name."""
        ...

    def remove(self, server_id: int, name: str) -> bool:
        """Returns whether there was such a document."""
        ...
