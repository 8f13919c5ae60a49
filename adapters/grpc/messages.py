"""The domain's values as messages of the wire contract, and back."""

from dataclasses import asdict
from datetime import UTC, datetime

from application.ports.deleted_servers import DeletedServer
from domain.approval import Approval
from domain.capabilities import Capabilities, PortRange
from domain.configuration import Configuration, ConfigurationSummary
from domain.identity import Evidence
from domain.labels import Labels, parse_selector
from domain.liveness import Presence, Status
from domain.server import Server
from protos.manman.v1 import manman_pb2 as pb


def capabilities_from_message(message: pb.ServerCapabilities) -> Capabilities:
    return Capabilities(
        total_memory_mb=message.total_memory_mb,
        available_memory_mb=message.available_memory_mb,
        cpu_cores=message.cpu_cores,
        available_cpu_millicores=message.available_cpu_millicores,
        available_ports=tuple(
            PortRange(ports.start, ports.end, ports.protocol) for ports in message.available_ports
        ),
        docker_version=message.docker_version,
    )


def capabilities_to_message(capabilities: Capabilities) -> pb.ServerCapabilities:
    return pb.ServerCapabilities(
        total_memory_mb=capabilities.total_memory_mb,
        available_memory_mb=capabilities.available_memory_mb,
        cpu_cores=capabilities.cpu_cores,
        available_cpu_millicores=capabilities.available_cpu_millicores,
        available_ports=[
            pb.PortRange(start=ports.start, end=ports.end, protocol=ports.protocol)
            for ports in capabilities.available_ports
        ],
        docker_version=capabilities.docker_version,
    )


def evidence_from_message(message: pb.Evidence) -> Evidence:
    return Evidence(
        machine_id=message.machine_id,
        hardware_id=message.hardware_id,
        engine_id=message.engine_id,
        boot_id=message.boot_id,
        instance_id=message.instance_id,
    )


def evidence_to_message(evidence: Evidence) -> pb.Evidence:
    return pb.Evidence(**asdict(evidence))


def server_to_message(server: Server) -> pb.Server:
    last_seen = server.presence.last_seen
    return pb.Server(
        server_id=server.server_id,
        name=server.name,
        status=server.presence.status,
        last_seen=unix_seconds(last_seen) if last_seen else 0,
        environment=server.environment,
        is_default=server.is_default,
        capabilities=(
            capabilities_to_message(server.capabilities) if server.capabilities else None
        ),
        config_revision=server.config_revision,
        approval=server.approval,
        ephemeral=server.ephemeral,
        labels=server.labels.effective,
        operator_labels=server.labels.of_operators,
        machine=server.machine,
        address=server.address,
    )


def configuration_to_message(configuration: Configuration) -> pb.Configuration:
    return pb.Configuration(
        name=configuration.name,
        document=configuration.document,
        revision=configuration.revision,
        updated_at=unix_seconds(configuration.updated_at),
        selector=str(configuration.selector or ""),
    )


def summary_to_message(summary: ConfigurationSummary) -> pb.Configuration:
    return pb.Configuration(
        name=summary.name,
        revision=summary.revision,
        updated_at=unix_seconds(summary.updated_at),
        selector=str(summary.selector or ""),
    )


def configuration_from_message(message: pb.Configuration) -> Configuration:
    return Configuration(
        name=message.name,
        document=message.document,
        revision=message.revision,
        updated_at=datetime.fromtimestamp(message.updated_at, UTC),
        selector=parse_selector(message.selector) if message.selector else None,
    )


def summary_from_message(message: pb.Configuration) -> ConfigurationSummary:
    return ConfigurationSummary(
        name=message.name,
        revision=message.revision,
        updated_at=datetime.fromtimestamp(message.updated_at, UTC),
        selector=parse_selector(message.selector) if message.selector else None,
    )


def unix_seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def deleted_server_to_message(deleted: DeletedServer) -> pb.DeletedServer:
    return pb.DeletedServer(
        server=server_to_message(deleted.server),
        deleted_at=unix_seconds(deleted.deleted_at),
        purged_at=unix_seconds(deleted.purged_at),
        cause=deleted.cause,
    )


def deleted_server_from_message(message: pb.DeletedServer) -> DeletedServer:
    return DeletedServer(
        server=server_from_message(message.server),
        deleted_at=datetime.fromtimestamp(message.deleted_at, UTC),
        purged_at=datetime.fromtimestamp(message.purged_at, UTC),
        cause=message.cause,
    )


def server_from_message(message: pb.Server) -> Server:
    """What an operator may know of a server: not until when its silence is tolerated."""
    last_seen = datetime.fromtimestamp(message.last_seen, UTC) if message.last_seen else None
    return Server(
        server_id=message.server_id,
        name=message.name,
        environment=message.environment,
        presence=Presence(Status(message.status), last_seen, offline_after=None),
        is_default=message.is_default,
        capabilities=(
            capabilities_from_message(message.capabilities)
            if message.HasField("capabilities")
            else None
        ),
        config_revision=message.config_revision,
        # An older API tells of none, and all that it has are let in.
        approval=Approval(message.approval or Approval.APPROVED),
        ephemeral=message.ephemeral,
        labels=Labels(
            {
                key: value
                for key, value in message.labels.items()
                if key not in message.operator_labels
            },
            dict(message.operator_labels),
        ),
        machine=message.machine,
        address=message.address,
    )
