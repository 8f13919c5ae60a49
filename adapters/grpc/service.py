from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from adapters.grpc.group_commit import GroupCommit
from adapters.grpc.messages import (
    capabilities_from_message,
    configuration_to_message,
    server_to_message,
    unix_seconds,
)
from adapters.grpc.page_tokens import decode_page_token, encode_page_token
from adapters.grpc.worker_pool import WorkerPool
from application.create_server import CreateServer
from application.delete_configuration import DeleteConfiguration
from application.delete_server import DeleteServer
from application.fetch_configuration import FetchConfiguration
from application.get_configuration import GetConfiguration
from application.get_server import GetServer
from application.list_configurations import ListConfigurations
from application.list_servers import ListServers
from application.put_configuration import PutConfiguration
from application.record_heartbeat import Acknowledged, Heartbeat
from application.refresh_server import RefreshServer
from application.register_server import RegisterServer, Registration
from application.update_server import ServerChanges, UpdateServer
from domain.errors import InvalidField
from domain.liveness import Status
from protos.manman.v1 import manman_pb2 as pb

T = TypeVar("T")

DEFAULT_PAGE_SIZE = 50
LARGEST_PAGE_SIZE = 100


@dataclass(frozen=True)
class ManManService:
    """Each call of the wire contract: the message in, a use case, the message out.

    Hosts and operators have threads of their own, so that neither can starve the other.
    """

    host_calls: WorkerPool
    operator_calls: WorkerPool
    heartbeats: GroupCommit[Heartbeat, Acknowledged]
    register_server: RegisterServer
    fetch_configuration: FetchConfiguration
    list_servers: ListServers
    get_server: GetServer
    create_server: CreateServer
    update_server: UpdateServer
    delete_server: DeleteServer
    refresh_server: RefreshServer
    put_configuration: PutConfiguration
    get_configuration: GetConfiguration
    list_configurations: ListConfigurations
    delete_configuration: DeleteConfiguration

    async def RegisterServer(self, request: pb.RegisterServerRequest) -> pb.RegisterServerResponse:
        registration = Registration(
            name=request.name,
            environment=request.environment,
            capabilities=_reported(request),
            registration_key=request.registration_key,
        )
        registered = await self.host_calls.run(self.register_server, registration)
        return pb.RegisterServerResponse(
            server_id=registered.server.server_id,
            server=server_to_message(registered.server),
            next_heartbeat_seconds=_seconds(registered.next_heartbeat),
            config_revision=registered.server.config_revision,
        )

    async def Heartbeat(self, request: pb.HeartbeatRequest) -> pb.HeartbeatResponse:
        acknowledged = await self.heartbeats.submit(
            Heartbeat(request.server_id, _reported(request), request.leaving)
        )
        return pb.HeartbeatResponse(
            acknowledged=True,
            next_heartbeat_seconds=_seconds(acknowledged.next_heartbeat),
            config_revision=acknowledged.config_revision,
        )

    async def FetchConfiguration(
        self, request: pb.FetchConfigurationRequest
    ) -> pb.FetchConfigurationResponse:
        changes = await self.host_calls.run(
            self.fetch_configuration,
            request.server_id,
            request.registration_key,
            request.known_revision,
        )
        return pb.FetchConfigurationResponse(
            changed=map(configuration_to_message, changes.changed),
            names=changes.names,
            revision=changes.revision,
            more=changes.more,
        )

    async def ListServers(self, request: pb.ListServersRequest) -> pb.ListServersResponse:
        if not 0 <= request.page_size <= LARGEST_PAGE_SIZE:
            raise InvalidField("page_size", f"must be from 0 to {LARGEST_PAGE_SIZE}")
        not_seen_for = request.not_seen_for_seconds
        if not 0 <= not_seen_for <= _LONGEST_SILENCE_SECONDS:
            raise InvalidField(
                "not_seen_for_seconds", f"must be from 0 to {_LONGEST_SILENCE_SECONDS}"
            )
        page = await self.operator_calls.run(
            self.list_servers,
            size=request.page_size or DEFAULT_PAGE_SIZE,
            after=decode_page_token(request.page_token),
            environment=request.environment or None,
            status=_status(request.status) if request.status else None,
            not_seen_for=timedelta(seconds=not_seen_for) if not_seen_for else None,
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

    async def DeleteServer(self, request: pb.DeleteServerRequest) -> pb.DeleteServerResponse:
        await self.operator_calls.run(self.delete_server, request.server_id)
        return pb.DeleteServerResponse()

    async def RefreshServer(self, request: pb.RefreshServerRequest) -> pb.RefreshServerResponse:
        await self.operator_calls.run(self.refresh_server, request.server_id)
        return pb.RefreshServerResponse()

    async def PutConfiguration(
        self, request: pb.PutConfigurationRequest
    ) -> pb.PutConfigurationResponse:
        configuration = await self.operator_calls.run(
            self.put_configuration, request.server_id, request.name, request.document
        )
        return pb.PutConfigurationResponse(configuration=configuration_to_message(configuration))

    async def GetConfiguration(
        self, request: pb.GetConfigurationRequest
    ) -> pb.GetConfigurationResponse:
        configuration = await self.operator_calls.run(
            self.get_configuration, request.server_id, request.name
        )
        return pb.GetConfigurationResponse(configuration=configuration_to_message(configuration))

    async def ListConfigurations(
        self, request: pb.ListConfigurationsRequest
    ) -> pb.ListConfigurationsResponse:
        summaries = await self.operator_calls.run(self.list_configurations, request.server_id)
        return pb.ListConfigurationsResponse(
            configurations=[
                pb.Configuration(
                    name=summary.name,
                    revision=summary.revision,
                    updated_at=unix_seconds(summary.updated_at),
                )
                for summary in summaries
            ]
        )

    async def DeleteConfiguration(
        self, request: pb.DeleteConfigurationRequest
    ) -> pb.DeleteConfigurationResponse:
        await self.operator_calls.run(self.delete_configuration, request.server_id, request.name)
        return pb.DeleteConfigurationResponse()


# A thousand years; what is longer cannot be subtracted from today.
_LONGEST_SILENCE_SECONDS = 1000 * 365 * 24 * 3600


def _reported(request: pb.RegisterServerRequest | pb.HeartbeatRequest) -> Any:
    if request.HasField("capabilities"):
        return capabilities_from_message(request.capabilities)
    return None


def _seconds(interval: timedelta) -> int:
    return int(interval.total_seconds())


def _status(text: str) -> Status:
    try:
        return Status(text)
    except ValueError:
        raise InvalidField("status", "must be online or offline") from None


_UPDATABLE: dict[str, Callable[[pb.UpdateServerRequest], Any]] = {
    "name": lambda request: request.name,
    "status": lambda request: _status(request.status),
    "is_default": lambda request: request.is_default,
}


def _changes(request: pb.UpdateServerRequest) -> ServerChanges:
    changes = {}
    for index, path in enumerate(request.update_paths):
        if path not in _UPDATABLE:
            raise InvalidField(f"update_paths[{index}]", f"must be one of {', '.join(_UPDATABLE)}")
        changes[path] = _UPDATABLE[path](request)
    if not changes:
        raise InvalidField("update_paths", "must name what to write")
    return ServerChanges(**changes)
