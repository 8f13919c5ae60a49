from sqlalchemy import Connection, delete, exists, insert, select, update

from adapters.sql.tables import selector_changes
from application.ports.store.configuration.selector_changes import SelectorChange
from domain.labels import parse_selector

_COLUMNS = selector_changes.c


class SqlSelectorChanges:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, change: SelectorChange) -> None:
        self._connection.execute(
            insert(selector_changes),
            {
                "revision": change.revision,
                "selector": str(change.selector),
                "resync": change.resync,
                "cause": change.cause,
                "reached": change.reached,
            },
        )

    def oldest(self) -> SelectorChange | None:
        row = self._connection.execute(
            select(selector_changes).order_by(_COLUMNS.revision).limit(1).with_for_update()
        ).one_or_none()
        if row is None:
            return None
        selector = parse_selector(row.selector)
        return SelectorChange(row.revision, selector, row.resync, row.cause, row.reached)

    def reach(self, revision: int, server_id: int) -> None:
        self._connection.execute(
            update(selector_changes).where(_COLUMNS.revision == revision),
            {"reached": server_id},
        )

    def finish(self, revision: int) -> None:
        self._connection.execute(delete(selector_changes).where(_COLUMNS.revision == revision))

    def any(self) -> bool:
        any_left: bool = self._connection.execute(
            select(exists().select_from(selector_changes))
        ).scalar_one()
        return any_left
