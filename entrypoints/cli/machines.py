from collections.abc import Iterable, Sequence
from typing import Any

import click

from domain.capabilities import Capabilities
from domain.machine import Machine, hardware_of, machines_of
from entrypoints.cli.options import output_option
from entrypoints.cli.session import api
from entrypoints.cli.views.output import as_json, print_lines
from entrypoints.cli.views.tables import Column, Fit, print_table

_COLUMNS = (
    Column("MACHINE"),
    Column("ID"),
    Column("NAME", Fit.CUT),
    Column("STATUS"),
    Column("CPU", Fit.LEAVE_OUT),
    Column("MEMORY", Fit.LEAVE_OUT),
    Column("DOCKER", Fit.LEAVE_OUT),
)


@click.group()
def machines() -> None:
    """Show physical machines. One machine may run the host managers of several servers."""


@machines.command("list")
@output_option
def list_machines(output: str) -> None:
    """List machines with their servers.

    The totals count each machine's CPU and memory once. A machine's figures come from the server
    on it that was heard from last. A server whose machine is unknown counts as a machine of its
    own.
    """
    with api() as client:
        listed = machines_of(client.servers())
    if output == "json":
        click.echo(as_json(_json(listed)))
    else:
        print_table(_COLUMNS, [row for machine in listed for row in _rows(machine)])
        print_lines("", _totals(listed))


def _rows(machine: Machine) -> Iterable[Sequence[str]]:
    hardware = _hardware(machine.capabilities)
    number = str(machine.number or "-")
    for server in machine.servers:
        status = server.presence.status.value
        yield (number, str(server.server_id), server.name, status, *hardware)
        # Shown once for all servers of the machine.
        number, hardware = "", ("", "", "")


def _hardware(capabilities: Capabilities | None) -> tuple[str, str, str]:
    if capabilities is None:
        return "-", "-", "-"
    memory = f"{capabilities.total_memory_mb / 1024:.1f} GiB"
    return str(capabilities.cpu_cores), memory, capabilities.docker_version or "-"


def _totals(listed: Sequence[Machine]) -> str:
    hardware = hardware_of(listed)
    servers = sum(len(machine.servers) for machine in listed)
    return (
        f"{_count(hardware.machines, 'machine')} with {_count(servers, 'server')},"
        f" {_count(hardware.cpu_cores, 'CPU core')} and"
        f" {hardware.total_memory_mb / 1024:.1f} GiB of memory"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _json(listed: Sequence[Machine]) -> dict[str, Any]:
    hardware = hardware_of(listed)
    return {
        "machines": [_machine_json(machine) for machine in listed],
        "totals": {
            "machines": hardware.machines,
            "servers": sum(len(machine.servers) for machine in listed),
            "cpu_cores": hardware.cpu_cores,
            "total_memory_mb": hardware.total_memory_mb,
        },
    }


def _machine_json(machine: Machine) -> dict[str, Any]:
    capabilities = machine.capabilities
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
        "cpu_cores": capabilities.cpu_cores if capabilities else None,
        "total_memory_mb": capabilities.total_memory_mb if capabilities else None,
        "docker_version": capabilities.docker_version if capabilities else None,
    }
