from dataclasses import dataclass

from adapters.grpc.messages.hosts import configuration_to_message, summary_to_message
from adapters.grpc.server.host_call_admission import HostCallAdmission
from adapters.grpc.server.peer import certified_caller
from adapters.grpc.server.worker_pool import WorkerPool
from application.configuration.delete_configuration import DeleteConfiguration
from application.configuration.delete_selector_configuration import DeleteSelectorConfiguration
from application.configuration.fetch_configuration import FetchConfiguration
from application.configuration.get_configuration import GetConfiguration
from application.configuration.get_effective_configuration import GetEffectiveConfiguration
from application.configuration.get_selector_configuration import GetSelectorConfiguration
from application.configuration.list_configurations import ListConfigurations
from application.configuration.list_selector_configurations import ListSelectorConfigurations
from application.configuration.put_configuration import PutConfiguration
from application.configuration.put_selector_configuration import PutSelectorConfiguration
from domain.errors import InvalidField
from domain.labels import Selector, parse_selector
from protos.manman.v1 import manman_pb2 as pb


@dataclass(frozen=True)
class ConfigurationService:
    """The calls about configuration documents of one server or of a selector of servers."""

    host_call_admission: HostCallAdmission
    operator_calls: WorkerPool
    fetch_configuration: FetchConfiguration
    put_configuration: PutConfiguration
    get_configuration: GetConfiguration
    list_configurations: ListConfigurations
    delete_configuration: DeleteConfiguration
    put_selector_configuration: PutSelectorConfiguration
    get_selector_configuration: GetSelectorConfiguration
    list_selector_configurations: ListSelectorConfigurations
    delete_selector_configuration: DeleteSelectorConfiguration
    get_effective_configuration: GetEffectiveConfiguration

    async def FetchConfiguration(
        self, request: pb.FetchConfigurationRequest
    ) -> pb.FetchConfigurationResponse:
        changes = await self.host_call_admission.run(
            request.registration_key,
            request.credential,
            self.fetch_configuration,
            request.server_id,
            request.registration_key,
            request.known_revision,
            request.after_revision,
            request.credential,
            certified_caller.get(),
        )
        return pb.FetchConfigurationResponse(
            changed=map(configuration_to_message, changes.changed),
            names=changes.names,
            revision=changes.revision,
            more=changes.more,
        )

    async def PutConfiguration(
        self, request: pb.PutConfigurationRequest
    ) -> pb.PutConfigurationResponse:
        name, document = request.name, request.document
        selector = _selector(request)
        configuration = await (
            self.operator_calls.run(self.put_selector_configuration, selector, name, document)
            if selector
            else self.operator_calls.run(self.put_configuration, request.server_id, name, document)
        )
        return pb.PutConfigurationResponse(configuration=configuration_to_message(configuration))

    async def GetConfiguration(
        self, request: pb.GetConfigurationRequest
    ) -> pb.GetConfigurationResponse:
        selector = _selector(request)
        configuration = await (
            self.operator_calls.run(self.get_selector_configuration, selector, request.name)
            if selector
            else self.operator_calls.run(self.get_configuration, request.server_id, request.name)
        )
        return pb.GetConfigurationResponse(configuration=configuration_to_message(configuration))

    async def ListConfigurations(
        self, request: pb.ListConfigurationsRequest
    ) -> pb.ListConfigurationsResponse:
        summaries = await (
            self.operator_calls.run(self.list_configurations, request.server_id)
            if request.server_id
            else self.operator_calls.run(self.list_selector_configurations)
        )
        return pb.ListConfigurationsResponse(configurations=map(summary_to_message, summaries))

    async def DeleteConfiguration(
        self, request: pb.DeleteConfigurationRequest
    ) -> pb.DeleteConfigurationResponse:
        selector = _selector(request)
        await (
            self.operator_calls.run(self.delete_selector_configuration, selector, request.name)
            if selector
            else self.operator_calls.run(self.delete_configuration, request.server_id, request.name)
        )
        return pb.DeleteConfigurationResponse()

    async def GetEffectiveConfiguration(
        self, request: pb.GetEffectiveConfigurationRequest
    ) -> pb.GetEffectiveConfigurationResponse:
        summaries = await self.operator_calls.run(
            self.get_effective_configuration, request.server_id
        )
        return pb.GetEffectiveConfigurationResponse(
            configurations=map(summary_to_message, summaries)
        )


def _selector(
    request: pb.PutConfigurationRequest
    | pb.GetConfigurationRequest
    | pb.DeleteConfigurationRequest,
) -> Selector | None:
    """The selector that the document belongs to, None if it belongs to one server."""
    if bool(request.server_id) == bool(request.selector):
        raise InvalidField("server_id", "or selector must be set, but not both")
    return parse_selector(request.selector) if request.selector else None
