from dataclasses import replace

from adapters.memory.tables import Tables
from application.ports.store.configuration.selector_changes import SelectorChange


class MemorySelectorChanges:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def add(self, change: SelectorChange) -> None:
        self._tables.selector_changes[change.revision] = change

    def oldest(self) -> SelectorChange | None:
        changes = self._tables.selector_changes
        return changes[min(changes)] if changes else None

    def reach(self, revision: int, server_id: int) -> None:
        change = self._tables.selector_changes[revision]
        self._tables.selector_changes[revision] = replace(change, reached=server_id)

    def finish(self, revision: int) -> None:
        del self._tables.selector_changes[revision]

    def any(self) -> bool:
        return bool(self._tables.selector_changes)
