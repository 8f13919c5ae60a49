import errno
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from application.host.host_identity import HostIdentity
from application.host.key_ring import KeyRing
from application.host.leave_fleet import LeaveFleet
from application.host.run_host import RunHost
from application.host.sync_configuration import SyncConfiguration
from application.ports.host.control_plane import (
    ControlPlaneRefused,
    ControlPlaneUnavailable,
    HeartbeatResult,
    RegistrationRequest,
    RegistrationResult,
)
from application.ports.host.machine import EngineUnavailable, MachineReport
from application.ports.host.state_folder import SavedState, StateFolderTaken
from domain.approval import Approval
from domain.capabilities import Capabilities
from domain.configuration import Configuration, ConfigurationChanges
from domain.errors import (
    CredentialRequired,
    InvalidField,
    InvalidRegistrationKey,
    NameInUse,
    NotAdmitted,
    ServerNotFound,
    SupersededRegistration,
)
from domain.host_command import HostCommand
from domain.host_state import HostState
from tests.support.canary_secrets import canary
from tests.support.fakes import (
    CAPABILITIES,
    EVIDENCE,
    HEARTBEAT_RESULT,
    JOINED,
    FakeCommands,
    FakeConfigurationFolder,
    FakeControlPlane,
    FakeMachine,
    FakeNotifier,
    FakeSleep,
    FakeStateFolder,
    host_identity,
)

HEALTHY = MachineReport("mars", CAPABILITIES)
AWAY = ControlPlaneUnavailable("The API is away")
REPLACED = SupersededRegistration.from_message("server 42 was registered again by another process")
PENDING = Approval.PENDING
NO_ENGINE = EngineUnavailable("Docker is away")


@pytest.fixture(autouse=True)
def _all_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def run_host(
    control_plane: FakeControlPlane | None = None,
    machine: FakeMachine | None = None,
    folder: FakeConfigurationFolder | None = None,
    notifier: FakeNotifier | None = None,
    sleep: FakeSleep | None = None,
    commands: FakeCommands | None = None,
    *,
    sleeps: int = 1,
    identity: HostIdentity | None = None,
    environment: str = "production",
    random: float = 0.0,
    assigned_server_id: int | None = None,
    deregisters: bool = False,
) -> None:
    """Run a host until it is asked to stop in the last of its sleeps."""
    control_plane = control_plane or FakeControlPlane()
    sleep = sleep or FakeSleep(sleeps)
    identity = identity or host_identity(environment=environment)
    RunHost(
        control_plane=control_plane,
        machine=machine or FakeMachine(),
        identity=identity,
        leave_fleet=LeaveFleet(control_plane, identity, deregisters),
        sync_configuration=(
            SyncConfiguration(control_plane, folder, sleep) if folder is not None else None
        ),
        sleep=sleep,
        notifier=notifier or FakeNotifier(),
        random=lambda: random,
        commands=commands,
        assigned_server_id=assigned_server_id,
    )()


def lines(caplog: pytest.LogCaptureFixture, containing: str = "") -> list[str]:
    return [message for message in caplog.messages if containing in message]


def document(name: str, revision: int) -> Configuration:
    return Configuration(name, f'{{"revision": {revision}}}', revision, datetime.now(UTC))


STEP = "a step that can take long"


@dataclass
class LoggedMachine(FakeMachine):
    log: list[str] = field(default_factory=list)

    def report(self) -> MachineReport:
        self.log.append(STEP)
        return super().report()


@dataclass
class LoggedControlPlane(FakeControlPlane):
    log: list[str] = field(default_factory=list)

    def register(self, registration_request: RegistrationRequest) -> RegistrationResult:
        self.log.append(STEP)
        return super().register(registration_request)

    def heartbeat(
        self,
        server_id: int,
        capabilities: Capabilities | None,
        *,
        epoch: int = 0,
        leaving: bool = False,
    ) -> HeartbeatResult:
        self.log.append(STEP)
        return super().heartbeat(server_id, capabilities, epoch=epoch, leaving=leaving)

    def fetch_configuration(
        self, server_id: int, known_revision: int, after_revision: int = 0
    ) -> ConfigurationChanges:
        self.log.append(STEP)
        return super().fetch_configuration(server_id, known_revision, after_revision)

    def deregister(self, server_id: int, instance_id: str) -> None:
        self.log.append(STEP)
        super().deregister(server_id, instance_id)


