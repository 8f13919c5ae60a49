from collections.abc import Sequence
from typing import Protocol

from domain.configuration import Configuration, ConfigurationSummary


class Configurations(Protocol):
    """The documents that hang on servers."""

    def put(self, server_id: int, configuration: Configuration) -> None:
        """Add or replace; the server exists and is locked."""
        ...

    def get(self, server_id: int, name: str) -> Configuration | None: ...

    def summaries(self, server_id: int) -> Sequence[ConfigurationSummary]:
        """By name."""
        ...

    def remove(self, server_id: int, name: str) -> bool:
        """Whether there was one."""
        ...
