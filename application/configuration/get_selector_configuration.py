from dataclasses import dataclass

from application.ports.store.store import Store
from domain.configuration import Configuration, check_configuration_name
from domain.errors import SelectorConfigurationNotFound
from domain.labels import Selector


@dataclass(frozen=True)
class GetSelectorConfiguration:
    """One document of a selector. Raises InvalidField, SelectorConfigurationNotFound."""

    store: Store

    def __call__(self, selector: Selector, name: str) -> Configuration:
        check_configuration_name(name)
        with self.store.begin() as transaction:
            configuration = transaction.selector_configurations.get(selector, name)
        if configuration is None:
            raise SelectorConfigurationNotFound(str(selector), name)
        return configuration
