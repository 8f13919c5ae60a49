import secrets

from adapters.memory.tables import Tables

_ONLY_KEY_ID = 1
_KEY_BYTES = 32


class MemorySigningKeys:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def current(self) -> bytes:
        return self._tables.signing_keys.setdefault(_ONLY_KEY_ID, secrets.token_bytes(_KEY_BYTES))
