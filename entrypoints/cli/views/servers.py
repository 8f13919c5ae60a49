"""How servers and their documents are shown."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from domain.approval import Approval
from domain.configuration import ConfigurationSummary
from domain.server import Server
from entrypoints.cli.views.tables import Column, Fit, print_table
from entrypoints.cli.views.times import ago, iso

SERVER_COLUMNS = (
    Column("ID"),
    Column("NAME", Fit.CUT),
    Column("ENVIRONMENT", Fit.LEAVE_OUT),
    Column("STATUS"),
    Column("LAST SEEN", Fit.LEAVE_OUT),
    Column("CPU", Fit.LEAVE_OUT),
    Column("MEMORY", Fit.LEAVE_OUT),
    Column("DOCKER", Fit.LEAVE_OUT),
)


def print_servers(servers: Iterable[Server], now: datetime, *, err: bool = False) -> None:
    print_table(SERVER_COLUMNS, [server_row(server, now) for server in servers], err=err)


def server_details(
    server: Server, configurations: Sequence[ConfigurationSummary], now: datetime
) -> list[str]:
    """A line for each fact, and one for each document that takes effect."""
    titles = [column.title for column in SERVER_COLUMNS]
    facts = [
        *zip(titles, server_row(server, now), strict=True),
        ("DEFAULT", "yes" if server.is_default else "no"),
        ("LABELS", label_text(server) or "-"),
        ("CONFIGURATION", f"revision {server.config_revision}"),
    ]
    lines = [f"{title.capitalize() + ':':<15}{value}" for title, value in facts]
    lines += [
        f"  {document.name} (revision {document.revision}{_source(document)})"
        for document in configurations
    ]
    return lines


def _source(document: ConfigurationSummary) -> str:
    return f", from {document.selector}" if document.selector else ""


def server_json(server: Server) -> dict[str, Any]:
    """Named as in the wire contract; times are ISO 8601 in UTC."""
    capabilities = server.capabilities
    last_seen = server.presence.last_seen
    return {
        "server_id": server.server_id,
        "name": server.name,
        "environment": server.environment,
        "status": server.presence.status.value,
        "approval": server.approval.value,
        "labels": dict(sorted(server.labels.effective.items())),
        "operator_labels": dict(sorted(server.labels.of_operators.items())),
        "ephemeral": server.ephemeral,
        "machine": server.machine,
        "address": server.address,
        "last_seen": iso(last_seen) if last_seen else None,
        "is_default": server.is_default,
        "config_revision": server.config_revision,
        "capabilities": capabilities
        and {
            "total_memory_mb": capabilities.total_memory_mb,
            "available_memory_mb": capabilities.available_memory_mb,
            "cpu_cores": capabilities.cpu_cores,
            "available_cpu_millicores": capabilities.available_cpu_millicores,
            "available_ports": [
                {"start": ports.start, "end": ports.end, "protocol": ports.protocol}
                for ports in capabilities.available_ports
            ],
            "docker_version": capabilities.docker_version,
        },
    }


def summary_json(document: ConfigurationSummary) -> dict[str, Any]:
    return {
        "name": document.name,
        "revision": document.revision,
        "updated_at": iso(document.updated_at),
        "selector": selector_json(document),
    }


def selector_json(document: ConfigurationSummary) -> str | None:
    """None for a document that is attached to one server."""
    return str(document.selector) if document.selector else None


def status_text(server: Server) -> str:
    """`online` or `offline` for an approved server, else its approval: `pending`, `rejected` or
    `banned`."""
    is_approved = server.approval is Approval.APPROVED
    return server.presence.status.value if is_approved else server.approval.value


def label_text(server: Server) -> str:
    """KEY=VALUE, separated by commas; labels that an operator has set are marked."""
    return ", ".join(
        f"{key}={value}{' (operator)' if key in server.labels.of_operators else ''}"
        for key, value in sorted(server.labels.effective.items())
    )


def server_row(server: Server, now: datetime) -> tuple[str, ...]:
    """A cell for each of SERVER_COLUMNS."""
    capabilities = server.capabilities
    cpu = memory = docker = "-"
    if capabilities:
        free_cores = capabilities.available_cpu_millicores / 1000
        cpu = f"{free_cores:.1f}/{capabilities.cpu_cores} free"
        memory = (
            f"{capabilities.available_memory_mb / 1024:.1f}"
            f"/{capabilities.total_memory_mb / 1024:.1f} GiB free"
        )
        docker = capabilities.docker_version or "-"
    last_seen = server.presence.last_seen
    return (
        str(server.server_id),
        server.name,
        server.environment or "-",
        status_text(server),
        ago(last_seen, now) if last_seen else "never",
        cpu,
        memory,
        docker,
    )
