from collections.abc import Mapping, Sequence
from typing import Protocol

from domain.configuration import Configuration, ConfigurationSummary
from domain.labels import Selector


class SelectorConfigurations(Protocol):
    """The documents of selectors."""

    def put(self, configuration: Configuration) -> None:
        """Add or replace the document of this selector and name."""
        ...

    def get(self, selector: Selector, name: str) -> Configuration | None: ...

    def summaries(self) -> Sequence[ConfigurationSummary]:
        """All documents, sorted by the text of their selector, then by name."""
        ...

    def matching(self, labels: Mapping[str, str]) -> Sequence[ConfigurationSummary]:
        """The documents whose selector matches these labels, in the same order."""
        ...

    def remove(self, selector: Selector, name: str) -> bool:
        """Returns whether there was such a document."""
        ...
