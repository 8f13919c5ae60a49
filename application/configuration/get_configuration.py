from dataclasses import dataclass

from application.ports.store.store import Store
from domain.configuration import Configuration, check_configuration_name
from domain.errors import ConfigurationNotFound


@dataclass(frozen=True)
class GetConfiguration:
    """One document of a server. Raises InvalidField, ServerNotFound, ConfigurationNotFound."""

    store: Store

    def __call__(self, server_id: int, name: str) -> Configuration:
        check_configuration_name(name)
        with self.store.begin() as transaction:
            transaction.servers.get(server_id)
            configuration = transaction.configurations.get(server_id, name)
        if configuration is None:
            raise ConfigurationNotFound(server_id, name)
        return configuration
