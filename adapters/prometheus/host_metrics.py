"""Metrics of a host manager, measured by wrapping its ports."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge

from application.ports.host.control_plane import (
    ConnectedControlPlane,
    HeartbeatResult,
    RegistrationRequest,
    RegistrationResult,
)
from application.ports.host.machine import EngineUnavailable, Machine, MachineReport
from application.ports.host.notifier import Notifier
from domain.capabilities import Capabilities
from domain.configuration import ConfigurationChanges
from domain.host_state import HostState


class HostMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.state = Gauge(
            "manmanv2_host_state",
            "1 for the current state of this host manager, 0 for the others.",
            ["state"],
            registry=registry,
        )
        self.last_acknowledged = Gauge(
            "manmanv2_host_last_acknowledged_heartbeat_timestamp_seconds",
            "Unix time of the last heartbeat or registration that the API acknowledged, 0 if none.",
            registry=registry,
        )
        self.heartbeats = Counter(
            "manmanv2_host_heartbeats",
            "Heartbeats by result.",
            ["result"],
            registry=registry,
        )
        self.docker_up = Gauge(
            "manmanv2_host_docker_up", "1 if Docker answered the last request.", registry=registry
        )
        for result in ("acknowledged", "failed"):
            self.heartbeats.labels(result)
        self._current_state: HostState | None = None
        self._is_acknowledged = False
        self.state_changed(HostState.DETECTING)

    def state_changed(self, state: HostState) -> None:
        self._current_state = state
        for each in HostState:
            self.state.labels(each).set(each is state)

    def set_acknowledged(self, acknowledged: bool) -> None:
        self._is_acknowledged = acknowledged
        if acknowledged:
            self.last_acknowledged.set(time.time())

    def readiness_problems(self) -> Sequence[str]:
        """Why the control plane does not know this host at present; empty if it does."""
        if self._current_state is not HostState.RUNNING:
            return [f"the host manager is {self._current_state}"]
        if not self._is_acknowledged:
            return ["the API did not acknowledge the last heartbeat"]
        return []


@dataclass(frozen=True)
class MeasuredControlPlane:
    control_plane: ConnectedControlPlane
    metrics: HostMetrics

    def register(self, registration_request: RegistrationRequest) -> RegistrationResult:
        result = self.control_plane.register(registration_request)
        self.metrics.set_acknowledged(True)
        return result

    def heartbeat(
        self,
        server_id: int,
        capabilities: Capabilities | None,
        *,
        epoch: int = 0,
        leaving: bool = False,
    ) -> HeartbeatResult:
        try:
            result = self.control_plane.heartbeat(
                server_id, capabilities, epoch=epoch, leaving=leaving
            )
        except Exception:
            self.metrics.set_acknowledged(False)
            self.metrics.heartbeats.labels("failed").inc()
            raise
        self.metrics.set_acknowledged(True)
        self.metrics.heartbeats.labels("acknowledged").inc()
        return result

    def fetch_configuration(
        self, server_id: int, known_revision: int, after_revision: int = 0
    ) -> ConfigurationChanges:
        return self.control_plane.fetch_configuration(server_id, known_revision, after_revision)

    def deregister(self, server_id: int, instance_id: str) -> None:
        self.control_plane.deregister(server_id, instance_id)

    def close(self) -> None:
        self.control_plane.close()


@dataclass(frozen=True)
class MeasuredMachine:
    machine: Machine
    metrics: HostMetrics

    def report(self) -> MachineReport:
        try:
            report = self.machine.report()
        except EngineUnavailable:
            self.metrics.docker_up.set(0)
            raise
        self.metrics.docker_up.set(1)
        return report


@dataclass(frozen=True)
class MeasuredNotifier:
    notifier: Notifier
    metrics: HostMetrics

    @property
    def watchdog_interval(self) -> float:
        return self.notifier.watchdog_interval

    def state_changed(self, state: HostState) -> None:
        self.metrics.state_changed(state)
        self.notifier.state_changed(state)

    def ready(self) -> None:
        self.notifier.ready()

    def ping_watchdog(self) -> None:
        self.notifier.ping_watchdog()
