from collections.abc import Iterable, Sequence
from typing import Any

import click

from domain.capabilities import Capabilities
from domain.machine import Machine, hardware_of, machines_of
from entrypoints.cli.options import output_option
from entrypoints.cli.session import api
from entrypoints.cli.views.tables import as_json, table

_COLUMNS = ("MACHINE", "ID", "NAME", "STATUS", "CPU", "MEMORY", "DOCKER")


@click.group()
def machines() -> None:
    """The machines behind the servers: host managers of several environments may be on one."""


@machines.command("list")
@output_option
def list_machines(output: str) -> None:
    """List machines with their servers, and count CPU and memory of each machine once.

    What a machine has is told by its server that was seen last. Servers of which it is not known
    on which machine they are stand for one each.
    """
    with api() as client:
        found = machines_of(client.servers())
    if output == "json":
        click.echo(as_json(_json(found)))
    else:
        rows = [row for machine in found for row in _rows(machine)]
        click.echo(f"{table(_COLUMNS, rows)}\n\n{_totals(found)}")


def _rows(machine: Machine) -> Iterable[Sequence[str]]:
    has = _hardware(machine.capabilities)
    number = str(machine.number or "-")
    for server in machine.servers:
        status = server.presence.status.value
        yield (number, str(server.server_id), server.name, status, *has)
        # Told once for all of them.
        number, has = "", ("", "", "")


def _hardware(capabilities: Capabilities | None) -> tuple[str, str, str]:
    if capabilities is None:
        return "-", "-", "-"
    memory = f"{capabilities.total_memory_mb / 1024:.1f} GiB"
    return str(capabilities.cpu_cores), memory, capabilities.docker_version or "-"


def _totals(found: Sequence[Machine]) -> str:
    hardware = hardware_of(found)
    servers = sum(len(machine.servers) for machine in found)
    return (
        f"{_count(hardware.machines, 'machine')} with {_count(servers, 'server')},"
        f" {_count(hardware.cpu_cores, 'CPU core')} and"
        f" {hardware.total_memory_mb / 1024:.1f} GiB of memory"
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _json(found: Sequence[Machine]) -> dict[str, Any]:
    hardware = hardware_of(found)
    return {
        "machines": [_machine_json(machine) for machine in found],
        "totals": {
            "machines": hardware.machines,
            "servers": sum(len(machine.servers) for machine in found),
            "cpu_cores": hardware.cpu_cores,
            "total_memory_mb": hardware.total_memory_mb,
        },
    }


def _machine_json(machine: Machine) -> dict[str, Any]:
    has = machine.capabilities
    return {
        "machine": machine.number,
        "servers": [
            {
                "server_id": server.server_id,
                "name": server.name,
                "status": server.presence.status.value,
            }
            for server in machine.servers
        ],
        "cpu_cores": has.cpu_cores if has else None,
        "total_memory_mb": has.total_memory_mb if has else None,
        "docker_version": has.docker_version if has else None,
    }
