from collections.abc import Mapping
from dataclasses import replace

from adapters.memory.tables import Tables
from domain.labels import Labels


class MemoryServerLabels:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def set_host_labels(self, server_id: int, labels: Mapping[str, str]) -> bool:
        before = self._tables.servers[server_id].labels
        return self._replace(server_id, before, Labels(dict(labels), before.of_operators))

    def set_operator_labels(self, server_id: int, labels: Mapping[str, str]) -> bool:
        before = self._tables.servers[server_id].labels
        return self._replace(server_id, before, Labels(before.of_host, dict(labels)))

    def _replace(self, server_id: int, before: Labels, after: Labels) -> bool:
        server = self._tables.servers[server_id]
        self._tables.servers[server_id] = replace(server, labels=after)
        return before.effective != after.effective
