from collections.abc import Iterable
from typing import Any

from psycopg2 import NotSupportedError, extensions


class PostgresConnection(extensions.connection):
    """psycopg2's, but a transaction begins in the round trip of its first statement: psycopg2 asks
    for that by itself before, and waits for the answer."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cursor_factory = _Cursor
        # Its own idea of transactions is turned off.
        self.autocommit = True

    def set_isolation_level(self, level: Any) -> None:
        raise NotSupportedError("a transaction is always begun, and always as the server does it")

    def commit(self) -> None:
        self._end("COMMIT")

    def rollback(self) -> None:
        self._end("ROLLBACK")

    def _end(self, statement: str) -> None:
        if not _is_idle(self):
            with self.cursor() as cursor:
                cursor.execute(statement)


class _Cursor(extensions.cursor):
    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 - psycopg2 calls it so
        super().execute(f"BEGIN; {query}" if _is_idle(self.connection) else query, vars)

    def executemany(self, query: Any, vars_list: Iterable[Any]) -> None:
        if _is_idle(self.connection):
            super().execute("BEGIN")
        super().executemany(query, vars_list)


def _is_idle(connection: extensions.connection) -> bool:
    """As libpq knows it from the server's last word; of one that is gone it knows nothing."""
    status = connection.info.transaction_status
    return status == extensions.TRANSACTION_STATUS_IDLE
