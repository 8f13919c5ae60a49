from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select

from adapters.sql.statements import Ids, is_among
from adapters.sql.tables import labels
from domain.labels import NO_LABELS, Labels

_OF = select(labels).where(is_among(labels.c.server_id, bindparam("ids", type_=Ids())))


class SqlServerLabels:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def set_host_labels(self, server_id: int, labels: Mapping[str, str]) -> bool:
        before = labels_of(self._connection, [server_id]).get(server_id, NO_LABELS)
        return self._replace(server_id, before, Labels(labels, before.of_operators))

    def set_operator_labels(self, server_id: int, labels: Mapping[str, str]) -> bool:
        before = labels_of(self._connection, [server_id]).get(server_id, NO_LABELS)
        return self._replace(server_id, before, Labels(before.of_host, labels))

    def _replace(self, server_id: int, before: Labels, after: Labels) -> bool:
        if before == after:
            return False
        self._connection.execute(delete(labels).where(labels.c.server_id == server_id))
        rows = [
            {
                "server_id": server_id,
                "key": key,
                "of_host": after.of_host.get(key),
                "of_operators": after.of_operators.get(key),
                "value": value,
            }
            for key, value in sorted(after.effective.items())
        ]
        if rows:
            self._connection.execute(insert(labels), rows)
        return before.effective != after.effective


def labels_of(connection: Connection, server_ids: Collection[int]) -> Mapping[int, Labels]:
    """The labels of those servers that have any."""
    if not server_ids:
        return {}
    return labels_of_rows(connection.execute(_OF, {"ids": server_ids}))


def labels_of_rows(rows: Iterable[Any]) -> Mapping[int, Labels]:
    """Like `labels_of`, from rows of the table of labels."""
    labels: dict[int, tuple[dict[str, str], dict[str, str]]] = defaultdict(lambda: ({}, {}))
    for row in rows:
        of_host, of_operators = labels[row.server_id]
        if row.of_host is not None:
            of_host[row.key] = row.of_host
        if row.of_operators is not None:
            of_operators[row.key] = row.of_operators
    return {server_id: Labels(*both) for server_id, both in labels.items()}
