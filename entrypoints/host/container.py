import os
import random
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dependency_injector import containers, providers

from adapters.docker.machine import DockerMachine
from adapters.grpc.client.host.api_trust import ApiTrust
from adapters.grpc.client.host.control_plane import GrpcControlPlane
from adapters.grpc.client.host.enrolment import Enrolment
from adapters.system.container_detection import runs_in_container
from adapters.system.fallback_machine import FallbackMachine
from adapters.system.files.authority_folder import DiskAuthorityFolder
from adapters.system.files.certificate_folder import DiskCertificateFolder
from adapters.system.files.configuration_folder import DiskConfigurationFolder
from adapters.system.files.state_folder import DiskStateFolder
from adapters.system.machine_evidence import FileMachineEvidence
from adapters.system.notifier import SystemdNotifier
from adapters.system.psutil_machine import PsutilMachine
from adapters.system.sleep import InterruptibleSleep
from adapters.x509.key_pairs import SubprocessKeyGenerator
from application.host.certificate_store import CertificateStore
from application.host.deregister_host import DeregisterHost
from application.host.host_identity import HostIdentity
from application.host.key_ring import KeyRing
from application.host.leave_fleet import LeaveFleet
from application.host.run_host import RunHost
from application.host.sync_configuration import SyncConfiguration
from application.ports.host.authority_folder import AuthorityFolder
from application.ports.host.certificate_folder import CertificateFolder
from application.ports.host.commands import Commands
from application.ports.host.configuration_folder import ConfigurationFolder
from application.ports.host.control_plane import ConnectedControlPlane
from application.ports.host.evidence import MachineEvidence
from application.ports.host.key_pairs import KeyPairs
from application.ports.host.machine import Machine
from application.ports.host.notifier import Notifier
from application.ports.host.state_folder import StateFolder
from entrypoints.host.settings import HostSettings
from entrypoints.registration_keys import make_registration_keys
from entrypoints.settings import COMMIT, VERSION, Secret, SecretsInFile
from entrypoints.tracing import make_tracing

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from adapters.amqp.broker import Broker
    from adapters.amqp.control_plane import AmqpControlPlane, LegacyControlPlane
    from adapters.http.management_server import ManagementServer
    from adapters.opentelemetry.tracing import Tracing
    from adapters.prometheus.host_metrics import HostMetrics


def _reveal(secret: Secret | None) -> str:
    return secret.reveal() if secret else ""


def _switch(setting: object) -> str:
    return "on" if setting else "off"


def _random_suffix() -> str:
    return uuid.uuid4().hex[:8]


def _instance_id() -> str:
    return uuid.uuid4().hex


def _machine_evidence(machine_root: Path) -> MachineEvidence:
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    return FileMachineEvidence(
        machine_root,
        Path(credentials) if credentials else None,
        in_container=machine_root == Path("/") and runs_in_container(),
    )


def _held_keys(registration_key: Secret | None) -> KeyRing:
    # Shown with few calls, each of which is worth a look.
    return KeyRing(make_registration_keys(registration_key, look_every_seconds=0))


def _may_change(registration_key: Secret | None) -> bool:
    return isinstance(registration_key, SecretsInFile)


# What speaks AMQP, what is scraped and what traces is imported only where it is used: a host that
# does without saves 3 MB for each of the first two, and more for the third.


def _amqp_control_plane(settings: HostSettings, keys: KeyRing) -> "AmqpControlPlane":
    from adapters.amqp.control_plane import AmqpControlPlane

    return AmqpControlPlane(_broker(settings), keys)


def _legacy_control_plane(settings: HostSettings, keys: KeyRing) -> "LegacyControlPlane":
    from adapters.amqp.control_plane import LegacyControlPlane

    assert settings.server_id is not None
    return LegacyControlPlane(_amqp_control_plane(settings, keys), settings.server_id)


def _amqp_commands(settings: HostSettings, wake: Callable[[], None]) -> Commands:
    from adapters.amqp.commands import AmqpCommands

    return AmqpCommands(_broker(settings), wake)


def _broker(settings: HostSettings) -> "Broker":
    from adapters.amqp.broker import Broker

    return Broker(_reveal(settings.rabbitmq_url), settings.rabbitmq_ca_cert_path)


def _traced(control_plane: ConnectedControlPlane, tracing: "Tracing") -> ConnectedControlPlane:
    from adapters.opentelemetry.traced_control_plane import TracedControlPlane

    return TracedControlPlane(control_plane, tracing)


