from collections.abc import Mapping, Sequence

from adapters.memory.tables import Tables
from domain.configuration import Configuration, ConfigurationSummary
from domain.labels import Selector


class MemorySelectorConfigurations:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def put(self, configuration: Configuration) -> None:
        key = (str(configuration.selector), configuration.name)
        self._tables.selector_configurations[key] = configuration

    def get(self, selector: Selector, name: str) -> Configuration | None:
        return self._tables.selector_configurations.get((str(selector), name))

    def summaries(self) -> Sequence[ConfigurationSummary]:
        return [
            ConfigurationSummary(
                document.name, document.revision, document.updated_at, document.selector
            )
            for _, document in sorted(self._tables.selector_configurations.items())
        ]

    def matching(self, labels: Mapping[str, str]) -> Sequence[ConfigurationSummary]:
        return [
            summary
            for summary in self.summaries()
            if summary.selector and summary.selector.matches(labels)
        ]

    def remove(self, selector: Selector, name: str) -> bool:
        return self._tables.selector_configurations.pop((str(selector), name), None) is not None
