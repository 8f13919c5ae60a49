from collections.abc import Sequence

from adapters.memory.tables import Tables
from domain.configuration import Configuration, ConfigurationSummary


class MemoryConfigurations:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def put(self, server_id: int, configuration: Configuration) -> None:
        documents = self._tables.configurations.get(server_id, {})
        self._tables.configurations[server_id] = {**documents, configuration.name: configuration}

    def get(self, server_id: int, name: str) -> Configuration | None:
        return self._tables.configurations.get(server_id, {}).get(name)

    def summaries(self, server_id: int) -> Sequence[ConfigurationSummary]:
        documents = self._tables.configurations.get(server_id, {})
        return [
            ConfigurationSummary(document.name, document.revision, document.updated_at)
            for _, document in sorted(documents.items())
        ]

    def remove(self, server_id: int, name: str) -> bool:
        documents = dict(self._tables.configurations.get(server_id, {}))
        removed = documents.pop(name, None)
        if removed:
            self._tables.configurations[server_id] = documents
        return removed is not None
