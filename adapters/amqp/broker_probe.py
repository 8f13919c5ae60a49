from dataclasses import dataclass

from amqp import exceptions
from kombu import Connection

from adapters.amqp.broker import Broker
from adapters.amqp.topology import MANMAN, declare_exchanges
from application.ports.probes.broker_probe import BrokerStatus


@dataclass(frozen=True)
class AmqpBrokerProbe:
    """Checks that this user could work with the broker.

    Declares existing exchanges and queues again, which the broker refuses to a user without the
    permissions. Creates nothing where none exist.
    """

    broker: Broker

    def check(self) -> BrokerStatus:
        with self.broker.connected() as connection:
            properties = connection.connection.server_properties
            product = f"{properties.get('product')} {properties.get('version')}"
            is_set_up = _is_set_up(connection)
            if is_set_up:
                declare_exchanges(connection.channel())
        return BrokerStatus(product, is_set_up)


def _is_set_up(connection: Connection) -> bool:
    try:
        MANMAN(connection.channel()).declare(passive=True)
    except exceptions.NotFound:
        return False
    return True
