from dataclasses import dataclass

from adapters.grpc.messages.conflicts import conflict_to_message, dry_run_refusal_to_message
from adapters.grpc.messages.servers import server_to_message
from adapters.grpc.server.page_tokens import decode_page_token, encode_page_token, page_size
from adapters.grpc.server.services.choices import parse_choice
from adapters.grpc.server.worker_pool import WorkerPool
from application.admission.approve_server import ApproveServer
from application.admission.ban_server import BanServer
from application.admission.get_conflict import GetConflict
from application.admission.list_conflicts import ListConflicts
from application.admission.list_dry_run_refusals import ListDryRunRefusals
from application.admission.reject_server import RejectServer
from application.admission.resolve_conflict import ResolveConflict
from domain.conflict import ConflictState, Resolution
from protos.manman.v1 import manman_pb2 as pb


@dataclass(frozen=True)
class AdmissionService:
    """The calls by which operators admit and refuse servers, and resolve conflicts about a name."""

    operator_calls: WorkerPool
    approve_server: ApproveServer
    reject_server: RejectServer
    ban_server: BanServer
    list_conflicts: ListConflicts
    get_conflict: GetConflict
    resolve_conflict: ResolveConflict
    list_dry_run_refusals: ListDryRunRefusals

    async def ApproveServer(self, request: pb.ApproveServerRequest) -> pb.ApproveServerResponse:
        server = await self.operator_calls.run(self.approve_server, request.server_id)
        return pb.ApproveServerResponse(server=server_to_message(server) if server else None)

    async def RejectServer(self, request: pb.RejectServerRequest) -> pb.RejectServerResponse:
        server = await self.operator_calls.run(
            self.reject_server, request.server_id, request.reason
        )
        return pb.RejectServerResponse(server=server_to_message(server))

    async def BanServer(self, request: pb.BanServerRequest) -> pb.BanServerResponse:
        server = await self.operator_calls.run(self.ban_server, request.server_id, request.reason)
        return pb.BanServerResponse(server=server_to_message(server))

    async def ListConflicts(self, request: pb.ListConflictsRequest) -> pb.ListConflictsResponse:
        page = await self.operator_calls.run(
            self.list_conflicts,
            size=page_size(request.page_size),
            after=decode_page_token(request.page_token),
            state=parse_choice(ConflictState, "state", request.state)
            if request.state
            else ConflictState.OPEN,
        )
        return pb.ListConflictsResponse(
            conflicts=map(conflict_to_message, page.conflicts),
            next_page_token=encode_page_token(page.next_after),
        )

    async def GetConflict(self, request: pb.GetConflictRequest) -> pb.GetConflictResponse:
        conflict = await self.operator_calls.run(self.get_conflict, request.conflict_id)
        return pb.GetConflictResponse(conflict=conflict_to_message(conflict))

    async def ResolveConflict(
        self, request: pb.ResolveConflictRequest
    ) -> pb.ResolveConflictResponse:
        conflict = await self.operator_calls.run(
            self.resolve_conflict,
            request.conflict_id,
            parse_choice(Resolution, "resolution", request.resolution),
            request.new_name,
        )
        return pb.ResolveConflictResponse(conflict=conflict_to_message(conflict))

    async def ListWouldReject(
        self, request: pb.ListWouldRejectRequest
    ) -> pb.ListWouldRejectResponse:
        page = await self.operator_calls.run(
            self.list_dry_run_refusals,
            size=page_size(request.page_size),
            after=decode_page_token(request.page_token),
        )
        return pb.ListWouldRejectResponse(
            would_reject=map(dry_run_refusal_to_message, page.entries),
            next_page_token=encode_page_token(page.next_after),
        )