def _measured(
    control_plane: ConnectedControlPlane, metrics: "HostMetrics"
) -> ConnectedControlPlane:
    from adapters.prometheus.host_metrics import MeasuredControlPlane

    return MeasuredControlPlane(control_plane, metrics)


def _measured_machine(machine: Machine, metrics: "HostMetrics") -> Machine:
    from adapters.prometheus.host_metrics import MeasuredMachine

    return MeasuredMachine(machine, metrics)


def _measured_notifier(notifier: Notifier, metrics: "HostMetrics") -> Notifier:
    from adapters.prometheus.host_metrics import MeasuredNotifier

    return MeasuredNotifier(notifier, metrics)


def _registry() -> "CollectorRegistry":
    from prometheus_client import CollectorRegistry

    return CollectorRegistry()


def _host_metrics(registry: "CollectorRegistry") -> "HostMetrics":
    from adapters.prometheus.host_metrics import HostMetrics

    return HostMetrics(registry)


def _side_port(registry: "CollectorRegistry", metrics: "HostMetrics") -> "ManagementServer":
    from adapters.http.management_server import ManagementServer
    from adapters.prometheus.exposition import BuildInfo, metrics_page

    page = metrics_page(registry, BuildInfo("host", VERSION, COMMIT))
    return ManagementServer("manmanv2-host", page, metrics.readiness_problems)


