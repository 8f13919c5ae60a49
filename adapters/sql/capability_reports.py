import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    Row,
    Text,
    bindparam,
    cast,
    insert,
    literal_column,
    or_,
    select,
    true,
    type_coerce,
)

from adapters.sql import tables
from adapters.sql.statements import insert_or_replace, json_rows
from domain.capabilities import Capabilities, PortRange

_LATEST = tables.capabilities
_HISTORY = tables.capability_history

# All reports of a batch are sent as one JSON text, and the database itself finds the changes. When
# they were sent row by row and compared here, a report cost ten times as much as its heartbeat.
_ARRIVED = json_rows(bindparam("reports", type_=Text)).table_valued("value", name="arrived")


def _arrived(column: Column[Any]) -> ColumnElement[Any]:
    name: ColumnElement[str] = literal_column(f"'{column.name}'")
    if isinstance(column.type, JSON):
        return type_coerce(_ARRIVED.c.value.op("->")(name), JSON)
    return cast(_ARRIVED.c.value.op("->>")(name), column.type)


def _differs(column: Column[Any]) -> ColumnElement[bool]:
    if isinstance(column.type, JSON):
        return cast(column, Text) != cast(_arrived(column), Text)
    return column != _arrived(column)


_EQUIPMENT = [
    column for column in _LATEST.c if column.name in _HISTORY.c and column.name != "server_id"
]
_ADD_CHANGED_EQUIPMENT = insert(_HISTORY).from_select(
    ["server_id", "recorded_at", *(column.name for column in _EQUIPMENT)],
    select(
        _arrived(_LATEST.c.server_id),
        bindparam("now", type_=_HISTORY.c.recorded_at.type),
        *map(_arrived, _EQUIPMENT),
    )
    .join_from(
        _ARRIVED, _LATEST, _LATEST.c.server_id == _arrived(_LATEST.c.server_id), isouter=True
    )
    .where(or_(_LATEST.c.server_id.is_(None), *map(_differs, _EQUIPMENT))),
)
# The condition tells SQLite that the next words are ON CONFLICT and not the ON of a join.
_REPORT_ROWS = select(*map(_arrived, _LATEST.c)).select_from(_ARRIVED).where(true())
_REPLACE = {
    dialect: insert_or_replace(dialect, _LATEST, _REPORT_ROWS)
    for dialect in ("postgresql", "sqlite")
}


class SqlCapabilityReports:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def record(self, reports: Mapping[int, Capabilities], now: datetime) -> None:
        if not reports:
            return
        arrived = json.dumps(
            [
                # Field by field: dataclasses.asdict copies the values and takes ten times as long.
                {
                    "server_id": server_id,
                    "total_memory_mb": report.total_memory_mb,
                    "available_memory_mb": report.available_memory_mb,
                    "cpu_cores": report.cpu_cores,
                    "available_cpu_millicores": report.available_cpu_millicores,
                    "available_ports": [asdict(ports) for ports in report.available_ports],
                    "docker_version": report.docker_version,
                }
                for server_id, report in reports.items()
            ]
        )
        self._connection.execute(_ADD_CHANGED_EQUIPMENT, {"reports": arrived, "now": now})
        self._connection.execute(_REPLACE[self._connection.dialect.name], {"reports": arrived})

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
