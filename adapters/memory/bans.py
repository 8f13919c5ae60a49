from collections.abc import Sequence

from adapters.memory.tables import Tables
from application.ports.store.bans import Ban
from domain.machine_evidence import Evidence, compare


class MemoryBans:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def add(self, ban: Ban) -> None:
        self._tables.bans[ban.server_id] = ban

    def resembling(self, evidence: Evidence) -> Sequence[Ban]:
        similar = [
            ban for ban in self._tables.bans.values() if compare(ban.evidence, evidence).agreeing
        ]
        return sorted(similar, key=lambda ban: (ban.at, ban.server_id))

    def remove(self, server_id: int) -> bool:
        return self._tables.bans.pop(server_id, None) is not None
