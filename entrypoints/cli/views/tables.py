"""What operators read: tables for people and JSON for programs."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from unicodedata import combining, east_asian_width

from domain.approval import Approval
from domain.configuration import ConfigurationSummary
from domain.server import Server

SERVER_COLUMNS = (
    "ID",
    "NAME",
    "ENVIRONMENT",
    "STATUS",
    "LAST SEEN",
    "CPU",
    "MEMORY",
    "DOCKER",
)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, two blanks apart."""
    return "\n".join(aligned([columns, *rows]))


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(text_width, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell + " " * (width - text_width(cell))
            for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    ]


def text_width(text: str) -> int:
    """In columns of a terminal, where signs of East Asia and emojis take two, and accents none."""
    return len(text) if text.isascii() else sum(map(_sign_width, text))


def truncate(text: str, width: int) -> str:
    """The text, or as much of its beginning as fits, with a mark at the end."""
    if text_width(text) <= width:
        return text
    room = width - 1
    for end, sign in enumerate(text):
        room -= _sign_width(sign)
        if room < 0:
            return text[:end] + "…"
    return text


def _sign_width(sign: str) -> int:
    if combining(sign):
        return 0
    return 2 if east_asian_width(sign) in "WF" else 1


def server_table(servers: Iterable[Server], now: datetime) -> str:
    return table(SERVER_COLUMNS, [server_row(server, now) for server in servers])


def server_details(
    server: Server, configurations: Sequence[ConfigurationSummary], now: datetime
) -> str:
    row = server_row(server, now)
    facts = [
        *zip(SERVER_COLUMNS, row, strict=True),
        ("DEFAULT", "yes" if server.is_default else "no"),
        ("LABELS", shown_labels(server) or "-"),
        ("CONFIGURATION", f"revision {server.config_revision}"),
    ]
    lines = [f"{name.capitalize() + ':':<15}{value}" for name, value in facts]
    lines += [f"  {found.name} (revision {found.revision}{_of(found)})" for found in configurations]
    return "\n".join(lines)


def _of(found: ConfigurationSummary) -> str:
    return f", of {found.selector}" if found.selector else ""


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


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


def summary_json(found: ConfigurationSummary) -> dict[str, Any]:
    return {
        "name": found.name,
        "revision": found.revision,
        "updated_at": iso(found.updated_at),
        "selector": selector_json(found),
    }


def selector_json(found: ConfigurationSummary) -> str | None:
    """None for a document that hangs on one server."""
    return str(found.selector) if found.selector else None


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ago(moment: datetime, now: datetime) -> str:
    """How long ago, in the largest unit that fits; a clock that is ahead counts as now."""
    seconds = max(0, int((now - moment).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit} ago"
    return f"{seconds}s ago"


def shown_status(server: Server) -> str:
    """Whether it is online, or what an operator has yet to decide about it, or has decided against
    it."""
    is_let_in = server.approval is Approval.APPROVED
    return server.presence.status.value if is_let_in else server.approval.value


def shown_labels(server: Server) -> str:
    """With a mark at those that an operator has set."""
    return ", ".join(
        f"{key}={value}{' (operator)' if key in server.labels.of_operators else ''}"
        for key, value in sorted(server.labels.effective.items())
    )


def server_row(server: Server, now: datetime) -> tuple[str, ...]:
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
        shown_status(server),
        ago(last_seen, now) if last_seen else "never",
        cpu,
        memory,
        docker,
    )
