from dataclasses import dataclass

from amqp import exceptions
from kombu import Connection

from adapters.amqp.broker import Broker
from adapters.amqp.topology import MANMAN, declare_exchanges
from application.ports.probes.broker_probe import BrokerStatus


@dataclass(frozen=True)
class AmqpBrokerProbe:
    """What is there already is declared once more, which the broker refuses to whoever could not
    work with it; where nothing is, nothing is made."""

    broker: Broker

    def check(self) -> BrokerStatus:
        with self.broker.connected() as connection:
            properties = connection.connection.server_properties
            product = f"{properties.get('product')} {properties.get('version')}"
            known = _is_known(connection)
            if known:
                declare_exchanges(connection.channel())
        return BrokerStatus(product, known)


def _is_known(connection: Connection) -> bool:
    try:
        MANMAN(connection.channel()).declare(passive=True)
    except exceptions.NotFound:
        return False
    return True
