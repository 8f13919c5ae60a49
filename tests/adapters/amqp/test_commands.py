import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

import pika
import pytest

from adapters.amqp.batch_consumer import BatchConsumer
from adapters.amqp.broker import Broker
from adapters.amqp.commands import AmqpCommands
from adapters.amqp.host_commands import AmqpHostCommands
from adapters.amqp.publisher import Publisher
from application.ports.host_commands import HostNotListening
from domain.host_command import HostCommand
from tests.support.event_subscriber import channel
from tests.support.processes import eventually

CONSUMER_LOG = "adapters.amqp.batch_consumer"


@dataclass
class Host:
    """A host that sleeps until a command arrives."""

    broker: Broker
    woken: int = 0
    commands: AmqpCommands = field(init=False)

    def __post_init__(self) -> None:
        self.commands = AmqpCommands(self.broker, self._wake)

    def taken(self, times_woken: int) -> set[HostCommand]:
        eventually(lambda: self.woken >= times_woken, "being woken")
        return set(self.commands.take())

    @property
    def consumer(self) -> BatchConsumer:
        assert self.commands._consumer
        return self.commands._consumer

    def _wake(self) -> None:
        self.woken += 1


@pytest.fixture
def broker(rabbitmq_url: str) -> Broker:
    return Broker(rabbitmq_url)


@pytest.fixture
def start_host(broker: Broker) -> Iterator[Callable[[int], Host]]:
    """Starts hosts that listen for commands to a server; they end with the test."""
    hosts: list[Host] = []

    def start(server_id: int) -> Host:
        host = Host(broker)
        hosts.append(host)
        listen(host, server_id)
        return host

    yield start
    for host in hosts:
        host.commands.close()
    eventually(lambda: not listeners(), "threads to end")


@pytest.fixture
def operator(broker: Broker) -> Iterator[AmqpHostCommands]:
    with closing(Publisher(broker)) as publisher:
        yield AmqpHostCommands(publisher)


def listeners() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "commands"]


def listen(host: Host, server_id: int) -> None:
    host.commands.listen(server_id)
    eventually(lambda: consumers(host.broker, server_id) > 0, "somebody who listens")


def consumers(broker: Broker, server_id: int) -> int:
    return int(_declared(broker, f"host-{server_id}-commands").consumer_count)


def waiting(broker: Broker, queue: str) -> int:
    return int(_declared(broker, queue).message_count)


def _declared(broker: Broker, queue: str) -> Any:
    with suppress(pika.exceptions.ChannelClosedByBroker), channel(broker.url) as foreign:
        return foreign.queue_declare(queue, passive=True).method
    return pika.spec.Queue.DeclareOk(queue, message_count=0, consumer_count=0)


def send_by_another_client(broker: Broker, routing_key: str, body: bytes) -> None:
    with channel(broker.url) as foreign:
        foreign.basic_publish("manman", routing_key, body, mandatory=True)


def dead_letters(broker: Broker) -> list[tuple[str, str, str, bytes]]:
    """Routing key, exchange, reason and body of each. Leaves them in the queue."""
    found: list[tuple[str, str, str, bytes]] = []
    with channel(broker.url) as foreign:
        while True:
            method, properties, body = foreign.basic_get("manman.dead-letters")
            if method is None:
                return found
            headers = properties.headers
            found.append((method.routing_key, headers["exchange"], headers["reason"], body))


def test_a_command_wakes_the_host_and_is_received_once(
    start_host: Callable[[int], Host], operator: AmqpHostCommands
) -> None:
    host = start_host(1)
    operator.send(1, HostCommand.CONFIG)

    assert host.taken(times_woken=1) == {HostCommand.CONFIG}
    assert host.taken(times_woken=1) == set()
    assert host.woken == 1


def test_each_kind_of_command_is_received_once_however_often_it_arrives(
    start_host: Callable[[int], Host], operator: AmqpHostCommands
) -> None:
    host = start_host(1)
    for command in (HostCommand.REPORT, HostCommand.CONFIG, HostCommand.REPORT):
        operator.send(1, command)

    assert host.taken(times_woken=3) == {HostCommand.REPORT, HostCommand.CONFIG}
    assert host.taken(times_woken=3) == set()


