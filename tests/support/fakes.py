"""Fakes of the host manager's ports: they record calls and return the answers that a test sets."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from application.host.certificate_store import CertificateStore
from application.host.host_identity import HostIdentity
from application.host.key_ring import KeyRing
from application.ports.host.certificate_folder import HostCertificate
from application.ports.host.control_plane import (
    HeartbeatResult,
    RegistrationRequest,
    RegistrationResult,
)
from application.ports.host.machine import MachineReport
from application.ports.host.state_folder import QuarantineReason, SavedState
from domain.capabilities import Capabilities
from domain.configuration import Configuration, ConfigurationChanges
from domain.host_command import HostCommand
from domain.host_state import HostState
from domain.machine_evidence import Evidence

T = TypeVar("T")

CAPABILITIES = Capabilities(
    total_memory_mb=8192,
    available_memory_mb=4096,
    cpu_cores=4,
    available_cpu_millicores=3000,
    docker_version="29.1.2",
)
JOINED = RegistrationResult(server_id=42, next_heartbeat=timedelta(seconds=16), config_revision=0)
HEARTBEAT_RESULT = HeartbeatResult(next_heartbeat=timedelta(seconds=20), config_revision=0)
EVIDENCE = Evidence(machine_id="a" * 32, hardware_id="b" * 32, boot_id="c" * 32)
NO_CHANGES = ConfigurationChanges(changed=(), names=(), revision=0, more=False)


@dataclass
class FakeSleep:
    """Takes no time. The last of the sleeps is interrupted by a request to stop."""

    sleeps: int
    waits: list[float] = field(default_factory=list)

    def wait(self, seconds: float) -> bool:
        if seconds > 0:
            self.waits.append(seconds)
        return len(self.waits) >= self.sleeps


@dataclass
class FakeMachine:
    """Each report is the next of the answers; after the last one, the machine without a problem."""

    answers: list[MachineReport | Exception] = field(default_factory=list)
    reports: int = 0

    def report(self) -> MachineReport:
        self.reports += 1
        return _next(self.answers, MachineReport("mars", CAPABILITIES))


@dataclass
class FakeControlPlane:
    """Each call gets the next of its answers; after the last one, it succeeds."""

    registering: list[RegistrationResult | Exception] = field(default_factory=list)
    heartbeating: list[HeartbeatResult | Exception] = field(default_factory=list)
    leaving: list[HeartbeatResult | Exception] = field(default_factory=list)
    fetching: list[ConfigurationChanges | Exception] = field(default_factory=list)
    deregistering: list[Exception] = field(default_factory=list)

    registered: list[RegistrationRequest] = field(default_factory=list)
    heartbeats: list[tuple[int, Capabilities | None]] = field(default_factory=list)
    leaving_heartbeats: list[int] = field(default_factory=list)
    # The epochs of all heartbeats, including leaving ones.
    epochs: list[int] = field(default_factory=list)
    fetched: list[tuple[int, int, int]] = field(default_factory=list)
    deregistered: list[tuple[int, str]] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The names of the registrations."""
        return [registration_request.name for registration_request in self.registered]

    def register(self, registration_request: RegistrationRequest) -> RegistrationResult:
        self.registered.append(registration_request)
        return _next(self.registering, JOINED)

    def heartbeat(
        self,
        server_id: int,
        capabilities: Capabilities | None,
        *,
        epoch: int = 0,
        leaving: bool = False,
    ) -> HeartbeatResult:
        self.epochs.append(epoch)
        if leaving:
            self.leaving_heartbeats.append(server_id)
            return _next(self.leaving, HEARTBEAT_RESULT)
        self.heartbeats.append((server_id, capabilities))
        return _next(self.heartbeating, HEARTBEAT_RESULT)

    def fetch_configuration(
        self, server_id: int, known_revision: int, after_revision: int = 0
    ) -> ConfigurationChanges:
        self.fetched.append((server_id, known_revision, after_revision))
        return _next(self.fetching, NO_CHANGES)

    def deregister(self, server_id: int, instance_id: str) -> None:
        self.deregistered.append((server_id, instance_id))
        if self.deregistering:
            raise self.deregistering.pop(0)


