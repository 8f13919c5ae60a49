from dataclasses import dataclass

from application.ports.store import Store
from domain.naming import check_environment, check_name
from domain.server import Server


@dataclass(frozen=True)
class CreateServer:
    """Make a server's record before its host has joined. Raises ServerNameTaken, InvalidField."""

    store: Store

    def __call__(self, name: str, environment: str) -> Server:
        check_name(name)
        check_environment(environment)
        with self.store.begin() as transaction:
            return transaction.servers.add(name, environment)
