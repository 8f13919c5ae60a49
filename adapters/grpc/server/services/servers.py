from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from adapters.grpc.messages.servers import server_to_message
from adapters.grpc.server.page_tokens import decode_page_token, encode_page_token, page_size
from adapters.grpc.server.services.choices import parse_choice
from adapters.grpc.server.worker_pool import WorkerPool
from application.servers.create_server import CreateServer
from application.servers.get_server import GetServer
from application.servers.label_server import LabelServer
from application.servers.list_servers import ListServers
from application.servers.refresh_server import RefreshServer
from application.servers.update_server import ServerChanges, UpdateServer
from domain.approval import Approval
from domain.errors import InvalidField
from domain.labels import parse_selector
from domain.liveness import Status
from protos.manman.v1 import manman_pb2 as pb


@dataclass(frozen=True)
class ServerService:
    """The calls by which operators list, create and change servers.

    They run on threads of their own, so that hosts and operators cannot starve each other.
    """

    operator_calls: WorkerPool
    list_servers: ListServers
    get_server: GetServer
    create_server: CreateServer
    update_server: UpdateServer
    label_server: LabelServer
    refresh_server: RefreshServer

    async def ListServers(self, request: pb.ListServersRequest) -> pb.ListServersResponse:
        size = page_size(request.page_size)
        not_seen_for = request.not_seen_for_seconds
        if not 0 <= not_seen_for <= _MAX_SILENCE_SECONDS:
            raise InvalidField("not_seen_for_seconds", f"must be from 0 to {_MAX_SILENCE_SECONDS}")
        page = await self.operator_calls.run(
            self.list_servers,
            size=size,
            after=decode_page_token(request.page_token),
            environment=request.environment or None,
            status=parse_choice(Status, "status", request.status) if request.status else None,
            not_seen_for=timedelta(seconds=not_seen_for) if not_seen_for else None,
            approval=parse_choice(Approval, "approval", request.approval)
            if request.approval
            else None,
            selector=parse_selector(request.selector) if request.selector else None,
        )
        return pb.ListServersResponse(
            servers=map(server_to_message, page.servers),
            next_page_token=encode_page_token(page.next_after),
        )

    async def GetServer(self, request: pb.GetServerRequest) -> pb.GetServerResponse:
        server = await self.operator_calls.run(self.get_server, request.server_id)
        return pb.GetServerResponse(server=server_to_message(server))

    async def CreateServer(self, request: pb.CreateServerRequest) -> pb.CreateServerResponse:
        server = await self.operator_calls.run(
            self.create_server, request.name, request.environment
        )
        return pb.CreateServerResponse(server=server_to_message(server))

    async def UpdateServer(self, request: pb.UpdateServerRequest) -> pb.UpdateServerResponse:
        server = await self.operator_calls.run(
            self.update_server, request.server_id, _changes(request)
        )
        return pb.UpdateServerResponse(server=server_to_message(server))

    async def LabelServer(self, request: pb.LabelServerRequest) -> pb.LabelServerResponse:
        server = await self.operator_calls.run(
            self.label_server, request.server_id, dict(request.set), list(request.unset)
        )
        return pb.LabelServerResponse(server=server_to_message(server))

    async def RefreshServer(self, request: pb.RefreshServerRequest) -> pb.RefreshServerResponse:
        await self.operator_calls.run(self.refresh_server, request.server_id)
        return pb.RefreshServerResponse()


# A thousand years. More cannot be subtracted from the current time.
_MAX_SILENCE_SECONDS = 1000 * 365 * 24 * 3600


_UPDATABLE: dict[str, Callable[[pb.UpdateServerRequest], Any]] = {
    "name": lambda request: request.name,
    "status": lambda request: parse_choice(Status, "status", request.status),
    "is_default": lambda request: request.is_default,
}


def _changes(request: pb.UpdateServerRequest) -> ServerChanges:
    changes = {}
    for index, path in enumerate(request.update_paths):
        if path not in _UPDATABLE:
            raise InvalidField(f"update_paths[{index}]", f"must be one of {', '.join(_UPDATABLE)}")
        changes[path] = _UPDATABLE[path](request)
    if not changes:
        raise InvalidField("update_paths", "must name at least one field")
    return ServerChanges(**changes)
