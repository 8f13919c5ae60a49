from collections.abc import Iterable
from typing import Any

from psycopg2 import NotSupportedError, extensions


class PostgresConnection(extensions.connection):
    """A connection of psycopg2 whose transaction begins in the round trip of its first statement.

    psycopg2 itself would send BEGIN in a round trip of its own.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cursor_factory = _Cursor
        # Turns the transactions of psycopg2 off.
        self.autocommit = True

    def set_isolation_level(self, level: Any) -> None:
        raise NotSupportedError("every transaction has the isolation level of the server")

    def commit(self) -> None:
        self._end("COMMIT")

    def rollback(self) -> None:
        self._end("ROLLBACK")

    def _end(self, statement: str) -> None:
        if not _is_idle(self):
            with self.cursor() as cursor:
                cursor.execute(statement)


class _Cursor(extensions.cursor):
    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 - the name in psycopg2
        super().execute(f"BEGIN; {query}" if _is_idle(self.connection) else query, vars)

    def executemany(self, query: Any, vars_list: Iterable[Any]) -> None:
        if _is_idle(self.connection):
            super().execute("BEGIN")
        super().executemany(query, vars_list)


def _is_idle(connection: extensions.connection) -> bool:
    """From the last message of the server to libpq; unknown for a lost connection."""
    status = connection.info.transaction_status
    return status == extensions.TRANSACTION_STATUS_IDLE
