from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from adapters.memory.tables import Tables
from domain.capabilities import Capabilities


class MemoryCapabilityReports:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def record(self, reports: Mapping[int, Capabilities], now: datetime) -> None:
        for server_id, capabilities in reports.items():
            server = self._tables.servers[server_id]
            if server.capabilities is None or (
                server.capabilities.equipment != capabilities.equipment
            ):
                history = self._tables.equipment.get(server_id, ())
                self._tables.equipment[server_id] = (*history, (now, capabilities))
            self._tables.servers[server_id] = replace(server, capabilities=capabilities)

    def history(self, server_id: int) -> list[tuple[datetime, Capabilities]]:
        return [
            (at, replace(capabilities, available_memory_mb=0, available_cpu_millicores=0))
            for at, capabilities in self._tables.equipment.get(server_id, ())
        ]
