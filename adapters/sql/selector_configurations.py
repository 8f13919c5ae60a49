from collections.abc import Mapping, Sequence
from functools import lru_cache

from sqlalchemy import Connection, delete, select

from adapters.sql.statements import insert_or_replace
from adapters.sql.tables import selector_configurations
from domain.configuration import Configuration, ConfigurationSummary
from domain.labels import Selector, parse_selector

_COLUMNS = selector_configurations.c
# Selectors are few, and all are read whenever the documents of a server are determined.
_selector = lru_cache(1024)(parse_selector)


class SqlSelectorConfigurations:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, configuration: Configuration) -> None:
        self._connection.execute(
            insert_or_replace(self._connection.dialect.name, selector_configurations),
            {
                "selector": str(configuration.selector),
                "name": configuration.name,
                "document": configuration.document,
                "revision": configuration.revision,
                "updated_at": configuration.updated_at,
            },
        )

    def get(self, selector: Selector, name: str) -> Configuration | None:
        row = self._connection.execute(
            select(selector_configurations).where(
                _COLUMNS.selector == str(selector), _COLUMNS.name == name
            )
        ).one_or_none()
        return (
            Configuration(row.name, row.document, row.revision, row.updated_at, selector)
            if row
            else None
        )

    def summaries(self) -> Sequence[ConfigurationSummary]:
        rows = self._connection.execute(
            select(_COLUMNS.selector, _COLUMNS.name, _COLUMNS.revision, _COLUMNS.updated_at)
        )
        # Sorted here: the order in a database depends on its locale.
        return [
            ConfigurationSummary(name, revision, updated_at, _selector(text))
            for text, name, revision, updated_at in sorted(map(tuple, rows))
        ]

    def matching(self, labels: Mapping[str, str]) -> Sequence[ConfigurationSummary]:
        return [
            summary
            for summary in self.summaries()
            if summary.selector and summary.selector.matches(labels)
        ]

    def remove(self, selector: Selector, name: str) -> bool:
        removed = self._connection.execute(
            delete(selector_configurations).where(
                _COLUMNS.selector == str(selector), _COLUMNS.name == name
            )
        )
        return bool(removed.rowcount)
