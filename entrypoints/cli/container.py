from dependency_injector import containers, providers

from adapters.grpc.client.operator_client import OperatorClient
from entrypoints.cli.settings import CliSettings
from entrypoints.settings import Secret


def _reveal(secret: Secret | None) -> str | None:
    return secret.reveal() if secret else None


class CliContainer(containers.DeclarativeContainer):
    """Builds the client through which `manmanv2` calls the API."""

    settings: providers.Dependency[CliSettings] = providers.Dependency(instance_of=CliSettings)

    operator_client: providers.Provider[OperatorClient] = providers.ThreadSafeSingleton(
        OperatorClient,
        address=settings.provided.api.address,
        operator_key=providers.Callable(_reveal, secret=settings.provided.operator_key),
        tls=settings.provided.api.tls,
    )
