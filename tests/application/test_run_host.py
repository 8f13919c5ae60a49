import errno
import logging
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from application.follow_configuration import FollowConfiguration
from application.ports.control_plane import (
    ControlPlaneRefused,
    ControlPlaneUnavailable,
    Heard,
    Joined,
)
from application.ports.machine import EngineUnavailable, MachineReport
from application.run_host import RunHost
from domain.capabilities import Capabilities
from domain.configuration import Configuration, ConfigurationChanges
from domain.errors import InvalidField, InvalidRegistrationKey, ServerNotFound
from domain.host_command import HostCommand
from domain.host_state import HostState
from tests.fakes import (
    CAPABILITIES,
    HEARD,
    JOINED,
    FakeCommands,
    FakeConfigurationFolder,
    FakeControlPlane,
    FakeMachine,
    FakeNotifier,
    FakePause,
)

HEALTHY = MachineReport("mars", CAPABILITIES)
AWAY = ControlPlaneUnavailable("The API is away.")
NO_ENGINE = EngineUnavailable("Docker is away.")


@pytest.fixture(autouse=True)
def _all_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def run_host(
    control_plane: FakeControlPlane | None = None,
    machine: FakeMachine | None = None,
    folder: FakeConfigurationFolder | None = None,
    notifier: FakeNotifier | None = None,
    pause: FakePause | None = None,
    commands: FakeCommands | None = None,
    *,
    rests: int = 1,
    server_name: str = "",
    environment: str = "production",
    random: float = 0.0,
    given_server_id: int | None = None,
) -> None:
    """Run a host until it is asked to stop in the last of its rests."""
    control_plane = control_plane or FakeControlPlane()
    pause = pause or FakePause(rests)
    RunHost(
        control_plane=control_plane,
        machine=machine or FakeMachine(),
        follow_configuration=(
            FollowConfiguration(control_plane, folder, pause) if folder is not None else None
        ),
        pause=pause,
        notifier=notifier or FakeNotifier(),
        random=lambda: random,
        server_name=server_name,
        environment=environment,
        random_suffix="0a1b2c3d",
        commands=commands,
        given_server_id=given_server_id,
    )()


def lines(caplog: pytest.LogCaptureFixture, containing: str = "") -> list[str]:
    return [message for message in caplog.messages if containing in message]


def document(name: str, revision: int) -> Configuration:
    return Configuration(name, f'{{"revision": {revision}}}', revision, datetime.now(UTC))


STEP = "something that can last"


@dataclass
class LoggedMachine(FakeMachine):
    log: list[str] = field(default_factory=list)

    def report(self) -> MachineReport:
        self.log.append(STEP)
        return super().report()


@dataclass
class LoggedControlPlane(FakeControlPlane):
    log: list[str] = field(default_factory=list)

    def register(self, name: str, environment: str, capabilities: Capabilities) -> Joined:
        self.log.append(STEP)
        return super().register(name, environment, capabilities)

    def heartbeat(
        self, server_id: int, capabilities: Capabilities | None, *, leaving: bool = False
    ) -> Heard:
        self.log.append(STEP)
        return super().heartbeat(server_id, capabilities, leaving=leaving)

    def fetch_configuration(self, server_id: int, known_revision: int) -> ConfigurationChanges:
        self.log.append(STEP)
        return super().fetch_configuration(server_id, known_revision)


@dataclass
class LoggedPause(FakePause):
    log: list[str] = field(default_factory=list)

    def wait(self, seconds: float) -> bool:
        if seconds > 0:
            self.log.append(STEP)
        return super().wait(seconds)


def steps_without_a_word_before(told: list[str]) -> list[int]:
    """Where in what happened something lasting began and the watchdog had not just been fed."""
    return [
        at
        for at, (before, step) in enumerate(pairwise(["", *told]))
        if step == STEP and before != "alive"
    ]


# The name


def test_a_host_registers_as_its_hostname_and_environment_with_what_it_can_do() -> None:
    api = FakeControlPlane()

    run_host(api)

    assert api.registered == [("mars-production", "production", CAPABILITIES)]


def test_a_given_server_name_is_the_name() -> None:
    api = FakeControlPlane()

    run_host(api, server_name="phobos")

    assert api.registered == [("phobos", "production", CAPABILITIES)]