class HostContainer(containers.DeclarativeContainer):
    """Everything that `manmanv2-host` is made of."""

    settings: providers.Dependency[HostSettings] = providers.Dependency(instance_of=HostSettings)

    held_keys: providers.Provider[KeyRing] = providers.ThreadSafeSingleton(
        _held_keys, settings.provided.registration_key
    )
    registry: providers.Provider["CollectorRegistry"] = providers.ThreadSafeSingleton(_registry)
    metrics: providers.Provider["HostMetrics"] = providers.ThreadSafeSingleton(
        _host_metrics, registry
    )
    is_watched: providers.Provider[str] = providers.Callable(
        _switch, settings.provided.metrics_address
    )
    management_server: providers.Provider["ManagementServer | None"] = providers.Selector(
        is_watched,
        on=providers.ThreadSafeSingleton(_side_port, registry, metrics),
        off=providers.Object(None),
    )
    has_state_dir: providers.Provider[str] = providers.Callable(
        _switch, settings.provided.state_dir
    )
    authority_folder: providers.Provider[AuthorityFolder | None] = providers.Selector(
        has_state_dir,
        on=providers.ThreadSafeSingleton(DiskAuthorityFolder, settings.provided.state_dir),
        off=providers.Object(None),
    )
    trust: providers.Provider[ApiTrust] = providers.ThreadSafeSingleton(
        ApiTrust, settings.provided.api.address, settings.provided.api.tls, authority_folder
    )
    certificate_folder: providers.Provider[CertificateFolder | None] = providers.Selector(
        has_state_dir,
        on=providers.ThreadSafeSingleton(DiskCertificateFolder, settings.provided.state_dir),
        off=providers.Object(None),
    )
    held_certificate: providers.Provider[CertificateStore] = providers.ThreadSafeSingleton(
        CertificateStore, certificate_folder
    )
    key_pairs: providers.Provider[KeyPairs] = providers.ThreadSafeSingleton(SubprocessKeyGenerator)
    enrolment: providers.Provider[Enrolment | None] = providers.Selector(
        providers.Callable(_switch, settings.provided.api.tls),
        on=providers.ThreadSafeSingleton(
            Enrolment,
            settings.provided.api.address,
            held_certificate,
            key_pairs,
            settings.provided.api_mtls_address,
        ),
        off=providers.Object(None),
    )
    transport: providers.Provider[ConnectedControlPlane] = providers.Selector(
        settings.provided.way,
        grpc=providers.ThreadSafeSingleton(
            GrpcControlPlane,
            settings.provided.api.address,
            held_keys,
            tls=settings.provided.api.tls,
            trust=trust,
            enrolment=enrolment,
        ),
        amqp=providers.ThreadSafeSingleton(_amqp_control_plane, settings, held_keys),
        legacy=providers.ThreadSafeSingleton(_legacy_control_plane, settings, held_keys),
    )
    tracing: providers.Provider["Tracing | None"] = providers.ThreadSafeSingleton(
        make_tracing, settings, "manmanv2-host"
    )
    traced_transport: providers.Provider[ConnectedControlPlane] = providers.Selector(
        providers.Callable(_switch, tracing),
        on=providers.ThreadSafeSingleton(_traced, transport, tracing),
        off=transport,
    )
    control_plane: providers.Provider[ConnectedControlPlane] = providers.Selector(
        is_watched,
        on=providers.ThreadSafeSingleton(_measured, traced_transport, metrics),
        off=traced_transport,
    )
    own_figures: providers.Provider[Machine] = providers.ThreadSafeSingleton(PsutilMachine)
    engine: providers.Provider[Machine] = providers.ThreadSafeSingleton(
        DockerMachine,
        settings.provided.docker_socket,
        own_figures,
        in_container=providers.Callable(runs_in_container),
    )
    docker_machine: providers.Provider[Machine] = providers.Selector(
        is_watched,
        on=providers.ThreadSafeSingleton(_measured_machine, engine, metrics),
        off=engine,
    )
    machine: providers.Provider[Machine] = providers.Selector(
        providers.Callable(_switch, settings.provided.docker_optional),
        on=providers.ThreadSafeSingleton(FallbackMachine, docker_machine, own_figures),
        off=docker_machine,
    )
    pause: providers.Provider[InterruptibleSleep] = providers.ThreadSafeSingleton(
        InterruptibleSleep
    )
    commands: providers.Provider[Commands | None] = providers.Selector(
        providers.Callable(_switch, settings.provided.rabbitmq_url),
        on=providers.ThreadSafeSingleton(_amqp_commands, settings, pause.provided.wake),
        off=providers.Object(None),
    )
    systemd: providers.Provider[Notifier] = providers.ThreadSafeSingleton(
        SystemdNotifier, os.environ
    )
    notifier: providers.Provider[Notifier] = providers.Selector(
        is_watched,
        on=providers.ThreadSafeSingleton(_measured_notifier, systemd, metrics),
        off=systemd,
    )
    configuration_folder: providers.Provider[ConfigurationFolder] = providers.ThreadSafeSingleton(
        DiskConfigurationFolder, settings.provided.config_dir
    )
    follow_configuration: providers.Provider[SyncConfiguration | None] = providers.Selector(
        providers.Callable(_switch, settings.provided.config_dir),
        on=providers.ThreadSafeSingleton(
            SyncConfiguration,
            control_plane,
            configuration_folder,
            pause,
            keys_may_change=providers.Callable(_may_change, settings.provided.registration_key),
        ),
        off=providers.Object(None),
    )
    machine_evidence: providers.Provider[MachineEvidence] = providers.ThreadSafeSingleton(
        _machine_evidence, settings.provided.machine_root
    )
    disk_state: providers.Provider[StateFolder] = providers.ThreadSafeSingleton(
        DiskStateFolder, settings.provided.state_dir
    )
    identity: providers.Provider[HostIdentity] = providers.ThreadSafeSingleton(
        HostIdentity,
        evidence=machine_evidence,
        state_folder=providers.Selector(
            has_state_dir,
            on=disk_state,
            off=providers.Object(None),
        ),
        server_name=settings.provided.server_name,
        environment=settings.provided.environment,
        random_suffix=providers.Callable(_random_suffix),
        instance_id=providers.Callable(_instance_id),
        keys=held_keys,
        certificate=held_certificate,
        labels=providers.Callable(dict, settings.provided.labels),
        ephemeral=settings.provided.ephemeral,
    )
    leave_fleet: providers.Provider[LeaveFleet] = providers.ThreadSafeSingleton(
        LeaveFleet, control_plane, identity, deregisters=settings.provided.deregister_on_exit
    )
    deregister_host: providers.Provider[DeregisterHost] = providers.ThreadSafeSingleton(
        DeregisterHost, control_plane, disk_state, machine_evidence, held_keys
    )
    run_host: providers.Provider[RunHost] = providers.ThreadSafeSingleton(
        RunHost,
        control_plane=control_plane,
        machine=machine,
        identity=identity,
        leave_fleet=leave_fleet,
        follow_configuration=follow_configuration,
        pause=pause,
        notifier=notifier,
        random=providers.Object(random.random),
        commands=commands,
        given_server_id=settings.provided.server_id,
    )
