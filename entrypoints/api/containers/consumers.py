"""Consumers of the message broker: heartbeats and calls of hosts."""

from collections.abc import Callable, Sequence
from functools import partial

from dependency_injector import containers, providers

from adapters.amqp.batch_consumer import BatchConsumer
from adapters.amqp.heartbeat_handler import HeartbeatHandler
from adapters.amqp.rpc_handler import RpcHandler
from adapters.amqp.topology import CALLS, REPORTS
from application.liveness.heartbeat_intake import HeartbeatIntake
from application.liveness.record_heartbeat import RecordHeartbeat
from application.registration.register_server import RegisterServer
from entrypoints.api.containers.access import Access
from entrypoints.api.containers.messaging import Messaging
from entrypoints.api.containers.services import Services
from entrypoints.api.containers.storage import Storage

# The transport of servers that use AMQP, as the store records it.
_AMQP = "amqp"
# Each call is a transaction of its own, and its caller waits for five seconds.
_CALL_BATCH_SIZE = 20


def _make_set_connected(heartbeat_intake: HeartbeatIntake) -> Callable[[bool], None]:
    return partial(heartbeat_intake.set_connected, _AMQP)


class Consumers(containers.DeclarativeContainer):
    record_heartbeat_message: providers.Provider[RecordHeartbeat] = providers.ThreadSafeSingleton(
        RecordHeartbeat,
        store=Storage.store,
        clock=Storage.clock,
        heartbeat_interval=Storage.heartbeat_interval,
        heartbeat_intake=Storage.heartbeat_intake,
        via=_AMQP,
        rules=Storage.settings.provided.registration_rules,
        credentials=Access.host_credentials,
    )
    report_consumer: providers.Provider[BatchConsumer] = providers.ThreadSafeSingleton(
        BatchConsumer,
        broker=Messaging.broker,
        queue=providers.Object(REPORTS),
        handle=Storage.traces.provided.messages.call(
            queue=REPORTS.name,
            handle=providers.Factory(
                HeartbeatHandler,
                record_heartbeat=Storage.metrics.provided.heartbeats.call(
                    via=_AMQP, record=record_heartbeat_message
                ),
            ),
        ),
        on_listening=Storage.metrics.provided.broker_connection.call(
            set_connected=providers.Callable(
                _make_set_connected, heartbeat_intake=Storage.heartbeat_intake
            )
        ),
    )
    call_consumer: providers.Provider[BatchConsumer] = providers.ThreadSafeSingleton(
        BatchConsumer,
        broker=Messaging.broker,
        queue=providers.Object(CALLS),
        handle=providers.Factory(
            RpcHandler,
            register_server=Storage.traces.provided.message.call(
                queue=CALLS.name,
                use_case=providers.Factory(
                    RegisterServer,
                    store=Storage.store,
                    clock=Storage.clock,
                    heartbeat_interval=Storage.heartbeat_interval,
                    authenticate_host=Access.authenticate_host,
                    via=_AMQP,
                    rules=Storage.settings.provided.registration_rules,
                ),
            ),
            fetch_configuration=Storage.traces.provided.message.call(
                queue=CALLS.name, use_case=Services.fetch_configuration
            ),
            deregister_server=Storage.traces.provided.message.call(
                queue=CALLS.name, use_case=Services.deregister_server
            ),
        ),
        # A call that is rejected may hold a key.
        keep_bodies=False,
        max_batch_size=_CALL_BATCH_SIZE,
    )
    consumers: providers.Provider[Sequence[BatchConsumer]] = providers.Selector(
        Storage.settings.provided.messages_kind,
        memory=providers.Object(()),
        amqp=providers.List(report_consumer, call_consumer),
    )