@dataclass
class FakeMachineEvidence:
    evidence: Evidence = EVIDENCE

    def read(self) -> Evidence:
        return self.evidence


@dataclass
class FakeStateFolder:
    """Stores one state in memory; while `error` is set, every call raises it."""

    state: SavedState | None = None
    error: Exception | None = None
    quarantined_as: list[QuarantineReason] = field(default_factory=list)
    writes: int = 0

    def lock(self) -> None:
        self._fail()

    def read(self) -> SavedState | None:
        self._fail()
        return self.state

    def write(self, state: SavedState) -> None:
        self._fail()
        self.writes += 1
        self.state = state

    def quarantine(self, why: QuarantineReason) -> str:
        self._fail()
        self.quarantined_as.append(why)
        self.state = None
        return f"/state/state.json.{why}"

    def forget(self) -> None:
        self._fail()
        self.state = None

    def _fail(self) -> None:
        if self.error:
            raise self.error


@dataclass
class FakeCertificateFolder:
    """Stores one certificate in memory; while `error` is set, every call raises it."""

    certificate: HostCertificate | None = None
    error: OSError | None = None

    def read(self) -> HostCertificate | None:
        if self.error:
            raise self.error
        return self.certificate

    def write(self, certificate: HostCertificate) -> None:
        if self.error:
            raise self.error
        self.certificate = certificate


def host_identity(
    state_folder: FakeStateFolder | None = None,
    evidence: FakeMachineEvidence | None = None,
    *,
    server_name: str = "",
    environment: str = "production",
    random_suffix: str = "0a1b2c3d",
    instance_id: str = "1" * 32,
    ephemeral: bool = False,
    keys: KeyRing | None = None,
    certificate: CertificateStore | None = None,
) -> HostIdentity:
    return HostIdentity(
        evidence=evidence or FakeMachineEvidence(),
        state_folder=state_folder,
        server_name=server_name,
        environment=environment,
        random_suffix=random_suffix,
        instance_id=instance_id,
        keys=keys or KeyRing.single(""),
        certificate=certificate or CertificateStore(),
        labels={"tier": "gold"},
        ephemeral=ephemeral,
    )


@dataclass
class FakeConfigurationFolder:
    """Stores documents by name. Each `apply` raises the next of the errors, unless it is None."""

    server_id: int = 0
    revision: int = 0
    documents: dict[str, str] = field(default_factory=dict)
    errors: list[Exception | None] = field(default_factory=list)

    def known_revision(self, server_id: int) -> int:
        return self.revision if server_id == self.server_id else 0

    def apply(
        self,
        server_id: int,
        changed: Sequence[Configuration],
        names: Collection[str],
        revision: int,
    ) -> None:
        _next(self.errors, None)
        self.documents.update({document.name: document.document for document in changed})
        self.documents = {
            name: document for name, document in self.documents.items() if name in names
        }
        self.server_id, self.revision = server_id, revision


@dataclass
class FakeCommands:
    """Each call takes the next of the commands; after the last one, there are none."""

    arriving: list[HostCommand | None] = field(default_factory=list)
    listened: list[int] = field(default_factory=list)

    def listen(self, server_id: int) -> None:
        self.listened.append(server_id)

    def take(self) -> Collection[HostCommand]:
        command = self.arriving.pop(0) if self.arriving else None
        return {command} if command else ()


@dataclass
class FakeNotifier:
    watchdog_interval: float = math.inf
    notified: list[str] = field(default_factory=list)

    def state_changed(self, state: HostState) -> None:
        self.notified.append(state)

    def ready(self) -> None:
        self.notified.append("ready")

    def ping_watchdog(self) -> None:
        self.notified.append("watchdog")


def _next(answers: list[T | Exception], usual: T) -> T:
    answer = answers.pop(0) if answers else usual
    if isinstance(answer, Exception):
        raise answer
    return answer
