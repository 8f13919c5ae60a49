from collections.abc import Sequence

from sqlalchemy import Connection, delete, select

from adapters.sql.statements import insert_or_replace
from adapters.sql.tables import configurations
from domain.configuration import Configuration, ConfigurationSummary

_COLUMNS = configurations.c


class SqlConfigurations:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, server_id: int, configuration: Configuration) -> None:
        self._connection.execute(
            insert_or_replace(self._connection.dialect.name, configurations),
            {
                "server_id": server_id,
                "name": configuration.name,
                "document": configuration.document,
                "revision": configuration.revision,
                "updated_at": configuration.updated_at,
            },
        )

    def get(self, server_id: int, name: str) -> Configuration | None:
        row = self._connection.execute(
            select(configurations).where(_COLUMNS.server_id == server_id, _COLUMNS.name == name)
        ).one_or_none()
        return Configuration(row.name, row.document, row.revision, row.updated_at) if row else None

    def summaries(self, server_id: int) -> Sequence[ConfigurationSummary]:
        rows = self._connection.execute(
            select(_COLUMNS.name, _COLUMNS.revision, _COLUMNS.updated_at).where(
                _COLUMNS.server_id == server_id
            )
        )
        # Sorted here: the order in a database depends on its locale.
        return sorted(
            (ConfigurationSummary(*row) for row in rows), key=lambda summary: summary.name
        )

    def remove(self, server_id: int, name: str) -> bool:
        removed = self._connection.execute(
            delete(configurations).where(_COLUMNS.server_id == server_id, _COLUMNS.name == name)
        )
        return bool(removed.rowcount)