def test_a_command_that_arrives_later_is_received_again(
    start_host: Callable[[int], Host], operator: AmqpHostCommands
) -> None:
    host = start_host(1)
    for times in (1, 2):
        operator.send(1, HostCommand.REPORT)

        assert host.taken(times_woken=times) == {HostCommand.REPORT}


def test_commands_for_another_server_are_not_received(
    start_host: Callable[[int], Host], operator: AmqpHostCommands
) -> None:
    first, second = start_host(1), start_host(2)
    operator.send(2, HostCommand.CONFIG)

    assert second.taken(times_woken=1) == {HostCommand.CONFIG}
    # A command for the first id would have arrived before this one.
    operator.send(1, HostCommand.REPORT)
    assert first.taken(times_woken=1) == {HostCommand.REPORT}
    assert (first.woken, second.woken) == (1, 1)


def test_a_command_for_a_host_that_never_listened_is_refused(
    start_host: Callable[[int], Host], operator: AmqpHostCommands
) -> None:
    start_host(1)
    with pytest.raises(HostNotListening, match="the host of server 2 does not listen for commands"):
        operator.send(2, HostCommand.CONFIG)


def test_a_host_with_a_new_id_receives_the_commands_for_that_id(
    broker: Broker, start_host: Callable[[int], Host], operator: AmqpHostCommands
) -> None:
    host = start_host(1)
    listen(host, 2)
    eventually(lambda: consumers(broker, 1) == 0, "the other queue to be left")
    operator.send(1, HostCommand.CONFIG)
    operator.send(2, HostCommand.REPORT)

    assert host.taken(times_woken=1) == {HostCommand.REPORT}
    assert waiting(broker, "host-1-commands") == 1
    assert len(listeners()) == 1


def test_a_host_that_registers_again_continues_to_listen(
    broker: Broker, start_host: Callable[[int], Host], operator: AmqpHostCommands
) -> None:
    host = start_host(1)
    before = listeners()
    host.commands.listen(1)
    operator.send(1, HostCommand.CONFIG)

    assert host.taken(times_woken=1) == {HostCommand.CONFIG}
    assert listeners() == before


def test_a_command_sent_while_the_host_was_away_is_received_when_it_returns(
    broker: Broker, start_host: Callable[[int], Host], operator: AmqpHostCommands
) -> None:
    start_host(1).commands.close()
    eventually(lambda: consumers(broker, 1) == 0, "the host to leave")
    operator.send(1, HostCommand.CONFIG)

    assert start_host(1).taken(times_woken=1) == {HostCommand.CONFIG}


def test_an_unknown_command_becomes_a_dead_letter_and_is_logged_once(
    broker: Broker,
    start_host: Callable[[int], Host],
    operator: AmqpHostCommands,
    caplog: pytest.LogCaptureFixture,
) -> None:
    host = start_host(1)
    unknown = ("command.host.1.dance", "command.host.1.config.now", "command.host.1")
    for routing_key in unknown * 2:
        send_by_another_client(broker, routing_key, b"\xff{")
    eventually(lambda: waiting(broker, "manman.dead-letters") == 6, "the dead letters")
    operator.send(1, HostCommand.REPORT)

    assert host.taken(times_woken=1) == {HostCommand.REPORT}
    assert host.woken == 1
    reason = "unknown command: this host knows config, report"
    assert dead_letters(broker) == [
        (routing_key, "manman", reason, b"\xff{") for routing_key in unknown * 2
    ]
    assert [line.getMessage() for line in caplog.records if line.name == CONSUMER_LOG] == [
        f"a message became a dead letter, {routing_key}: {reason}" for routing_key in unknown
    ]


def test_a_host_that_closes_leaves_no_thread_and_receives_nothing_more(
    broker: Broker, start_host: Callable[[int], Host], operator: AmqpHostCommands
) -> None:
    host = start_host(1)
    (thread,) = listeners()
    host.commands.close()
    thread.join(60)
    operator.send(1, HostCommand.CONFIG)

    assert not thread.is_alive()
    assert host.taken(times_woken=0) == set()
    assert waiting(broker, "host-1-commands") == 1
