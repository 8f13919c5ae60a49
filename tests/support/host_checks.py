"""A host manager for the doctor: its settings, and fakes of what it needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from application.doctor.api_access import ApiAccess
from application.doctor.check_result import CheckResult
from application.doctor.engine_check import EngineCheck
from application.doctor.host_checks import HostChecks
from application.doctor.name_check import NameCheck
from application.doctor.run_checks import RunChecks
from application.ports.host.control_plane import ControlPlaneUnavailable
from application.ports.host.machine import EngineUnavailable, MachineReport
from application.ports.host.state_folder import SavedState
from application.ports.probes.api_probe import ApiProbe, KeyTrial
from application.ports.probes.broker_probe import BrokerStatus
from application.ports.probes.port_probe import PortState, PortStatus
from domain.clock_reading import ClockReading
from domain.errors import InvalidRegistrationKey
from domain.machine_evidence import NO_EVIDENCE
from tests.support.canary_secrets import canary
from tests.support.fakes import CAPABILITIES, FakeMachine

KEY, OTHER_KEY, RANDOM_KEY = canary("key"), canary("other key"), canary("strange key")
CREDENTIAL = canary("credential")
NOW = datetime(2026, 11, 24, tzinfo=UTC)
AWAY = EngineUnavailable("DOCKER_SOCKET /x does not exist", "start Docker")


@dataclass
class FakeApi:
    """Admits a host with its key; without a key, every host."""

    key: str = field(default=KEY, repr=False)
    clock: ClockReading | None = None
    store_is_unavailable: bool = False
    # Like a join key: it admits a host, but is valid for no server yet.
    is_join_key: bool = False
    # The credential of a registered server.
    credential: str = field(default=CREDENTIAL, repr=False)
    tried: list[str] = field(default_factory=list, repr=False)

    def try_key(self, key: str, credential: str = "") -> KeyTrial:
        self.tried.append(key)
        admitted = key == self.key or not self.key or credential == self.credential
        return KeyTrial(admitted, clock=self.clock)

    def ping_store(self, key: str) -> None:
        if self.store_is_unavailable:
            raise ControlPlaneUnavailable("It cannot answer now")
        if self.is_join_key:
            raise InvalidRegistrationKey


@dataclass
class FakeBroker:
    known: bool

    def check(self) -> BrokerStatus:
        return BrokerStatus("RabbitMQ 4.0", self.known)


@dataclass
class FakePorts:
    status: PortStatus

    def check(self, address: str) -> PortStatus:
        return self.status


@dataclass(frozen=True)
class Host:
    """A host manager's settings and surroundings, in which everything is fine."""

    server_name: str = ""
    environment: str = "production"
    server_id: int | None = None
    registration_key: str = field(default=KEY, repr=False)
    other_keys: Sequence[str] = field(default=(), repr=False)
    docker_optional: bool = False
    in_container: bool = False
    config_dir: Path | None = None
    state_dir: Path | None = None
    metrics_address: str = ""
    engine: FakeMachine = field(
        default_factory=lambda: FakeMachine([MachineReport("web1", CAPABILITIES)])
    )
    local_machine: FakeMachine = field(
        default_factory=lambda: FakeMachine([MachineReport("itself", CAPABILITIES)])
    )
    other_socket: Path | None = None
    # None for a host that does not register.
    api: ApiProbe | None = field(default_factory=FakeApi)
    broker: FakeBroker | None = None
    over_amqp: bool = False
    saved_state: SavedState | None = None
    write_problem: Callable[[Path], str] = lambda folder: ""
    port: PortStatus = field(default_factory=lambda: PortStatus(PortState.FREE))
    # Whether the management server of a host manager answers.
    answers: bool = True

    def host_checks(self) -> HostChecks:
        engine = EngineCheck(
            engine=self.engine,
            socket=Path("/x"),
            optional=self.docker_optional,
            other_socket=lambda: self.other_socket,
        )
        keys = (self.registration_key, *self.other_keys)
        return HostChecks(
            engine=engine,
            name=NameCheck(
                server_name=self.server_name,
                environment=self.environment,
                server_id=self.server_id,
                in_container=self.in_container,
                docker_optional=self.docker_optional,
                has_state_dir=self.state_dir is not None,
                saved_state=lambda: self.saved_state,
                local_machine=self.local_machine,
                engine_hostname=lambda: engine.hostname,
            ),
            broker=self.broker,
            access=ApiAccess(self.api, keys, lambda: self.saved_state) if self.api else None,
            api_address="" if self.over_amqp else "api:50051",
            random_key=RANDOM_KEY,
            config_dir=self.config_dir,
            state_dir=self.state_dir,
            write_problem=self.write_problem,
            metrics_address=self.metrics_address,
            ports=FakePorts(self.port),
            management_server_answers=lambda address: self.answers,
        )


def examine(**other: Any) -> dict[str, CheckResult]:
    return dict(RunChecks(lambda run: run())(Host(**other).host_checks().checks(), {}))


def outcome(check: str, **other: Any) -> str:
    result = examine(**other)[check]
    return f"{result.outcome} {result}"


SAVED = SavedState(7, "mars-0a1b2c3d", "", ephemeral=True, epoch=1, evidence=NO_EVIDENCE)
