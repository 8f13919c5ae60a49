import secrets

from sqlalchemy import Connection, select

from adapters.sql.statements import insert_or_ignore
from adapters.sql.tables import signing_keys

_ONLY_KEY_ID = 1
_KEY_BYTES = 32


class SqlSigningKeys:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def current(self) -> bytes:
        # Of two that make it at once the second waits, and reads that of the first.
        return self._stored() or self._made()

    def _made(self) -> bytes:
        self._connection.execute(
            insert_or_ignore(self._connection.dialect.name, signing_keys),
            {"key_id": _ONLY_KEY_ID, "secret": secrets.token_bytes(_KEY_BYTES)},
        )
        made = self._stored()
        assert made
        return made

    def _stored(self) -> bytes | None:
        return self._connection.execute(
            select(signing_keys.c.secret).where(signing_keys.c.key_id == _ONLY_KEY_ID)
        ).scalar_one_or_none()
