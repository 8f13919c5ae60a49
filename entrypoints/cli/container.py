from dependency_injector import containers, providers

from adapters.grpc.client.operator_client import OperatorClient
from entrypoints.cli.settings import CliSettings


class CliContainer(containers.DeclarativeContainer):
    """Everything that `manmanv2` talks through."""

    settings: providers.Dependency[CliSettings] = providers.Dependency(instance_of=CliSettings)

    operator_client: providers.Provider[OperatorClient] = providers.ThreadSafeSingleton(
        OperatorClient,
        settings.provided.api.address,
        providers.Callable(
            lambda key: key.reveal() if key else None, settings.provided.operator_key
        ),
        settings.provided.api.tls,
    )
