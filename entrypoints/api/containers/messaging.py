"""Senders to the message broker: events, and commands to hosts."""

import uuid

from dependency_injector import containers, providers

from adapters.amqp.broker import Broker
from adapters.amqp.events import AmqpEvents
from adapters.amqp.host_commands import AmqpHostCommands
from adapters.amqp.publisher import Publisher
from adapters.memory.events import MemoryEvents
from adapters.memory.host_commands import NoHostCommands
from application.operations.relay_events import RelayEvents
from application.ports.events import Events
from application.ports.host_commands import HostCommands
from entrypoints.api.containers.storage import Storage


def _make_process_name() -> str:
    """Differs between all processes that share a store."""
    return uuid.uuid4().hex


class Messaging(containers.DeclarativeContainer):
    broker: providers.Provider[Broker] = providers.ThreadSafeSingleton(
        Broker,
        url=Storage.settings.provided.rabbitmq_url.reveal.call(),
        ca_file=Storage.settings.provided.rabbitmq_ca_cert_path,
    )
    publisher: providers.Provider[Publisher] = providers.ThreadSafeSingleton(
        Publisher, broker=broker
    )
    # A second one: events that wait for the broker must not make an operator wait.
    event_publisher: providers.Provider[Publisher] = providers.ThreadSafeSingleton(
        Publisher, broker=broker
    )
    unmeasured_events: providers.Provider[Events] = providers.Selector(
        Storage.settings.provided.messages_kind,
        memory=providers.ThreadSafeSingleton(MemoryEvents),
        amqp=providers.ThreadSafeSingleton(
            Storage.traces.provided.events.call(
                events=providers.Factory(AmqpEvents, publisher=event_publisher)
            )
        ),
    )
    events: providers.Provider[Events] = providers.ThreadSafeSingleton(
        Storage.metrics.provided.events.call(events=unmeasured_events)
    )
    relay_events: providers.Provider[RelayEvents] = providers.ThreadSafeSingleton(
        RelayEvents,
        store=Storage.store,
        events=events,
        clock=Storage.clock,
        holder=providers.Callable(_make_process_name),
        hold_back=Storage.settings.provided.events_held_back,
    )
    host_commands: providers.Provider[HostCommands] = providers.Selector(
        Storage.settings.provided.messages_kind,
        memory=providers.ThreadSafeSingleton(NoHostCommands),
        amqp=providers.ThreadSafeSingleton(AmqpHostCommands, publisher=publisher),
    )