def test_a_made_up_name_is_warned_about_with_what_to_set(caplog: pytest.LogCaptureFixture) -> None:
    api = FakeControlPlane()

    run_host(api, environment="")

    assert [name for name, _, _ in api.registered] == ["mars-0a1b2c3d"]
    assert len(lines(caplog, "set ENVIRONMENT or SERVER_NAME")) == 1


def test_a_made_up_name_stays_while_the_process_lives() -> None:
    api = FakeControlPlane(beating=[ServerNotFound(42)])

    run_host(api, environment="", rests=2)

    assert [name for name, _, _ in api.registered] == ["mars-0a1b2c3d"] * 2


def test_a_name_against_the_rules_ends_the_host() -> None:
    machine = FakeMachine([MachineReport("m" * 255, CAPABILITIES)])

    with pytest.raises(InvalidField):
        run_host(machine=machine)


# Docker


def test_a_host_whose_docker_is_away_says_so_once_and_waits_for_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = FakeControlPlane()
    pause = FakePause(rests=4)
    machine = FakeMachine([NO_ENGINE, NO_ENGINE, NO_ENGINE])

    run_host(api, machine, pause=pause)

    assert pause.waits[:3] == [0.5, 1, 2]
    assert len(api.registered) == 1
    assert lines(caplog, "Docker") == [
        "Docker is away. Trying again until it answers.",
        "Docker answers again.",
    ]


def test_another_reason_why_docker_is_away_is_said_too(caplog: pytest.LogCaptureFixture) -> None:
    not_permitted = EngineUnavailable("Docker is not for you.")
    machine = FakeMachine([NO_ENGINE, not_permitted, NO_ENGINE, not_permitted])

    run_host(machine=machine, rests=5)

    assert lines(caplog, "Trying again") == [
        "Docker is away. Trying again until it answers.",
        "Docker is not for you. Trying again until it answers.",
    ]


def test_a_host_whose_docker_goes_away_heartbeats_on_without_figures(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = FakeControlPlane()
    machine = FakeMachine([HEALTHY, NO_ENGINE, NO_ENGINE, HEALTHY, NO_ENGINE])

    run_host(api, machine, rests=5)

    assert api.heartbeats == [(42, None), (42, None), (42, CAPABILITIES), (42, None)]
    assert lines(caplog, "Docker") == [
        "Docker is away. Heartbeats go on with the figures known so far.",
        "Docker answers again.",
        "Docker is away. Heartbeats go on with the figures known so far.",
    ]


def test_a_host_without_docker_registers_again_with_the_figures_it_had() -> None:
    api = FakeControlPlane(beating=[ServerNotFound(42)])
    machine = FakeMachine([HEALTHY, NO_ENGINE])

    run_host(api, machine, rests=2)

    assert api.registered == [("mars-production", "production", CAPABILITIES)] * 2


# Heartbeats


def test_the_first_heartbeat_comes_after_a_random_part_of_the_interval() -> None:
    waits = []
    for random in (0.0, 0.5, 1.0):
        pause = FakePause(rests=1)
        run_host(pause=pause, random=random)
        waits += pause.waits

    assert waits == [16, 12, 8]


def test_heartbeats_come_as_often_as_the_api_says() -> None:
    api = FakeControlPlane(
        beating=[
            Heard(timedelta(seconds=15), config_revision=0),
            Heard(timedelta(seconds=60), config_revision=0),
        ]
    )
    pause = FakePause(rests=3)

    run_host(api, pause=pause)

    assert pause.waits == [16, 15, 60]


def test_every_heartbeat_carries_fresh_figures() -> None:
    api = FakeControlPlane()
    machine = FakeMachine()

    run_host(api, machine, rests=4)

    assert api.heartbeats == [(42, CAPABILITIES)] * 3
    assert machine.reports == 4


def test_a_host_that_the_api_has_forgotten_registers_again_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = FakeControlPlane(
        registering=[JOINED, Joined(43, timedelta(seconds=16), config_revision=0)],
        beating=[ServerNotFound(42)],
    )
    pause = FakePause(rests=3)

    run_host(api, pause=pause)

    assert pause.waits == [16, 16, 20]
    assert [server_id for server_id, _ in api.heartbeats] == [42, 43]
    assert lines(caplog, "does not know") == [
        "The API does not know server 42 any more: registering again."
    ]


# The API away


def test_a_host_whose_api_is_away_says_so_once_and_registers_when_it_is_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = FakeControlPlane(registering=[AWAY] * 9)
    pause = FakePause(rests=10)

    run_host(api, pause=pause)

    assert pause.waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 16]
    assert lines(caplog) == [
        "The API is away. Trying again until it answers.",
        "The API answers again.",
        "Registered as server 42 under the name mars-production.",
        "Stopped; the API shows server 42 as offline.",
    ]


