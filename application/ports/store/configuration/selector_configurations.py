from collections.abc import Mapping, Sequence
from typing import Protocol

from domain.configuration import Configuration, ConfigurationSummary
from domain.labels import Selector


class SelectorConfigurations(Protocol):
    """The documents that hang on selectors of servers."""

    def put(self, configuration: Configuration) -> None:
        """Add or replace the one of this selector and name."""
        ...

    def get(self, selector: Selector, name: str) -> Configuration | None: ...

    def summaries(self) -> Sequence[ConfigurationSummary]:
        """All of them, by the text of their selector and by name."""
        ...

    def matching(self, labels: Mapping[str, str]) -> Sequence[ConfigurationSummary]:
        """Those whose selector selects a server with these labels, in the same order."""
        ...

    def remove(self, selector: Selector, name: str) -> bool:
        """Whether there was one."""
        ...
