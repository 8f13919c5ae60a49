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
        # If two processes create the key at once, the second waits and reads that of the first.
        return self._stored() or self._create()

    def _create(self) -> bytes:
        self._connection.execute(
            insert_or_ignore(self._connection.dialect.name, signing_keys),
            {"key_id": _ONLY_KEY_ID, "secret": secrets.token_bytes(_KEY_BYTES)},
        )
        created = self._stored()
        assert created
        return created

    def _stored(self) -> bytes | None:
        return self._connection.execute(
            select(signing_keys.c.secret).where(signing_keys.c.key_id == _ONLY_KEY_ID)
        ).scalar_one_or_none()
