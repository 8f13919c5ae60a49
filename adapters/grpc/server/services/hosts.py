from dataclasses import dataclass
from datetime import timedelta

from adapters.grpc.messages.hosts import capabilities_from_message, evidence_from_message
from adapters.grpc.messages.servers import server_to_message
from adapters.grpc.server.group_commit import GroupCommit
from adapters.grpc.server.host_call_admission import HostCallAdmission
from adapters.grpc.server.peer import caller_address, certified_caller
from application.liveness.record_heartbeat import Acknowledged, Heartbeat
from application.registration.register_server import RegisterServer, Registration
from domain.approval import Approval
from domain.capabilities import Capabilities
from protos.manman.v1 import manman_pb2 as pb


@dataclass(frozen=True)
class HostService:
    """The calls by which hosts register and report that they are alive.

    `mutual_tls_port` is the port for hosts with a certificate, 0 if there is none.
    """

    host_call_admission: HostCallAdmission
    heartbeats: GroupCommit[Heartbeat, Acknowledged]
    register_server: RegisterServer
    mutual_tls_port: int = 0

    async def RegisterServer(self, request: pb.RegisterServerRequest) -> pb.RegisterServerResponse:
        registration = Registration(
            name=request.name,
            environment=request.environment,
            capabilities=_reported(request),
            registration_key=request.registration_key,
            evidence=evidence_from_message(request.evidence),
            labels=dict(request.labels.labels) if request.HasField("labels") else None,
            ephemeral=request.ephemeral,
            address=caller_address.get(),
            credential=request.credential,
            certified_as=certified_caller.get(),
            signing_request=request.signing_request,
        )
        registered = await self.host_call_admission.run(
            request.registration_key, request.credential, self.register_server, registration
        )
        return pb.RegisterServerResponse(
            server_id=registered.server.server_id,
            server=server_to_message(registered.server),
            next_heartbeat_seconds=_seconds(registered.next_heartbeat),
            config_revision=registered.config_revision,
            epoch=registered.server.epoch,
            credential=registered.credential,
            certificate=registered.certificate,
            mutual_tls_port=self.mutual_tls_port,
        )

    async def Heartbeat(self, request: pb.HeartbeatRequest) -> pb.HeartbeatResponse:
        acknowledged = await self.heartbeats.submit(
            Heartbeat(
                request.server_id,
                _reported(request),
                request.leaving,
                request.epoch,
                request.credential,
                certified_caller.get(),
            )
        )
        return pb.HeartbeatResponse(
            acknowledged=True,
            next_heartbeat_seconds=_seconds(acknowledged.next_heartbeat),
            config_revision=acknowledged.config_revision,
            # Most responses omit it: most servers are approved, and heartbeats are many.
            approval="" if acknowledged.approval is Approval.APPROVED else acknowledged.approval,
            credential=acknowledged.credential,
        )


def _reported(request: pb.RegisterServerRequest | pb.HeartbeatRequest) -> Capabilities | None:
    if request.HasField("capabilities"):
        return capabilities_from_message(request.capabilities)
    return None


def _seconds(interval: timedelta) -> int:
    return int(interval.total_seconds())
