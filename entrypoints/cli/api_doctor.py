from collections.abc import Sequence

from adapters.amqp.broker import Broker
from adapters.amqp.broker_probe import AmqpBrokerProbe
from adapters.grpc.api_probe import GrpcApiProbe
from adapters.sql.database_probe import SqlDatabaseProbe
from adapters.system.port_probe import SystemPortProbe
from application.examine_api import ExamineApi
from application.run_checks import Check
from entrypoints.api.settings import ApiSettings, MessagesKind, StoreKind
from entrypoints.settings import reached_at
from entrypoints.side_port import why_not_well


def api_checks(settings: ApiSettings, strange_key: str) -> Sequence[Check]:
    in_memory = settings.store_kind is StoreKind.MEMORY
    broker = Broker(settings.rabbitmq_url.reveal(), settings.rabbitmq_ca_cert_path)
    return ExamineApi(
        listen_address=settings.listen_address,
        metrics_address=settings.metrics_address,
        registration_key=settings.registration_key.reveal() if settings.registration_key else "",
        strange_key=strange_key,
        has_operator_key=settings.operator_key is not None,
        database=None if in_memory else SqlDatabaseProbe(settings.database_url.reveal()),
        broker=AmqpBrokerProbe(broker) if settings.messages_kind is MessagesKind.AMQP else None,
        ports=SystemPortProbe(),
        running=GrpcApiProbe(reached_at(settings.listen_address)),
        side_port_answers=lambda address: not why_not_well(address, "manmanv2-api"),
    ).checks()
