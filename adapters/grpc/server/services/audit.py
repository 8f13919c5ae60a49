from dataclasses import dataclass

from adapters.grpc.messages.audit import audit_entry_to_message
from adapters.grpc.server.page_tokens import decode_page_token, encode_page_token, page_size
from adapters.grpc.server.worker_pool import WorkerPool
from application.operators.list_audit import ListAudit
from protos.manman.v1 import manman_pb2 as pb


@dataclass(frozen=True)
class AuditService:
    """The call by which admins read the audit log."""

    operator_calls: WorkerPool
    list_audit: ListAudit

    async def ListAudit(self, request: pb.ListAuditRequest) -> pb.ListAuditResponse:
        page = await self.operator_calls.run(
            self.list_audit,
            size=page_size(request.page_size),
            before=decode_page_token(request.page_token),
            server_id=request.server_id,
            actor=request.actor,
        )
        return pb.ListAuditResponse(
            entries=map(audit_entry_to_message, page.entries),
            next_page_token=encode_page_token(page.next_before),
        )
