import os
import random
import uuid
from typing import Protocol

from dependency_injector import containers, providers

from adapters.docker.machine import DockerMachine
from adapters.grpc.control_plane import GrpcControlPlane
from adapters.system.configuration_folder import DiskConfigurationFolder
from adapters.system.containment import runs_in_container
from adapters.system.fallback_machine import FallbackMachine
from adapters.system.notifier import SystemdNotifier
from adapters.system.pause import StoppablePause
from adapters.system.psutil_machine import PsutilMachine
from application.follow_configuration import FollowConfiguration
from application.ports.configuration_folder import ConfigurationFolder
from application.ports.control_plane import ControlPlane
from application.ports.machine import Machine
from application.ports.notifier import Notifier
from application.run_host import RunHost
from entrypoints.host.settings import HostSettings
from entrypoints.settings import Secret


class ConnectedControlPlane(ControlPlane, Protocol):
    """One that holds a connection, which its owner closes."""

    def close(self) -> None: ...


def _reveal(secret: Secret | None) -> str:
    return secret.reveal() if secret else ""


def _switch(setting: object) -> str:
    return "on" if setting else "off"


def _random_suffix() -> str:
    return uuid.uuid4().hex[:8]


class HostContainer(containers.DeclarativeContainer):
    """Everything that `manmanv2-host` is made of."""

    settings: providers.Dependency[HostSettings] = providers.Dependency(instance_of=HostSettings)

    control_plane: providers.Provider[ConnectedControlPlane] = providers.ThreadSafeSingleton(
        GrpcControlPlane,
        settings.provided.api_address,
        providers.Callable(_reveal, settings.provided.registration_key),
    )
    own_figures: providers.Provider[Machine] = providers.ThreadSafeSingleton(PsutilMachine)
    docker_machine: providers.Provider[Machine] = providers.ThreadSafeSingleton(
        DockerMachine,
        settings.provided.docker_socket,
        own_figures,
        in_container=providers.Callable(runs_in_container),
    )
    machine: providers.Provider[Machine] = providers.Selector(
        providers.Callable(_switch, settings.provided.docker_optional),
        on=providers.ThreadSafeSingleton(FallbackMachine, docker_machine, own_figures),
        off=docker_machine,
    )
    pause: providers.Provider[StoppablePause] = providers.ThreadSafeSingleton(StoppablePause)
    notifier: providers.Provider[Notifier] = providers.ThreadSafeSingleton(
        SystemdNotifier, os.environ
    )
    configuration_folder: providers.Provider[ConfigurationFolder] = providers.ThreadSafeSingleton(
        DiskConfigurationFolder, settings.provided.config_dir
    )
    follow_configuration: providers.Provider[FollowConfiguration | None] = providers.Selector(
        providers.Callable(_switch, settings.provided.config_dir),
        on=providers.ThreadSafeSingleton(
            FollowConfiguration, control_plane, configuration_folder, pause
        ),
        off=providers.Object(None),
    )
    run_host: providers.Provider[RunHost] = providers.ThreadSafeSingleton(
        RunHost,
        control_plane=control_plane,
        machine=machine,
        follow_configuration=follow_configuration,
        pause=pause,
        notifier=notifier,
        random=providers.Object(random.random),
        server_name=settings.provided.server_name,
        environment=settings.provided.environment,
        random_suffix=providers.Callable(_random_suffix),
    )
