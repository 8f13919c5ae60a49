import re

import pytest

from adapters.amqp.api_probe import AmqpApiProbe
from adapters.amqp.broker import Broker
from adapters.amqp.broker_probe import AmqpBrokerProbe
from adapters.amqp.topology import declare_exchanges
from application.ports.broker import BrokerUnavailable
from application.ports.host.control_plane import ControlPlaneUnavailable
from tests.support.canary_secrets import canary
from tests.support.event_subscriber import channel
from tests.support.services.rabbitmq import RabbitBroker


def trouble_with(url: str) -> str:
    with pytest.raises(BrokerUnavailable) as caught:
        AmqpBrokerProbe(Broker(url)).check()
    return str(caught.value)


def test_an_unused_virtual_host_is_reported_and_left_empty(rabbitmq: RabbitBroker) -> None:
    for _ in range(2):
        found = AmqpBrokerProbe(Broker(rabbitmq.url("dev"))).check()

        assert found.product.startswith("RabbitMQ ")
        assert not found.known


def test_a_used_virtual_host_is_recognised(rabbitmq_url: str) -> None:
    broker = Broker(rabbitmq_url)
    with broker.connected() as connection:
        declare_exchanges(connection.channel())

    assert AmqpBrokerProbe(broker).check().known


def test_an_exchange_of_ours_with_other_properties_is_reported(rabbitmq_url: str) -> None:
    with channel(rabbitmq_url) as foreign:
        foreign.exchange_declare("manman", "fanout", durable=True)

    assert "has an exchange or queue of ours with other properties" in trouble_with(rabbitmq_url)


def test_an_absent_broker_a_wrong_password_and_a_missing_virtual_host_are_distinguished(
    rabbitmq: RabbitBroker,
) -> None:
    wrong = re.sub(r":[^:]*@", f":{canary('other password')}@", rabbitmq.url())

    assert "refuses this user or password" in trouble_with(wrong)
    assert "has no such virtual host" in trouble_with(rabbitmq.url("staging"))
    rabbitmq.stop()
    assert "is not there: nothing listens" in trouble_with(rabbitmq.url())


def test_a_broker_without_an_api_is_reported(rabbitmq_url: str) -> None:
    with pytest.raises(ControlPlaneUnavailable, match="has no API that listens for messages"):
        AmqpApiProbe(Broker(rabbitmq_url)).try_key(canary("key"))
