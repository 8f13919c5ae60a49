"""Converts servers to messages of the wire contract, and back. Only operators ask for them."""

from adapters.grpc.messages.hosts import (
    capabilities_from_message,
    capabilities_to_message,
)
from adapters.grpc.messages.times import (
    from_unix_seconds,
    optional_from_unix_seconds,
    to_unix_seconds,
)
from application.ports.store.deleted_servers import DeletedServer
from domain.approval import Approval
from domain.labels import Labels
from domain.liveness import Presence, Status
from domain.server import Server
from protos.manman.v1 import manman_pb2 as pb


def server_to_message(server: Server) -> pb.Server:
    last_seen = server.presence.last_seen
    return pb.Server(
        server_id=server.server_id,
        name=server.name,
        status=server.presence.status,
        last_seen=to_unix_seconds(last_seen),
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


def server_from_message(message: pb.Server) -> Server:
    """What operators see of a server: everything but the time at which it counts as offline."""
    last_seen = optional_from_unix_seconds(message.last_seen)
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
        # An older API sends none, because it admits every server.
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


def deleted_server_to_message(deleted: DeletedServer) -> pb.DeletedServer:
    return pb.DeletedServer(
        server=server_to_message(deleted.server),
        deleted_at=to_unix_seconds(deleted.deleted_at),
        purged_at=to_unix_seconds(deleted.purged_at),
        cause=deleted.cause,
    )


def deleted_server_from_message(message: pb.DeletedServer) -> DeletedServer:
    return DeletedServer(
        server=server_from_message(message.server),
        deleted_at=from_unix_seconds(message.deleted_at),
        purged_at=from_unix_seconds(message.purged_at),
        cause=message.cause,
    )