def test_waits_between_tries_are_random_up_to_a_half() -> None:
    pause = FakePause(rests=3)

    run_host(FakeControlPlane(registering=[AWAY, AWAY]), pause=pause, random=1.0)

    assert pause.waits == [0.25, 0.5, 8]


def test_a_host_that_waits_for_the_api_registers_with_fresh_figures() -> None:
    machine = FakeMachine()

    run_host(FakeControlPlane(registering=[AWAY, AWAY]), machine, rests=3)

    assert machine.reports == 3


def test_a_registered_host_outlives_an_outage_of_the_api_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = FakeControlPlane(beating=[HEARD, AWAY, AWAY, AWAY, HEARD, AWAY])
    pause = FakePause(rests=8)

    run_host(api, pause=pause)

    assert pause.waits == [16, 20, 0.5, 1, 2, 20, 0.5, 20]
    assert len(api.registered) == 1
    assert lines(caplog, "API") == [
        "The API is away. Trying again until it answers.",
        "The API answers again.",
        "The API is away. Trying again until it answers.",
        "The API answers again.",
        "Stopped; the API shows server 42 as offline.",
    ]


# What cannot pass


@pytest.mark.parametrize("error", [InvalidRegistrationKey(), ControlPlaneRefused("No.")])
def test_a_refusal_ends_the_host_without_a_farewell(error: Exception) -> None:
    api = FakeControlPlane(registering=[error])

    with pytest.raises(type(error)):
        run_host(api)

    assert api.farewells == []


def test_a_key_that_was_changed_meanwhile_ends_the_host_when_it_registers_again() -> None:
    api = FakeControlPlane(
        registering=[JOINED, InvalidRegistrationKey()], beating=[ServerNotFound(42)]
    )

    with pytest.raises(InvalidRegistrationKey):
        run_host(api, rests=3)


def test_a_key_that_was_changed_meanwhile_ends_the_host_when_it_fetches() -> None:
    api = FakeControlPlane(
        beating=[Heard(timedelta(seconds=20), config_revision=1)],
        fetching=[InvalidRegistrationKey()],
    )

    with pytest.raises(InvalidRegistrationKey):
        run_host(api, folder=FakeConfigurationFolder(), rests=3)


# Configuration


def test_a_host_fetches_its_configuration_as_soon_as_it_is_registered() -> None:
    api = FakeControlPlane(
        registering=[Joined(42, timedelta(seconds=16), config_revision=3)],
        beating=[Heard(timedelta(seconds=16), config_revision=3)],
        fetching=[ConfigurationChanges([document("game", 3)], ["game"], revision=3, more=False)],
    )
    folder = FakeConfigurationFolder()

    run_host(api, folder=folder, rests=2)

    assert api.fetched == [(42, 0)]
    assert folder.documents == {"game": '{"revision": 3}'}


def test_a_host_fetches_what_changed_while_it_runs() -> None:
    api = FakeControlPlane(
        beating=[Heard(timedelta(seconds=16), config_revision=6)],
        fetching=[ConfigurationChanges([document("b", 6)], ["b"], revision=6, more=False)],
    )
    folder = FakeConfigurationFolder(server_id=42, revision=5, documents={"a": "{}"})

    run_host(api, folder=folder, rests=2)

    assert api.fetched[-1] == (42, 5)
    assert folder.documents == {"b": '{"revision": 6}'}


def test_a_host_fetches_as_long_as_there_is_more() -> None:
    names = ["a", "b"]
    api = FakeControlPlane(
        registering=[Joined(42, timedelta(seconds=16), config_revision=2)],
        fetching=[
            ConfigurationChanges([document("a", 1)], names, revision=1, more=True),
            ConfigurationChanges([document("b", 2)], names, revision=2, more=False),
        ],
    )
    folder = FakeConfigurationFolder()

    run_host(api, folder=folder)

    assert api.fetched == [(42, 0), (42, 1)]
    assert folder.documents.keys() == {"a", "b"}


def test_an_api_that_promises_more_without_giving_it_is_not_asked_for_ever() -> None:
    api = FakeControlPlane(
        registering=[Joined(42, timedelta(seconds=16), config_revision=2)],
        fetching=[ConfigurationChanges([], [], revision=0, more=True)] * 100,
    )

    run_host(api, folder=FakeConfigurationFolder())

    assert len(api.fetched) == 1


