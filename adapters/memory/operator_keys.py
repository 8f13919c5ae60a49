from collections.abc import Sequence

from adapters.memory.tables import Tables
from domain.errors import OperatorKeyNotFound
from domain.operator_key import OperatorKey
from domain.role import Role


class MemoryOperatorKeys:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def add(self, key: OperatorKey) -> None:
        self._tables.operator_keys[key.key_id] = key

    def get(self, key_id: str) -> OperatorKey:
        try:
            return self._tables.operator_keys[key_id]
        except KeyError:
            raise OperatorKeyNotFound(key_id) from None

    def save(self, key: OperatorKey) -> None:
        self._tables.operator_keys[key.key_id] = key

    def page(self, after: str, size: int) -> Sequence[OperatorKey]:
        by_id = sorted(self._tables.operator_keys.values(), key=lambda key: key.key_id)
        return [key for key in by_id if key.key_id > after][:size]

    def any_admin(self) -> bool:
        return any(key.role is Role.ADMIN for key in self._tables.operator_keys.values())
