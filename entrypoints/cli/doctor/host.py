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
from application.doctor.api_access import ApiAccess
from application.doctor.engine_check import EngineCheck
from application.doctor.host_checks import HostChecks
from application.doctor.name_check import NameCheck
from application.doctor.run_checks import Check
from application.ports.probes.api_probe import ApiProbe
from entrypoints.host.settings import HostSettings, Transport
from entrypoints.management_server import health_problem
from entrypoints.registration_keys import make_registration_keys


def host_checks(settings: HostSettings, random_key: str) -> Sequence[Check]:
    local_machine, in_container = PsutilMachine(), runs_in_container()
    docker = DockerMachine(settings.docker_socket, local_machine, in_container=in_container)
    url, state_dir = settings.rabbitmq_url, settings.state_dir
    broker = Broker(url.reveal(), settings.rabbitmq_ca_cert_path) if url else None
    saved_state = DiskStateFolder(state_dir).peek if state_dir else lambda: None
    engine = EngineCheck(
        engine=docker,
        socket=settings.docker_socket,
        optional=settings.docker_optional,
        other_socket=SocketDiscovery(docker, Path(os.environ.get("HOME", "/"))),
    )
    api = _api_probe(settings, broker)
    keys = make_registration_keys(settings.registration_key)() or ("",)
    return HostChecks(
        engine=engine,
        name=NameCheck(
            server_name=settings.server_name,
            environment=settings.environment,
            server_id=settings.server_id,
            in_container=in_container,
            docker_optional=settings.docker_optional,
            has_state_dir=state_dir is not None,
            saved_state=saved_state,
            local_machine=local_machine,
            engine_hostname=lambda: engine.hostname,
        ),
        broker=AmqpBrokerProbe(broker) if broker else None,
        access=ApiAccess(api, keys, saved_state) if api else None,
        api_address="" if settings.way is Transport.AMQP else settings.api_address,
        random_key=random_key,
        config_dir=settings.config_dir,
        state_dir=state_dir,
        write_problem=write_problem,
        metrics_address=settings.metrics_address,
        ports=SystemPortProbe(),
        management_server_answers=lambda address: not health_problem(address, "manmanv2-host"),
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