def test_a_host_without_configuration_takes_away_what_another_server_left() -> None:
    api = FakeControlPlane()
    folder = FakeConfigurationFolder(server_id=7, revision=3, documents={"old": "{}"})

    run_host(api, folder=folder)

    assert api.fetched == []
    assert folder == FakeConfigurationFolder(server_id=42)


def test_a_host_without_a_folder_fetches_nothing() -> None:
    api = FakeControlPlane(registering=[Joined(42, timedelta(seconds=16), config_revision=3)])

    run_host(api)

    assert api.fetched == []


@pytest.mark.parametrize(
    "failure", [AWAY, ControlPlaneRefused("Not this one."), ServerNotFound(42)]
)
def test_configuration_that_cannot_be_fetched_is_said_once_and_tried_with_each_heartbeat(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    api = FakeControlPlane(
        beating=[Heard(timedelta(seconds=20), config_revision=3)] * 4,
        fetching=[
            failure,
            failure,
            ConfigurationChanges([document("game", 3)], ["game"], revision=3, more=False),
        ],
    )
    folder = FakeConfigurationFolder()

    run_host(api, folder=folder, rests=5)

    assert len(api.heartbeats) == 4
    assert folder.documents == {"game": '{"revision": 3}'}
    reason = str(failure).removesuffix(".")
    assert lines(caplog, "configuration") == [
        f"The configuration cannot be fetched: {reason}. Trying again with each heartbeat.",
        "The configuration is at revision 3, of 1 documents 1 changed.",
        "The configuration can be followed again.",
    ]


def test_a_full_disk_is_said_once_and_stops_no_heartbeat(caplog: pytest.LogCaptureFixture) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    told = Heard(timedelta(seconds=20), config_revision=3)
    page = ConfigurationChanges([document("game", 3)], ["game"], revision=3, more=False)
    api = FakeControlPlane(beating=[told] * 3, fetching=[page] * 3)
    folder = FakeConfigurationFolder(server_id=42, troubles=[None, full, full, full])

    run_host(api, folder=folder, rests=4)

    assert len(api.heartbeats) == 3
    assert len(lines(caplog, "kept in CONFIG_DIR (No space left on device)")) == 1


def test_a_document_whose_name_leads_out_of_the_folder_is_not_written() -> None:
    page = ConfigurationChanges(
        [document("../../etc/cron.d/x", 1)], ["../../etc/cron.d/x"], revision=1, more=False
    )
    api = FakeControlPlane(
        registering=[Joined(42, timedelta(seconds=16), config_revision=1)], fetching=[page]
    )
    folder = FakeConfigurationFolder()

    run_host(api, folder=folder)

    assert folder == FakeConfigurationFolder()


# Stopping


def test_a_host_that_is_asked_to_stop_tells_the_api(caplog: pytest.LogCaptureFixture) -> None:
    api = FakeControlPlane()

    run_host(api)

    assert api.farewells == [42]
    assert lines(caplog)[-1] == "Stopped; the API shows server 42 as offline."


@pytest.mark.parametrize("failure", [AWAY, ServerNotFound(42), ControlPlaneRefused("No.")])
def test_a_farewell_that_does_not_get_through_is_tried_once_and_said(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    api = FakeControlPlane(leaving=[failure])

    run_host(api)

    assert api.farewells == [42]
    assert "will notice by this host's silence" in lines(caplog)[-1]


def test_a_host_that_waits_for_docker_stops_without_registering() -> None:
    api = FakeControlPlane()

    run_host(api, FakeMachine([NO_ENGINE] * 9), rests=2)

    assert api == FakeControlPlane()


def test_a_host_that_waits_for_the_api_stops_without_a_farewell() -> None:
    api = FakeControlPlane(registering=[AWAY] * 9)

    run_host(api, rests=2)

    assert api.farewells == []


def test_a_host_that_is_asked_to_stop_while_it_looks_at_docker_does_not_register() -> None:
    api = FakeControlPlane()

    run_host(api, rests=0)

    assert api == FakeControlPlane()


# The service manager


def test_the_service_manager_sees_each_state() -> None:
    notifier = FakeNotifier()

    run_host(notifier=notifier)

    assert [told for told in notifier.told if told in list(HostState)] == [
        HostState.DETECTING,
        HostState.REGISTERING,
        HostState.RUNNING,
        HostState.LEAVING,
    ]


def test_a_host_is_ready_once_when_it_is_registered() -> None:
    notifier = FakeNotifier()

    run_host(notifier=notifier, rests=3)

    assert notifier.told.index("ready") > notifier.told.index(HostState.RUNNING)
    assert notifier.told.count("ready") == 1


def test_a_host_that_waits_for_docker_holds_nothing_up() -> None:
    notifier = FakeNotifier()

    run_host(machine=FakeMachine([NO_ENGINE] * 9), notifier=notifier, rests=2)

    assert "ready" in notifier.told


def test_a_host_whose_start_cannot_succeed_is_never_ready() -> None:
    notifier = FakeNotifier()

    with pytest.raises(InvalidRegistrationKey):
        run_host(FakeControlPlane(registering=[InvalidRegistrationKey()]), notifier=notifier)

    assert "ready" not in notifier.told


def test_a_long_rest_is_broken_up_to_feed_the_watchdog() -> None:
    notifier = FakeNotifier(longest_silence=5.0)
    pause = LoggedPause(rests=4, log=notifier.told)

    run_host(notifier=notifier, pause=pause)

    assert pause.waits == [5, 5, 5, 1]
    assert steps_without_a_word_before(notifier.told) == []


def test_a_slow_docker_and_a_slow_api_keep_the_watchdog_waiting_for_one_step_at_a_time() -> None:
    notifier = FakeNotifier(longest_silence=30.0)
    log = notifier.told
    pages = [
        ConfigurationChanges([document(name, revision)], ["a", "b", "c"], revision, more=more)
        for name, revision, more in (("a", 1, True), ("b", 2, True), ("c", 3, False))
    ]
    api = LoggedControlPlane(
        # One that is away and then forgets the host makes most steps follow each other.
        registering=[AWAY, JOINED, Joined(42, timedelta(seconds=16), config_revision=3)],
        beating=[Heard(timedelta(seconds=16), config_revision=3), AWAY, ServerNotFound(42)],
        fetching=list(pages),
        leaving=[AWAY],
        log=log,
    )
    machine = LoggedMachine([NO_ENGINE, HEALTHY, NO_ENGINE], log=log)
    pause = LoggedPause(rests=6, log=log)

    run_host(api, machine, FakeConfigurationFolder(), notifier, pause)

    assert len(api.registered) == 3
    assert len(api.fetched) == 3
    assert len(api.farewells) == 1
    assert steps_without_a_word_before(log) == []


def test_a_command_makes_the_host_speak_before_it_is_due() -> None:
    control_plane = FakeControlPlane()
    # As a service manager's watchdog has it, a rest is taken in turns.
    notifier = FakeNotifier(longest_silence=1.0)
    commands = FakeCommands([None, HostCommand.REPORT, None, None, HostCommand.CONFIG])
    pause = FakePause(rests=6)
    run_host(control_plane, notifier=notifier, pause=pause, commands=commands)

    assert pause.waits == [1.0] * 6
    assert [server_id for server_id, _ in control_plane.heartbeats] == [42, 42]
    assert commands.listened == [42]


def test_a_host_that_got_another_id_listens_for_that(caplog: pytest.LogCaptureFixture) -> None:
    control_plane = FakeControlPlane(
        registering=[JOINED, Joined(43, timedelta(seconds=16), 0)], beating=[ServerNotFound(42)]
    )
    commands = FakeCommands()
    run_host(control_plane, commands=commands, rests=2)

    assert commands.listened == [42, 43]


def test_a_host_with_a_given_id_needs_no_name(caplog: pytest.LogCaptureFixture) -> None:
    control_plane = FakeControlPlane()
    run_host(control_plane, environment="", given_server_id=42)

    assert [name for name, _, _ in control_plane.registered] == [""]
    assert caplog.messages == [
        "Online as server 42.",
        "Stopped; the API shows server 42 as offline.",
    ]


def test_a_host_that_is_not_heard_tries_as_often_as_it_would_beat() -> None:
    soon = timedelta(seconds=3)
    control_plane = FakeControlPlane(
        registering=[Joined(42, soon, 0)], beating=[Heard(soon, 0), *[AWAY] * 6]
    )
    pause = FakePause(rests=9)
    run_host(control_plane, pause=pause)

    assert pause.waits == [3, 3, 0.5, 1, 2, 3, 3, 3, 20]
