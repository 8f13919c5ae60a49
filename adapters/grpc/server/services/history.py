from dataclasses import dataclass

from adapters.grpc.messages.history import entry_to_message
from adapters.grpc.messages.servers import server_to_message
from adapters.grpc.server.worker_pool import WorkerPool
from application.servers.explain_server import ExplainServer
from application.servers.merge_servers import MergeServers
from protos.manman.v1 import manman_pb2 as pb


@dataclass(frozen=True)
class HistoryService:
    """The calls by which operators read the history of a server, and merge two servers into one."""

    operator_calls: WorkerPool
    explain_server: ExplainServer
    merge_servers: MergeServers

    async def ExplainServer(self, request: pb.ExplainServerRequest) -> pb.ExplainServerResponse:
        explained = await self.operator_calls.run(self.explain_server, request.server_id)
        return pb.ExplainServerResponse(
            sentences=explained.sentences, history=map(entry_to_message, explained.history)
        )

    async def MergeServers(self, request: pb.MergeServersRequest) -> pb.MergeServersResponse:
        server = await self.operator_calls.run(
            self.merge_servers, request.old_server_id, request.new_server_id
        )
        return pb.MergeServersResponse(server=server_to_message(server))
