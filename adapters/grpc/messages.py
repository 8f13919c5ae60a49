"""The domain's values as messages of the wire contract, and back."""

from datetime import UTC, datetime

from domain.capabilities import Capabilities, PortRange
from domain.configuration import Configuration
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
    )


def configuration_to_message(configuration: Configuration) -> pb.Configuration:
    return pb.Configuration(
        name=configuration.name,
        document=configuration.document,
        revision=configuration.revision,
        updated_at=unix_seconds(configuration.updated_at),
    )


def configuration_from_message(message: pb.Configuration) -> Configuration:
    return Configuration(
        name=message.name,
        document=message.document,
        revision=message.revision,
        updated_at=datetime.fromtimestamp(message.updated_at, UTC),
    )


def unix_seconds(moment: datetime) -> int:
    return int(moment.timestamp())


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
    )
