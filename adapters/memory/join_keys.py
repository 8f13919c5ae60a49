from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from adapters.memory.tables import Tables
from application.ports.store.access.join_keys import JoinKeyUse
from domain.errors import JoinKeyNotFound
from domain.join_key import JoinKey


class MemoryJoinKeys:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def add(self, key: JoinKey) -> None:
        self._tables.join_keys[key.key_id] = key

    def get(self, key_id: str, *, lock: bool = False) -> JoinKey:
        key = self._tables.join_keys.get(key_id)
        if key is None:
            raise JoinKeyNotFound(key_id)
        return key

    def save(self, key: JoinKey) -> None:
        before = self.get(key.key_id)
        self._tables.join_keys[key.key_id] = replace(before, revoked_at=key.revoked_at)

    def page(self, after: str, size: int) -> Sequence[JoinKey]:
        ids = sorted(key_id for key_id in self._tables.join_keys if key_id > after)
        return [self._tables.join_keys[key_id] for key_id in ids[:size]]

    def used(self, key_ids: Sequence[str]) -> dict[str, int]:
        counts = dict.fromkeys(key_ids, 0)
        for key_id, _ in self._tables.join_key_uses:
            if key_id in counts:
                counts[key_id] += 1
        return {key_id: count for key_id, count in counts.items() if count}

    def use(self, key_id: str, server_id: int) -> JoinKeyUse | None:
        return self._tables.join_key_uses.get((key_id, server_id))

    def record_use(
        self, key_id: str, server_id: int, name: str, address: str, now: datetime
    ) -> None:
        before = self.use(key_id, server_id)
        self._tables.join_key_uses[key_id, server_id] = JoinKeyUse(
            key_id,
            server_id,
            name,
            address,
            before.first_at if before else now,
            now,
            before.times + 1 if before else 1,
        )

    def uses_of(self, key_id: str, after: int, size: int) -> Sequence[JoinKeyUse]:
        uses = [
            use
            for (of_key, server_id), use in self._tables.join_key_uses.items()
            if of_key == key_id and server_id > after
        ]
        return sorted(uses, key=lambda use: use.server_id)[:size]
