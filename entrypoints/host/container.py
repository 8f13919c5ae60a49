import os
import random
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

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


def _on_or_off(value: object) -> Literal["on", "off"]:
    """Names a branch of a Selector: on if the setting is set or true."""
    return "on" if value else "off"


def _set_path(path: Path | None) -> Path:
    """The path, in the branch of a Selector in which it is set."""
    assert path is not None
    return path


def _make_random_suffix() -> str:
    return uuid.uuid4().hex[:8]


def _make_instance_id() -> str:
    return uuid.uuid4().hex


def _random_fraction() -> float:
    """At least 0, below 1."""
    return random.random()  # nosec B311  # noqa: S311 - it spreads retries and is no secret


def _labels(pairs: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    return dict(pairs)


def _make_machine_evidence(host_root: Path) -> MachineEvidence:
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    return FileMachineEvidence(
        host_root,
        Path(credentials) if credentials else None,
        in_container=host_root == Path("/") and runs_in_container(),
    )


def _make_systemd_notifier() -> Notifier:
    return SystemdNotifier(os.environ)


def _make_key_ring(registration_key: Secret | None) -> KeyRing:
    # A host sends its key in so few calls that the file may be read for each of them.
    return KeyRing(make_registration_keys(registration_key, reload_seconds=0))


def _may_change(registration_key: Secret | None) -> bool:
    return isinstance(registration_key, SecretsInFile)


# AMQP, metrics and tracing are imported only if they are used: a host without them saves 3 MB for
# each of the first two, and more for tracing.


def _make_amqp_control_plane(settings: HostSettings, keys: KeyRing) -> "AmqpControlPlane":
    from adapters.amqp.control_plane import AmqpControlPlane

    return AmqpControlPlane(_make_broker(settings), keys)


def _make_legacy_control_plane(settings: HostSettings, keys: KeyRing) -> "LegacyControlPlane":
    from adapters.amqp.control_plane import LegacyControlPlane

    assert settings.server_id is not None
    return LegacyControlPlane(_make_amqp_control_plane(settings, keys), settings.server_id)


def _make_amqp_commands(settings: HostSettings, wake: Callable[[], None]) -> Commands:
    from adapters.amqp.commands import AmqpCommands

    return AmqpCommands(_make_broker(settings), wake)


def _make_broker(settings: HostSettings) -> "Broker":
    from adapters.amqp.broker import Broker

    assert settings.rabbitmq_url is not None
    return Broker(settings.rabbitmq_url.reveal(), settings.rabbitmq_ca_cert_path)


def _traced(
    control_plane: ConnectedControlPlane, tracing: "Tracing | None"
) -> ConnectedControlPlane:
    if tracing is None:
        return control_plane
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


def _make_registry() -> "CollectorRegistry":
    from prometheus_client import CollectorRegistry

    return CollectorRegistry()


def _make_metrics(registry: "CollectorRegistry") -> "HostMetrics":
    from adapters.prometheus.host_metrics import HostMetrics

    return HostMetrics(registry)


def _make_management_server(
    registry: "CollectorRegistry", metrics: "HostMetrics"
) -> "ManagementServer":
    from adapters.http.management_server import ManagementServer
    from adapters.prometheus.exposition import BuildInfo, metrics_page

    page = metrics_page(registry, BuildInfo("host", VERSION, COMMIT))
    return ManagementServer("manmanv2-host", page, metrics.readiness_problems)


class HostContainer(containers.DeclarativeContainer):
    """Builds every object of `manmanv2-host`."""

    settings: providers.Dependency[HostSettings] = providers.Dependency(instance_of=HostSettings)

    # The machine.
    psutil_machine: providers.Provider[Machine] = providers.ThreadSafeSingleton(PsutilMachine)
    engine: providers.Provider[Machine] = providers.ThreadSafeSingleton(
        DockerMachine,
        socket_path=settings.provided.docker_socket,
        local_machine=psutil_machine,
        in_container=providers.Callable(runs_in_container),
    )
    machine_evidence: providers.Provider[MachineEvidence] = providers.ThreadSafeSingleton(
        _make_machine_evidence, host_root=settings.provided.host_root
    )

    # Metrics, where METRICS_ADDRESS is set.
    has_metrics: providers.Provider[Literal["on", "off"]] = providers.Callable(
        _on_or_off, value=settings.provided.metrics_address
    )
    registry: providers.Provider["CollectorRegistry"] = providers.ThreadSafeSingleton(
        _make_registry
    )
    metrics: providers.Provider["HostMetrics"] = providers.ThreadSafeSingleton(
        _make_metrics, registry=registry
    )
    management_server: providers.Provider["ManagementServer | None"] = providers.Selector(
        has_metrics,
        on=providers.ThreadSafeSingleton(
            _make_management_server, registry=registry, metrics=metrics
        ),
        off=providers.Object(None),
    )
    docker_machine: providers.Provider[Machine] = providers.Selector(
        has_metrics,
        on=providers.ThreadSafeSingleton(_measured_machine, machine=engine, metrics=metrics),
        off=engine,
    )
    machine: providers.Provider[Machine] = providers.Selector(
        providers.Callable(_on_or_off, value=settings.provided.docker_optional),
        on=providers.ThreadSafeSingleton(
            FallbackMachine, with_engine=docker_machine, without_engine=psutil_machine
        ),
        off=docker_machine,
    )
    systemd: providers.Provider[Notifier] = providers.ThreadSafeSingleton(_make_systemd_notifier)
    notifier: providers.Provider[Notifier] = providers.Selector(
        has_metrics,
        on=providers.ThreadSafeSingleton(_measured_notifier, notifier=systemd, metrics=metrics),
        off=systemd,
    )

    # The state in STATE_DIR.
    has_state_dir: providers.Provider[Literal["on", "off"]] = providers.Callable(
        _on_or_off, value=settings.provided.state_dir
    )
    state_dir: providers.Provider[Path] = providers.Callable(
        _set_path, path=settings.provided.state_dir
    )
    state_folder: providers.Provider[StateFolder] = providers.ThreadSafeSingleton(
        DiskStateFolder, path=state_dir
    )
    authority_folder: providers.Provider[AuthorityFolder | None] = providers.Selector(
        has_state_dir,
        on=providers.ThreadSafeSingleton(DiskAuthorityFolder, path=state_dir),
        off=providers.Object(None),
    )
    certificate_folder: providers.Provider[CertificateFolder | None] = providers.Selector(
        has_state_dir,
        on=providers.ThreadSafeSingleton(DiskCertificateFolder, path=state_dir),
        off=providers.Object(None),
    )
    certificate_store: providers.Provider[CertificateStore] = providers.ThreadSafeSingleton(
        CertificateStore, folder=certificate_folder
    )

    # The connection to the API.
    key_ring: providers.Provider[KeyRing] = providers.ThreadSafeSingleton(
        _make_key_ring, registration_key=settings.provided.registration_key
    )
    trust: providers.Provider[ApiTrust] = providers.ThreadSafeSingleton(
        ApiTrust,
        address=settings.provided.api.address,
        tls=settings.provided.api.tls,
        folder=authority_folder,
    )
    key_pairs: providers.Provider[KeyPairs] = providers.ThreadSafeSingleton(SubprocessKeyGenerator)
    enrolment: providers.Provider[Enrolment | None] = providers.Selector(
        providers.Callable(_on_or_off, value=settings.provided.api.tls),
        on=providers.ThreadSafeSingleton(
            Enrolment,
            address=settings.provided.api.address,
            store=certificate_store,
            key_pairs=key_pairs,
            mutual_tls_address=settings.provided.api_mtls_address,
        ),
        off=providers.Object(None),
    )
    transport: providers.Provider[ConnectedControlPlane] = providers.Selector(
        settings.provided.way,
        grpc=providers.ThreadSafeSingleton(
            GrpcControlPlane,
            address=settings.provided.api.address,
            keys=key_ring,
            tls=settings.provided.api.tls,
            trust=trust,
            enrolment=enrolment,
        ),
        amqp=providers.ThreadSafeSingleton(
            _make_amqp_control_plane, settings=settings, keys=key_ring
        ),
        legacy=providers.ThreadSafeSingleton(
            _make_legacy_control_plane, settings=settings, keys=key_ring
        ),
    )
    tracing: providers.Provider["Tracing | None"] = providers.ThreadSafeSingleton(
        make_tracing, settings=settings, service="manmanv2-host"
    )
    traced_transport: providers.Provider[ConnectedControlPlane] = providers.ThreadSafeSingleton(
        _traced, control_plane=transport, tracing=tracing
    )
    control_plane: providers.Provider[ConnectedControlPlane] = providers.Selector(
        has_metrics,
        on=providers.ThreadSafeSingleton(
            _measured, control_plane=traced_transport, metrics=metrics
        ),
        off=traced_transport,
    )

    # The host manager itself.
    sleep: providers.Provider[InterruptibleSleep] = providers.ThreadSafeSingleton(
        InterruptibleSleep
    )
    commands: providers.Provider[Commands | None] = providers.Selector(
        providers.Callable(_on_or_off, value=settings.provided.rabbitmq_url),
        on=providers.ThreadSafeSingleton(
            _make_amqp_commands, settings=settings, wake=sleep.provided.wake
        ),
        off=providers.Object(None),
    )
    sync_configuration: providers.Provider[SyncConfiguration | None] = providers.Selector(
        providers.Callable(_on_or_off, value=settings.provided.config_dir),
        on=providers.ThreadSafeSingleton(
            SyncConfiguration,
            control_plane=control_plane,
            folder=providers.ThreadSafeSingleton(
                DiskConfigurationFolder,
                path=providers.Callable(_set_path, path=settings.provided.config_dir),
            ),
            sleep=sleep,
            keys_may_change=providers.Callable(
                _may_change, registration_key=settings.provided.registration_key
            ),
        ),
        off=providers.Object(None),
    )
    identity: providers.Provider[HostIdentity] = providers.ThreadSafeSingleton(
        HostIdentity,
        evidence=machine_evidence,
        state_folder=providers.Selector(
            has_state_dir,
            on=state_folder,
            off=providers.Object(None),
        ),
        server_name=settings.provided.server_name,
        environment=settings.provided.environment,
        random_suffix=providers.Callable(_make_random_suffix),
        instance_id=providers.Callable(_make_instance_id),
        keys=key_ring,
        certificate=certificate_store,
        labels=providers.Callable(_labels, pairs=settings.provided.labels),
        ephemeral=settings.provided.ephemeral,
    )
    leave_fleet: providers.Provider[LeaveFleet] = providers.ThreadSafeSingleton(
        LeaveFleet,
        control_plane=control_plane,
        identity=identity,
        deregisters=settings.provided.deregister_on_exit,
    )
    # Needs STATE_DIR.
    deregister_host: providers.Provider[DeregisterHost] = providers.ThreadSafeSingleton(
        DeregisterHost,
        control_plane=control_plane,
        state_folder=state_folder,
        evidence=machine_evidence,
        keys=key_ring,
    )
    run_host: providers.Provider[RunHost] = providers.ThreadSafeSingleton(
        RunHost,
        control_plane=control_plane,
        machine=machine,
        identity=identity,
        leave_fleet=leave_fleet,
        sync_configuration=sync_configuration,
        sleep=sleep,
        notifier=notifier,
        random=providers.Object(_random_fraction),
        commands=commands,
        assigned_server_id=settings.provided.server_id,
    )
