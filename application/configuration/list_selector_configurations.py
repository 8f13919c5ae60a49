from collections.abc import Sequence
from dataclasses import dataclass

from application.ports.store.store import Store
from domain.configuration import ConfigurationSummary


@dataclass(frozen=True)
class ListSelectorConfigurations:
    """The documents of all selectors, by selector and name, without their text."""

    store: Store

    def __call__(self) -> Sequence[ConfigurationSummary]:
        with self.store.begin() as transaction:
            return transaction.selector_configurations.summaries()