@dataclass
class LoggedSleep(FakeSleep):
    log: list[str] = field(default_factory=list)

    def wait(self, seconds: float) -> bool:
        if seconds > 0:
            self.log.append(STEP)
        return super().wait(seconds)


def steps_without_a_ping_before(events: list[str]) -> list[int]:
    """The positions of the steps that did not directly follow a ping of the watchdog."""
    return [
        at
        for at, (before, step) in enumerate(pairwise(["", *events]))
        if step == STEP and before != "watchdog"
    ]


# The name


def test_a_host_registers_with_its_name_environment_and_capabilities() -> None:
    api = FakeControlPlane()

    run_host(api)

    assert api.registered == [
        RegistrationRequest(
            name="mars-production",
            environment="production",
            capabilities=CAPABILITIES,
            evidence=replace(EVIDENCE, instance_id="1" * 32),
            labels={"tier": "gold"},
        )
    ]


def test_the_server_name_setting_is_the_name() -> None:
    api = FakeControlPlane()

    run_host(api, identity=host_identity(server_name="phobos"))

    assert api.names == ["phobos"]


def test_a_generated_name_is_logged_with_the_settings_to_change(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = FakeControlPlane()

    run_host(api, environment="")

    assert api.names == ["mars-0a1b2c3d"]
    assert len(lines(caplog, "set ENVIRONMENT or SERVER_NAME")) == 1


def test_a_generated_name_stays_the_same_for_the_life_of_the_process() -> None:
    api = FakeControlPlane(heartbeating=[ServerNotFound(42)])

    run_host(api, environment="", sleeps=2)

    assert api.names == ["mars-0a1b2c3d"] * 2


def test_an_invalid_name_ends_the_host() -> None:
    machine = FakeMachine([MachineReport("m" * 255, CAPABILITIES)])

    with pytest.raises(InvalidField):
        run_host(machine=machine)


# Docker


def test_a_host_without_docker_logs_it_once_and_waits(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = FakeControlPlane()
    sleep = FakeSleep(sleeps=4)
    machine = FakeMachine([NO_ENGINE, NO_ENGINE, NO_ENGINE])

    run_host(api, machine, sleep=sleep)

    assert sleep.waits[:3] == [0.5, 1, 2]
    assert len(api.registered) == 1
    assert lines(caplog, "Docker") == [
        "Docker is away. Trying again until it answers.",
        "Docker answers again.",
    ]


def test_another_reason_why_docker_does_not_answer_is_logged_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    not_permitted = EngineUnavailable("Docker is not for you")
    machine = FakeMachine([NO_ENGINE, not_permitted, NO_ENGINE, not_permitted])

    run_host(machine=machine, sleeps=5)

    assert lines(caplog, "Trying again") == [
        "Docker is away. Trying again until it answers.",
        "Docker is not for you. Trying again until it answers.",
    ]


def test_a_host_that_loses_docker_sends_heartbeats_without_figures(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = FakeControlPlane()
    machine = FakeMachine([HEALTHY, NO_ENGINE, NO_ENGINE, HEALTHY, NO_ENGINE])

    run_host(api, machine, sleeps=5)

    assert api.heartbeats == [(42, None), (42, None), (42, CAPABILITIES), (42, None)]
    assert lines(caplog, "Docker") == [
        "Docker is away. Heartbeats continue with the last known figures.",
        "Docker answers again.",
        "Docker is away. Heartbeats continue with the last known figures.",
    ]


def test_a_host_without_docker_registers_again_with_the_last_known_figures() -> None:
    api = FakeControlPlane(heartbeating=[ServerNotFound(42)])
    machine = FakeMachine([HEALTHY, NO_ENGINE])

    run_host(api, machine, sleeps=2)

    assert [registration_request.capabilities for registration_request in api.registered] == [
        CAPABILITIES
    ] * 2


# Heartbeats


def test_the_first_heartbeat_comes_after_a_random_part_of_the_interval() -> None:
    waits = []
    for random in (0.0, 0.5, 1.0):
        sleep = FakeSleep(sleeps=1)
        run_host(sleep=sleep, random=random)
        waits += sleep.waits

    assert waits == [16, 12, 8]


def test_the_api_sets_the_heartbeat_interval() -> None:
    api = FakeControlPlane(
        heartbeating=[
            HeartbeatResult(timedelta(seconds=15), config_revision=0),
            HeartbeatResult(timedelta(seconds=60), config_revision=0),
        ]
    )
    sleep = FakeSleep(sleeps=3)

    run_host(api, sleep=sleep)

    assert sleep.waits == [16, 15, 60]


def test_every_heartbeat_contains_fresh_figures() -> None:
    api = FakeControlPlane()
    machine = FakeMachine()

    run_host(api, machine, sleeps=4)

    assert api.heartbeats == [(42, CAPABILITIES)] * 3
    assert machine.reports == 4


def test_a_host_that_the_api_does_not_know_registers_again_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = FakeControlPlane(
        registering=[JOINED, RegistrationResult(43, timedelta(seconds=16), config_revision=0)],
        heartbeating=[ServerNotFound(42)],
    )
    sleep = FakeSleep(sleeps=3)

    run_host(api, sleep=sleep)

    assert sleep.waits == [16, 16, 20]
    assert [server_id for server_id, _ in api.heartbeats] == [42, 43]
    assert lines(caplog, "no longer knows") == [
        "The API no longer knows server 42: registering again."
    ]


def test_a_host_that_needs_a_credential_registers_again_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = FakeControlPlane(heartbeating=[CredentialRequired(42)])
    sleep = FakeSleep(sleeps=3)

    run_host(api, sleep=sleep)

    assert sleep.waits == [16, 16, 20]
    assert len(api.registered) == 2
    assert lines(caplog, "credential") == [
        "The API requires a credential for server 42: registering again to get one."
    ]


def test_a_host_presents_the_latest_credential() -> None:
    keys = KeyRing.single("")
    presented: list[str] = []

    class Witness(FakeControlPlane):
        def register(self, registration_request: RegistrationRequest) -> RegistrationResult:
            presented.append(keys.credential)
            return super().register(registration_request)

        def heartbeat(self, *given: Any, **further: Any) -> HeartbeatResult:
            presented.append(keys.credential)
            return super().heartbeat(*given, **further)

    first, second = canary("credential"), canary("renewed credential")
    api = Witness(
        registering=[replace(JOINED, credential=first)],
        heartbeating=[
            HEARTBEAT_RESULT,
            replace(HEARTBEAT_RESULT, credential=second),
            HEARTBEAT_RESULT,
        ],
    )

    run_host(api, sleeps=4, identity=host_identity(keys=keys))

    # The last one is the leaving heartbeat.
    assert presented == ["", first, first, second, second]


# The API does not answer


def test_a_host_without_an_api_logs_it_once_and_registers_when_the_api_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = FakeControlPlane(registering=[AWAY] * 9)
    sleep = FakeSleep(sleeps=10)

    run_host(api, sleep=sleep)

    assert sleep.waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 16]
    assert lines(caplog) == [
        "The API is away. Trying again until it answers.",
        "The API answers again.",
        "Registered as server 42 under the name mars-production.",
        "Stopped; the API shows server 42 as offline.",
    ]


def test_up_to_half_of_a_retry_delay_is_random() -> None:
    sleep = FakeSleep(sleeps=3)

    run_host(FakeControlPlane(registering=[AWAY, AWAY]), sleep=sleep, random=1.0)

    assert sleep.waits == [0.25, 0.5, 8]


def test_a_host_waits_at_least_as_long_as_the_api_asks() -> None:
    busy = ControlPlaneUnavailable("The API is too busy", retry_after=3)
    sleep = FakeSleep(5)
    control_plane = FakeControlPlane(registering=[busy, AWAY], heartbeating=[busy])
    run_host(control_plane, sleep=sleep)

    assert sleep.waits == [3, 1, 16, 3, 20]


def test_a_host_that_waits_for_the_api_registers_with_fresh_figures() -> None:
    machine = FakeMachine()

    run_host(FakeControlPlane(registering=[AWAY, AWAY]), machine, sleeps=3)

    assert machine.reports == 3


def test_a_registered_host_survives_an_outage_of_the_api_and_logs_it_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = FakeControlPlane(
        heartbeating=[HEARTBEAT_RESULT, AWAY, AWAY, AWAY, HEARTBEAT_RESULT, AWAY]
    )
    sleep = FakeSleep(sleeps=8)

    run_host(api, sleep=sleep)

    assert sleep.waits == [16, 20, 0.5, 1, 2, 20, 0.5, 20]
    assert len(api.registered) == 1
    assert lines(caplog, "API") == [
        "The API is away. Trying again until it answers.",
        "The API answers again.",
        "The API is away. Trying again until it answers.",
        "The API answers again.",
        "Stopped; the API shows server 42 as offline.",
    ]


# Permanent failures


@pytest.mark.parametrize("error", [InvalidRegistrationKey(), ControlPlaneRefused("No")])
def test_a_refusal_ends_the_host_without_a_leaving_heartbeat(error: Exception) -> None:
    api = FakeControlPlane(registering=[error])

    with pytest.raises(type(error)):
        run_host(api)

    assert api.leaving_heartbeats == []


def test_a_key_that_was_changed_meanwhile_ends_the_host_when_it_registers_again() -> None:
    api = FakeControlPlane(
        registering=[JOINED, InvalidRegistrationKey()], heartbeating=[ServerNotFound(42)]
    )

    with pytest.raises(InvalidRegistrationKey):
        run_host(api, sleeps=3)


def test_a_key_that_was_changed_meanwhile_ends_the_host_when_it_fetches() -> None:
    api = FakeControlPlane(
        heartbeating=[HeartbeatResult(timedelta(seconds=20), config_revision=1)],
        fetching=[InvalidRegistrationKey()],
    )

    with pytest.raises(InvalidRegistrationKey):
        run_host(api, folder=FakeConfigurationFolder(), sleeps=3)


# Another machine has the name


def held(seconds: int, address: str = "10.0.0.7") -> NameInUse:
    return NameInUse.from_message(
        f"the name 'mars' is held by server 7, another machine at {address}, heard {seconds} s ago"
    )


def test_a_host_whose_name_is_in_use_logs_it_once_and_waits(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = FakeControlPlane(registering=[held(seconds) for seconds in range(8)])
    sleep = FakeSleep(sleeps=9)

    run_host(api, sleep=sleep)

    assert sleep.waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 16]
    assert lines(caplog) == [
        (
            "The name 'mars' is held by server 7, another machine at 10.0.0.7, heard 0 s ago."
            " Trying again until it is free."
        ),
        "This host has the name now.",
        "Registered as server 42 under the name mars-production.",
        "Stopped; the API shows server 42 as offline.",
    ]


def test_another_holder_of_the_name_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    api = FakeControlPlane(registering=[held(3), held(4), held(5, "10.0.0.8"), held(6)])

    run_host(api, sleeps=5)

    assert len(lines(caplog, "Trying again until it is free")) == 2
    assert len(lines(caplog, "10.0.0.7")) == len(lines(caplog, "10.0.0.8")) == 1


def test_a_host_that_waits_for_its_name_stops_without_a_leaving_heartbeat() -> None:
    api = FakeControlPlane(registering=[held(3)] * 9)

    run_host(api, sleeps=2)

    assert api.leaving_heartbeats == []


def test_a_host_that_waits_for_its_name_reports_ready() -> None:
    notifier = FakeNotifier()

    run_host(FakeControlPlane(registering=[held(3)] * 9), notifier=notifier, sleeps=2)

    assert "ready" in notifier.notified


# Another process has the server


def test_every_heartbeat_contains_the_epoch_of_the_last_registration() -> None:
    soon = timedelta(seconds=16)
    api = FakeControlPlane(
        registering=[
            RegistrationResult(42, soon, 0, epoch=7),
            RegistrationResult(42, soon, 0, epoch=8),
        ],
        heartbeating=[HEARTBEAT_RESULT, ServerNotFound(42)],
    )

    run_host(api, sleeps=4)

    assert api.epochs == [7, 7, 8, 8]


def test_a_replaced_host_ends_without_taking_its_successor_offline() -> None:
    api = FakeControlPlane(heartbeating=[HEARTBEAT_RESULT, REPLACED])

    with pytest.raises(SupersededRegistration, match="registered again by another process"):
        run_host(api, sleeps=9)

    assert len(api.heartbeats) == 2
    assert api.leaving_heartbeats == []


def test_a_host_that_was_replaced_before_it_stopped_logs_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    run_host(FakeControlPlane(leaving=[REPLACED]))

    assert lines(caplog)[-1] == (
        "Stopped without notifying the API: Server 42 was registered again by another process."
    )


def test_a_host_whose_state_folder_is_taken_does_not_call_docker() -> None:
    taken = StateFolderTaken("STATE_DIR /state is in use by another host manager", "stop it")
    machine = FakeMachine()

    with pytest.raises(StateFolderTaken):
        run_host(machine=machine, identity=host_identity(FakeStateFolder(error=taken)))

    assert machine.reports == 0


# Decisions of an operator


NOT_ADMITTED = NotAdmitted("server 42 (mars)", "was rejected by an operator: unknown machine")


@pytest.mark.parametrize(
    "make_api",
    [
        lambda: FakeControlPlane(registering=[NOT_ADMITTED]),
        lambda: FakeControlPlane(heartbeating=[HEARTBEAT_RESULT, NOT_ADMITTED]),
        lambda: FakeControlPlane(
            heartbeating=[HeartbeatResult(timedelta(seconds=20), config_revision=1)],
            fetching=[NOT_ADMITTED],
        ),
    ],
    ids=["registration", "heartbeat", "fetch"],
)
def test_a_host_that_is_not_admitted_ends_without_a_leaving_heartbeat(
    make_api: Callable[[], FakeControlPlane],
) -> None:
    api = make_api()
    with pytest.raises(NotAdmitted, match="unknown machine"):
        run_host(api, folder=FakeConfigurationFolder(), sleeps=9)

    assert api.leaving_heartbeats == []


def test_a_pending_host_logs_once_that_it_waits_and_once_that_it_was_approved(
    caplog: pytest.LogCaptureFixture,
) -> None:
    soon = timedelta(seconds=16)
    page = ConfigurationChanges([document("game", 3)], ["game"], revision=3, more=False)
    api = FakeControlPlane(
        registering=[RegistrationResult(42, soon, 0, approval=PENDING)],
        heartbeating=[
            HeartbeatResult(soon, 0, PENDING),
            ServerNotFound(42),
            HeartbeatResult(soon, 0, PENDING),
            HeartbeatResult(soon, 3),
            HeartbeatResult(soon, 3),
        ],
        fetching=[page],
    )
    api.registering.append(RegistrationResult(42, soon, 0, approval=PENDING))
    # The configuration that it had before it had to wait is neither updated nor removed.
    folder = FakeConfigurationFolder(server_id=42, revision=2, documents={"game": "old"})
    seen: list[str] = []

    @dataclass
    class Watched(FakeMachine):
        def report(self) -> MachineReport:
            seen.append(folder.documents["game"])
            return super().report()

    run_host(api, Watched(), folder=folder, sleeps=6)

    assert seen == ["old"] * 5 + ['{"revision": 3}']
    assert api.fetched == [(42, 2, 0)]
    assert lines(caplog, "approv") == [
        (
            "Server 42 waits for an operator's approval (`manmanv2 servers approve 42`); until"
            " then it gets no configuration and no commands."
        ),
        "Server 42 was approved.",
    ]


def test_a_rejected_host_is_not_approved_even_if_the_api_only_warns(
    caplog: pytest.LogCaptureFixture,
) -> None:
    soon = timedelta(seconds=16)
    run_host(
        FakeControlPlane(
            registering=[RegistrationResult(42, soon, 0, approval=PENDING)],
            heartbeating=[
                HeartbeatResult(soon, 0, Approval.BANNED),
                HeartbeatResult(soon, 0, PENDING),
                HEARTBEAT_RESULT,
            ],
        ),
        sleeps=4,
    )

    assert len(lines(caplog, "waits for an operator")) == 1
    assert lines(caplog, "was approved") == ["Server 42 was approved."]


def test_a_pending_host_syncs_the_configuration_if_the_api_only_warns() -> None:
    page = ConfigurationChanges([document("game", 3)], ["game"], revision=3, more=False)
    api = FakeControlPlane(
        registering=[RegistrationResult(42, timedelta(seconds=16), 3, approval=PENDING)],
        fetching=[page],
    )
    folder = FakeConfigurationFolder()

    run_host(api, folder=folder)

    assert folder.documents.keys() == {"game"}


def test_a_name_from_an_operator_is_logged_and_used_from_then_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    renamed = RegistrationResult(42, timedelta(seconds=16), 0, name="frontend")
    api = FakeControlPlane(registering=[renamed, renamed], heartbeating=[ServerNotFound(42)])

    run_host(api, sleeps=2)

    assert api.names == ["mars-production", "frontend"]
    assert lines(caplog, "frontend") == [
        "An operator renamed this host to frontend; it registered as mars-production.",
        "Registered as server 42 under the name frontend.",
        "Registered as server 42 under the name frontend.",
    ]


def test_a_registration_is_logged_after_the_state_is_stored(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Folder(FakeStateFolder):
        def write(self, state: SavedState) -> None:
            super().write(state)
            kept_when.append(len(lines(caplog, "Registered as")))

    kept_when: list[int] = []
    run_host(sleeps=1, identity=host_identity(Folder()))

    assert kept_when == [0]
    assert len(lines(caplog, "Registered as")) == 1


def test_a_configured_name_is_claimed_even_if_an_operator_renamed_the_server() -> None:
    renamed = RegistrationResult(42, timedelta(seconds=16), 0, name="frontend")
    api = FakeControlPlane(registering=[renamed, renamed], heartbeating=[ServerNotFound(42)])

    run_host(api, sleeps=2, identity=host_identity(server_name="phobos"))

    assert api.names == ["phobos", "phobos"]


# Configuration


def test_a_host_fetches_its_configuration_after_its_registration() -> None:
    api = FakeControlPlane(
        registering=[RegistrationResult(42, timedelta(seconds=16), config_revision=3)],
        heartbeating=[HeartbeatResult(timedelta(seconds=16), config_revision=3)],
        fetching=[ConfigurationChanges([document("game", 3)], ["game"], revision=3, more=False)],
    )
    folder = FakeConfigurationFolder()

    run_host(api, folder=folder, sleeps=2)

    assert api.fetched == [(42, 0, 0)]
    assert folder.documents == {"game": '{"revision": 3}'}


def test_a_host_fetches_what_changed_while_it_runs() -> None:
    api = FakeControlPlane(
        heartbeating=[HeartbeatResult(timedelta(seconds=16), config_revision=6)],
        fetching=[ConfigurationChanges([document("b", 6)], ["b"], revision=6, more=False)],
    )
    folder = FakeConfigurationFolder(server_id=42, revision=5, documents={"a": "{}"})

    run_host(api, folder=folder, sleeps=2)

    assert api.fetched[-1] == (42, 5, 0)
    assert folder.documents == {"b": '{"revision": 6}'}


def test_a_host_fetches_until_there_are_no_more_pages() -> None:
    names = ["a", "b"]
    api = FakeControlPlane(
        registering=[RegistrationResult(42, timedelta(seconds=16), config_revision=2)],
        fetching=[
            ConfigurationChanges([document("a", 1)], names, revision=1, more=True),
            ConfigurationChanges([document("b", 2)], names, revision=2, more=False),
        ],
    )
    folder = FakeConfigurationFolder()

    run_host(api, folder=folder)

    assert api.fetched == [(42, 0, 0), (42, 0, 1)]
    assert folder.documents.keys() == {"a", "b"}


def test_a_host_that_stops_between_two_pages_fetches_everything_again() -> None:
    names = ["a", "b"]
    first = ConfigurationChanges([document("a", 3)], names, revision=3, more=True)
    api = FakeControlPlane(
        registering=[RegistrationResult(42, timedelta(seconds=16), config_revision=4)],
        fetching=[first, AWAY, first, replace(first, revision=4, more=False)],
    )
    folder = FakeConfigurationFolder(server_id=42, revision=2)

    run_host(api, folder=folder)
    again = FakeControlPlane(
        registering=[RegistrationResult(42, timedelta(seconds=16), config_revision=4)],
        fetching=api.fetching,
    )
    run_host(again, folder=folder)

    assert api.fetched == again.fetched == [(42, 2, 0), (42, 2, 3)]
    assert folder.revision == 4


def test_an_older_api_continues_from_the_known_revision() -> None:
    pages = {
        0: ConfigurationChanges([document("a", 1)], ["a", "b"], revision=1, more=True),
        1: ConfigurationChanges([document("b", 2)], ["a", "b"], revision=2, more=False),
    }

    class OlderApi(FakeControlPlane):
        def fetch_configuration(
            self, server_id: int, known_revision: int, after_revision: int = 0
        ) -> ConfigurationChanges:
            return pages[known_revision]

    folder = FakeConfigurationFolder()
    run_host(
        OlderApi([RegistrationResult(42, timedelta(seconds=16), config_revision=2)]), folder=folder
    )

    assert folder.documents.keys() == {"a", "b"}
    assert folder.revision == 2


def test_an_api_that_announces_more_but_sends_nothing_does_not_cause_a_loop() -> None:
    api = FakeControlPlane(
        registering=[RegistrationResult(42, timedelta(seconds=16), config_revision=2)],
        fetching=[ConfigurationChanges([], [], revision=0, more=True)] * 100,
    )

    run_host(api, folder=FakeConfigurationFolder())

    assert len(api.fetched) == 1


def test_a_host_without_configuration_deletes_the_documents_of_another_server() -> None:
    api = FakeControlPlane()
    folder = FakeConfigurationFolder(server_id=7, revision=3, documents={"old": "{}"})

    run_host(api, folder=folder)

    assert api.fetched == []
    assert folder == FakeConfigurationFolder(server_id=42)


def test_a_host_without_a_folder_fetches_nothing() -> None:
    api = FakeControlPlane(
        registering=[RegistrationResult(42, timedelta(seconds=16), config_revision=3)]
    )

    run_host(api)

    assert api.fetched == []


@pytest.mark.parametrize("failure", [AWAY, ControlPlaneRefused("Not this one"), ServerNotFound(42)])
def test_a_failed_fetch_is_logged_once_and_retried_with_each_heartbeat(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    api = FakeControlPlane(
        heartbeating=[HeartbeatResult(timedelta(seconds=20), config_revision=3)] * 4,
        fetching=[
            failure,
            failure,
            ConfigurationChanges([document("game", 3)], ["game"], revision=3, more=False),
        ],
    )
    folder = FakeConfigurationFolder()

    run_host(api, folder=folder, sleeps=5)

    assert len(api.heartbeats) == 4
    assert folder.documents == {"game": '{"revision": 3}'}
    reason = str(failure).removesuffix(".")
    assert lines(caplog, "configuration") == [
        f"The configuration cannot be fetched: {reason}. Trying again with each heartbeat.",
        "The configuration is at revision 3; 1 of 1 documents changed.",
        "The configuration can be fetched again.",
    ]


def test_a_full_disk_is_logged_once_and_stops_no_heartbeat(
    caplog: pytest.LogCaptureFixture,
) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    newer_revision = HeartbeatResult(timedelta(seconds=20), config_revision=3)
    page = ConfigurationChanges([document("game", 3)], ["game"], revision=3, more=False)
    api = FakeControlPlane(heartbeating=[newer_revision] * 3, fetching=[page] * 3)
    folder = FakeConfigurationFolder(server_id=42, errors=[None, full, full, full])

    run_host(api, folder=folder, sleeps=4)

    assert len(api.heartbeats) == 3
    assert len(lines(caplog, "stored in CONFIG_DIR (No space left on device)")) == 1


def test_a_document_is_never_written_outside_the_directory() -> None:
    page = ConfigurationChanges(
        [document("../../etc/cron.d/x", 1)], ["../../etc/cron.d/x"], revision=1, more=False
    )
    api = FakeControlPlane(
        registering=[RegistrationResult(42, timedelta(seconds=16), config_revision=1)],
        fetching=[page],
    )
    folder = FakeConfigurationFolder()

    run_host(api, folder=folder)

    assert folder == FakeConfigurationFolder()


# Stopping


def test_a_host_that_is_asked_to_stop_sends_a_leaving_heartbeat(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = FakeControlPlane()

    run_host(api)

    assert api.leaving_heartbeats == [42]
    assert lines(caplog)[-1] == "Stopped; the API shows server 42 as offline."


def test_a_host_that_waits_for_docker_stops_without_registering() -> None:
    api = FakeControlPlane()

    run_host(api, FakeMachine([NO_ENGINE] * 9), sleeps=2)

    assert api == FakeControlPlane()


def test_a_host_that_waits_for_the_api_stops_without_a_leaving_heartbeat() -> None:
    api = FakeControlPlane(registering=[AWAY] * 9)

    run_host(api, sleeps=2)

    assert api.leaving_heartbeats == []


def test_a_host_that_is_asked_to_stop_while_it_calls_docker_does_not_register() -> None:
    api = FakeControlPlane()

    run_host(api, sleeps=0)

    assert api == FakeControlPlane()


def test_a_host_that_never_registered_deregisters_nothing() -> None:
    api = FakeControlPlane(registering=[AWAY] * 9)

    run_host(api, deregisters=True)

    assert api.deregistered == []


# The service manager


def test_the_service_manager_gets_each_state() -> None:
    notifier = FakeNotifier()

    run_host(notifier=notifier)

    assert [told for told in notifier.notified if told in list(HostState)] == [
        HostState.DETECTING,
        HostState.REGISTERING,
        HostState.RUNNING,
        HostState.LEAVING,
    ]


def test_a_registered_host_reports_ready_once() -> None:
    notifier = FakeNotifier()

    run_host(notifier=notifier, sleeps=3)

    assert notifier.notified.index("ready") > notifier.notified.index(HostState.RUNNING)
    assert notifier.notified.count("ready") == 1


def test_a_host_that_waits_for_docker_reports_ready() -> None:
    notifier = FakeNotifier()

    run_host(machine=FakeMachine([NO_ENGINE] * 9), notifier=notifier, sleeps=2)

    assert "ready" in notifier.notified


def test_a_host_whose_start_cannot_succeed_never_reports_ready() -> None:
    notifier = FakeNotifier()

    with pytest.raises(InvalidRegistrationKey):
        run_host(FakeControlPlane(registering=[InvalidRegistrationKey()]), notifier=notifier)

    assert "ready" not in notifier.notified


def test_a_long_sleep_is_divided_to_ping_the_watchdog() -> None:
    notifier = FakeNotifier(watchdog_interval=5.0)
    sleep = LoggedSleep(sleeps=4, log=notifier.notified)

    run_host(notifier=notifier, sleep=sleep)

    assert sleep.waits == [5, 5, 5, 1]
    assert steps_without_a_ping_before(notifier.notified) == []


def test_the_watchdog_is_pinged_before_each_step_that_can_take_long() -> None:
    notifier = FakeNotifier(watchdog_interval=30.0)
    log = notifier.notified
    pages = [
        ConfigurationChanges([document(name, revision)], ["a", "b", "c"], revision, more=more)
        for name, revision, more in (("a", 1, True), ("b", 2, True), ("c", 3, False))
    ]
    api = LoggedControlPlane(
        # An API that is unavailable and then forgets the host causes the most steps in a row.
        registering=[
            AWAY,
            JOINED,
            RegistrationResult(42, timedelta(seconds=16), config_revision=3),
        ],
        heartbeating=[
            HeartbeatResult(timedelta(seconds=16), config_revision=3),
            AWAY,
            ServerNotFound(42),
        ],
        fetching=list(pages),
        leaving=[AWAY],
        log=log,
    )
    machine = LoggedMachine([NO_ENGINE, HEALTHY, NO_ENGINE], log=log)
    sleep = LoggedSleep(sleeps=6, log=log)

    run_host(api, machine, FakeConfigurationFolder(), notifier, sleep)

    assert len(api.registered) == 3
    assert len(api.fetched) == 3
    assert len(api.leaving_heartbeats) == 1
    assert steps_without_a_ping_before(log) == []


def test_the_watchdog_is_pinged_before_each_step_of_a_deregistration() -> None:
    notifier = FakeNotifier(watchdog_interval=30.0)
    log = notifier.notified
    api = LoggedControlPlane(deregistering=[ControlPlaneRefused("No")], log=log)

    run_host(api, notifier=notifier, deregisters=True)

    assert (len(api.deregistered), len(api.leaving_heartbeats)) == (1, 1)
    assert steps_without_a_ping_before(log[log.index(HostState.LEAVING) :]) == []


def test_a_command_causes_a_heartbeat_at_once() -> None:
    control_plane = FakeControlPlane()
    # With a watchdog, a sleep is divided into several.
    notifier = FakeNotifier(watchdog_interval=1.0)
    commands = FakeCommands([None, HostCommand.REPORT, None, None, HostCommand.CONFIG])
    sleep = FakeSleep(sleeps=6)
    run_host(control_plane, notifier=notifier, sleep=sleep, commands=commands)

    assert sleep.waits == [1.0] * 6
    assert [server_id for server_id, _ in control_plane.heartbeats] == [42, 42]
    assert commands.listened == [42]


def test_a_host_with_a_new_id_listens_for_its_commands(caplog: pytest.LogCaptureFixture) -> None:
    control_plane = FakeControlPlane(
        registering=[JOINED, RegistrationResult(43, timedelta(seconds=16), 0)],
        heartbeating=[ServerNotFound(42)],
    )
    commands = FakeCommands()
    run_host(control_plane, commands=commands, sleeps=2)

    assert commands.listened == [42, 43]


def test_a_host_with_an_assigned_id_needs_no_name(caplog: pytest.LogCaptureFixture) -> None:
    control_plane = FakeControlPlane()
    run_host(control_plane, environment="", assigned_server_id=42)

    assert control_plane.names == [""]
    assert caplog.messages == [
        "Online as server 42.",
        "Stopped; the API shows server 42 as offline.",
    ]


def test_a_host_without_an_answer_retries_at_least_once_per_interval() -> None:
    soon = timedelta(seconds=3)
    control_plane = FakeControlPlane(
        registering=[RegistrationResult(42, soon, 0)],
        heartbeating=[HeartbeatResult(soon, 0), *[AWAY] * 6],
    )
    sleep = FakeSleep(sleeps=9)
    run_host(control_plane, sleep=sleep)

    assert sleep.waits == [3, 3, 0.5, 1, 2, 3, 3, 3, 20]
