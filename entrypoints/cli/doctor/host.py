import os
from collections.abc import Sequence
from pathlib import Path

from adapters.amqp.api_probe import AmqpApiProbe
from adapters.amqp.broker import Broker
from adapters.amqp.broker_probe import AmqpBrokerProbe
from adapters.docker.machine import DockerMachine
from adapters.docker.socket_discovery import SocketDiscovery
from adapters.grpc.client.api_probe import GrpcApiProbe
from adapters.grpc.client.host.api_trust import ApiTrust
from adapters.system.container_detection import runs_in_container
from adapters.system.files.authority_folder import ReadOnlyAuthorityFolder
from adapters.system.files.state_folder import DiskStateFolder
from adapters.system.files.write_access import write_problem
from adapters.system.port_probe import SystemPortProbe
from adapters.system.psutil_machine import PsutilMachine
from application.doctor.host_checks import HostChecks
from application.doctor.run_checks import Check
from application.ports.probes.api_probe import ApiProbe
from entrypoints.host.settings import HostSettings, Transport
from entrypoints.management_server import health_problem
from entrypoints.registration_keys import make_registration_keys


def host_checks(settings: HostSettings, random_key: str) -> Sequence[Check]:
    itself = PsutilMachine()
    engine = DockerMachine(settings.docker_socket, itself, in_container=runs_in_container())
    url = settings.rabbitmq_url
    key, *other_keys = make_registration_keys(settings.registration_key)() or ("",)
    broker = Broker(url.reveal(), settings.rabbitmq_ca_cert_path) if url else None
    return HostChecks(
        server_name=settings.server_name,
        environment=settings.environment,
        server_id=settings.server_id,
        registration_key=key,
        other_keys=other_keys,
        random_key=random_key,
        api_address=settings.api_address,
        docker_socket=settings.docker_socket,
        docker_optional=settings.docker_optional,
        in_container=engine.in_container,
        config_dir=settings.config_dir,
        state_dir=settings.state_dir,
        metrics_address=settings.metrics_address,
        engine=engine,
        itself=itself,
        other_engine_socket=SocketDiscovery(engine, Path(os.environ.get("HOME", "/"))),
        api=_api_probe(settings, broker),
        broker=AmqpBrokerProbe(broker) if broker else None,
        over_amqp=settings.way is Transport.AMQP,
        kept=DiskStateFolder(settings.state_dir).peek if settings.state_dir else lambda: None,
        write_problem=write_problem,
        ports=SystemPortProbe(),
        side_port_answers=lambda address: not health_problem(address, "manmanv2-host"),
    ).checks()


def _api_probe(settings: HostSettings, broker: Broker | None) -> ApiProbe | None:
    match settings.way:
        case Transport.GRPC:
            address, tls = settings.api.address, settings.api.tls
            kept = ReadOnlyAuthorityFolder(settings.state_dir) if settings.state_dir else None
            return GrpcApiProbe(address, tls, ApiTrust(address, tls, kept))
        case Transport.AMQP:
            assert broker
            return AmqpApiProbe(broker)
        case Transport.LEGACY:
            return None
