from dataclasses import dataclass

from adapters.grpc.messages.servers import deleted_server_to_message, server_to_message
from adapters.grpc.server.host_call_admission import HostCallAdmission
from adapters.grpc.server.page_tokens import decode_page_token, encode_page_token, page_size
from adapters.grpc.server.peer import certified_caller
from adapters.grpc.server.worker_pool import WorkerPool
from application.removal.delete_server import DeleteServer
from application.removal.deregister_server import DeregisterServer
from application.removal.list_deleted_servers import ListDeletedServers
from application.removal.prune_servers import PruneServers
from application.removal.restore_server import RestoreServer
from protos.manman.v1 import manman_pb2 as pb


@dataclass(frozen=True)
class RemovalService:
    """The calls that remove servers from the fleet, and restore them."""

    host_call_admission: HostCallAdmission
    operator_calls: WorkerPool
    deregister_server: DeregisterServer
    delete_server: DeleteServer
    list_deleted_servers: ListDeletedServers
    restore_server: RestoreServer
    prune_servers: PruneServers

    async def Deregister(self, request: pb.DeregisterRequest) -> pb.DeregisterResponse:
        await self.host_call_admission.run(
            request.registration_key,
            request.credential,
            self.deregister_server,
            request.server_id,
            request.registration_key,
            request.instance_id,
            request.credential,
            certified_caller.get(),
        )
        return pb.DeregisterResponse()

    async def DeleteServer(self, request: pb.DeleteServerRequest) -> pb.DeleteServerResponse:
        await self.operator_calls.run(self.delete_server, request.server_id, force=request.force)
        return pb.DeleteServerResponse()

    async def ListDeletedServers(
        self, request: pb.ListDeletedServersRequest
    ) -> pb.ListDeletedServersResponse:
        page = await self.operator_calls.run(
            self.list_deleted_servers,
            size=page_size(request.page_size),
            after=decode_page_token(request.page_token),
        )
        return pb.ListDeletedServersResponse(
            servers=map(deleted_server_to_message, page.servers),
            next_page_token=encode_page_token(page.next_after),
        )

    async def RestoreServer(self, request: pb.RestoreServerRequest) -> pb.RestoreServerResponse:
        server = await self.operator_calls.run(self.restore_server, request.server_id, request.name)
        return pb.RestoreServerResponse(server=server_to_message(server))

    async def PruneServers(self, request: pb.PruneServersRequest) -> pb.PruneServersResponse:
        pruned = await self.operator_calls.run(self.prune_servers, dry_run=request.dry_run)
        return pb.PruneServersResponse(
            servers=map(server_to_message, pruned.servers), more=pruned.more
        )
