from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select

from adapters.sql import tables
from adapters.sql.statements import Ids, insert_or_replace, is_among
from domain.capabilities import Capabilities, PortRange

_LATEST = tables.capabilities
_HISTORY = tables.capability_history
_LATEST_OF = select(_LATEST).where(is_among(_LATEST.c.server_id, bindparam("ids", type_=Ids())))


class SqlCapabilityReports:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def record(self, reports: Mapping[int, Capabilities], now: datetime) -> None:
        if not reports:
            return
        rows = self._connection.execute(_LATEST_OF, {"ids": reports.keys()})
        before = {row.server_id: capabilities_of(row) for row in rows}
        changed = {
            server_id: report
            for server_id, report in reports.items()
            if before.get(server_id) != report
        }
        refitted = {
            server_id: report
            for server_id, report in changed.items()
            if server_id not in before or before[server_id].equipment != report.equipment
        }
        if changed:
            self._connection.execute(
                insert_or_replace(self._connection, _LATEST),
                [
                    {"server_id": server_id, **asdict(report)}
                    for server_id, report in changed.items()
                ],
            )
        if refitted:
            self._connection.execute(
                insert(_HISTORY),
                [
                    {
                        "server_id": server_id,
                        "recorded_at": now,
                        "total_memory_mb": report.total_memory_mb,
                        "cpu_cores": report.cpu_cores,
                        "available_ports": [asdict(ports) for ports in report.available_ports],
                        "docker_version": report.docker_version,
                    }
                    for server_id, report in refitted.items()
                ],
            )

    def history(self, server_id: int) -> list[tuple[datetime, Capabilities]]:
        rows = self._connection.execute(
            select(_HISTORY).where(_HISTORY.c.server_id == server_id).order_by(_HISTORY.c.entry_id)
        )
        return [
            (
                row.recorded_at,
                Capabilities(
                    total_memory_mb=row.total_memory_mb,
                    cpu_cores=row.cpu_cores,
                    available_ports=_ports(row),
                    docker_version=row.docker_version,
                ),
            )
            for row in rows
        ]


def capabilities_of(row: Row[Any]) -> Capabilities:
    return Capabilities(
        total_memory_mb=row.total_memory_mb,
        available_memory_mb=row.available_memory_mb,
        cpu_cores=row.cpu_cores,
        available_cpu_millicores=row.available_cpu_millicores,
        available_ports=_ports(row),
        docker_version=row.docker_version,
    )


def _ports(row: Row[Any]) -> tuple[PortRange, ...]:
    return tuple(PortRange(**ports) for ports in row.available_ports)
