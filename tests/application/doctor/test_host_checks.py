from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from application.doctor.check_result import CheckResult
from application.doctor.host_checks import HostChecks
from application.doctor.run_checks import RunChecks
from application.ports.host.control_plane import ControlPlaneRefused, ControlPlaneUnavailable
from application.ports.host.machine import EngineUnavailable, MachineReport
from application.ports.host.state_folder import SavedState
from application.ports.probes.api_probe import KeyTrial
from application.ports.probes.broker_probe import BrokerStatus
from application.ports.probes.port_probe import PortState, PortStatus
from domain.clock_reading import ClockReading
from domain.errors import InvalidRegistrationKey
from domain.machine_evidence import NO_EVIDENCE
from tests.support.canary_secrets import canary
from tests.support.fakes import CAPABILITIES, FakeMachine

KEY, OTHER_KEY, STRANGE_KEY = canary("key"), canary("other key"), canary("strange key")
CREDENTIAL = canary("credential")
NOW = datetime(2026, 11, 24, tzinfo=UTC)
AWAY = EngineUnavailable("DOCKER_SOCKET /x does not exist", "start Docker")


@dataclass
class FakeApi:
    """Admits who shows its key, or everybody when it has none."""

    key: str = field(default=KEY, repr=False)
    clock: ClockReading | None = None
    store_is_away: bool = False
    # A join key is: it opens, and speaks for no server yet.
    speaks_for_nobody: bool = False
    # Of a server.
    credential: str = field(default=CREDENTIAL, repr=False)
    tried: list[str] = field(default_factory=list, repr=False)

    def try_key(self, key: str, credential: str = "") -> KeyTrial:
        self.tried.append(key)
        admitted = key == self.key or not self.key or credential == self.credential
        return KeyTrial(admitted, clock=self.clock)

    def ping_store(self, key: str) -> None:
        if self.store_is_away:
            raise ControlPlaneUnavailable("It cannot answer now")
        if self.speaks_for_nobody:
            raise InvalidRegistrationKey


@dataclass
class FakeBroker:
    known: bool

    def check(self) -> BrokerStatus:
        return BrokerStatus("RabbitMQ 4.0", self.known)


@dataclass
class FakePorts:
    found: PortStatus

    def check(self, address: str) -> PortStatus:
        return self.found


HOST = HostChecks(
    server_name="",
    environment="production",
    server_id=None,
    registration_key=KEY,
    other_keys=(),
    random_key=STRANGE_KEY,
    api_address="api:50051",
    docker_socket=Path("/x"),
    docker_optional=False,
    in_container=False,
    config_dir=None,
    state_dir=None,
    metrics_address="",
    engine=FakeMachine([MachineReport("web1", CAPABILITIES)] * 2),
    itself=FakeMachine([MachineReport("itself", CAPABILITIES)] * 2),
    other_engine_socket=lambda: None,
    api=FakeApi(),
    broker=None,
    over_amqp=False,
    kept=lambda: None,
    write_problem=lambda folder: "",
    ports=FakePorts(PortStatus(PortState.FREE)),
    side_port_answers=lambda address: True,
)


def examine(**other: Any) -> dict[str, CheckResult]:
    machines = {
        "engine": FakeMachine([MachineReport("web1", CAPABILITIES)]),
        "itself": FakeMachine([MachineReport("itself", CAPABILITIES)]),
    }
    host = replace(HOST, **{**machines, **other})
    return dict(RunChecks(lambda look: look())(host.checks(), {}))


def told(check: str, **other: Any) -> str:
    finding = examine(**other)[check]
    return f"{finding.outcome} {finding}"


def test_a_host_that_is_well_is_told_what_it_has() -> None:
    found = examine()

    assert {name: str(finding) for name, finding in found.items()} == {
        "Docker": "Docker 29.1.2 at /x, 4 cores, 8.0 GiB",
        "Name": "web1-production, from hostname and ENVIRONMENT",
        "API": "a ManMan API answers at api:50051",
        "Key": "the API takes REGISTRATION_KEY",
        "Database": "the API reaches its database",
        "Clock": "not known, because the API is too old to tell its time",
    }


# The name


def test_a_name_that_is_set_is_told() -> None:
    assert told("Name", server_name="box") == "ok box, from SERVER_NAME"


def test_a_name_that_is_made_up_is_warned_about() -> None:
    assert told("Name", environment="") == (
        "warn web1-????????, made up anew at each start, which so may get another server_id: set"
        " ENVIRONMENT or SERVER_NAME"
    )


KEPT = SavedState(7, "mars-0a1b2c3d", "", ephemeral=True, epoch=1, evidence=NO_EVIDENCE)


@pytest.mark.parametrize(
    ("kept", "settings", "said"),
    [
        (KEPT, {}, "ok mars-0a1b2c3d, kept from the last start in STATE_DIR"),
        (None, {}, "ok web1-????????, made up at the first start and kept in STATE_DIR"),
        (KEPT, {"server_name": "box"}, "ok box, from SERVER_NAME"),
        (KEPT, {"environment": "dev"}, "ok web1-dev, from hostname and ENVIRONMENT"),
    ],
)
def test_a_name_that_is_kept_is_told(
    kept: SavedState | None, settings: dict[str, str], said: str
) -> None:
    others = {"environment": "", **settings}

    assert told("Name", state_dir=Path("/state"), kept=lambda: kept, **others) == said


def test_a_state_that_cannot_be_kept_fails() -> None:
    def why_not(folder: Path) -> str:
        return "is not a directory" if folder == Path("/state") else ""

    assert told("State", state_dir=Path("/state")) == "ok this user may write to /state"
    assert told("State", state_dir=Path("/state"), write_problem=why_not) == (
        "FAIL STATE_DIR /state is not a directory: mend the folder or its permissions"
    )
    assert "State" not in examine(state_dir=Path("/state"), server_id=7)


def test_a_name_against_the_rules_fails() -> None:
    assert told("Name", environment="e" * 255).startswith(
        "FAIL this host cannot be named so, name has 260 characters"
    )


def test_in_a_container_docker_tells_the_machines_name() -> None:
    assert told("Name", in_container=True) == (
        "ok web1-production, from Docker's name of the machine and ENVIRONMENT"
    )


def test_in_a_container_without_docker_no_name_is_known() -> None:
    assert told("Name", in_container=True, engine=FakeMachine([AWAY])).startswith("skip not known")
    assert told("Name", in_container=True, engine=FakeMachine([AWAY]), server_name="box") == (
        "ok box, from SERVER_NAME"
    )


def test_a_containers_own_hostname_is_warned_about() -> None:
    said = told("Name", in_container=True, engine=FakeMachine([AWAY]), docker_optional=True)

    assert said.startswith("warn itself-production, from the container's hostname, ")


def test_without_docker_a_machine_still_has_its_hostname() -> None:
    assert told("Name", engine=FakeMachine([AWAY])).startswith(
        "ok itself-production, from hostname"
    )


def test_a_given_id_needs_no_name() -> None:
    assert told("Name", server_id=42, environment="") == "ok server 42, from SERVER_ID"


# The engine


def test_an_engine_that_is_away_fails_with_the_cure() -> None:
    said = told("Docker", engine=FakeMachine([AWAY]))

    assert said == "FAIL DOCKER_SOCKET /x does not exist: start Docker"


def test_an_engine_that_answers_elsewhere_is_pointed_to() -> None:
    said = told("Docker", engine=FakeMachine([AWAY]), other_engine_socket=lambda: Path("/y"))

    assert said.endswith(": Docker answers at another place, set DOCKER_SOCKET=/y")


def test_an_engine_that_may_be_away_is_a_warning() -> None:
    said = told("Docker", engine=FakeMachine([AWAY]), docker_optional=True)

    assert said.startswith("warn DOCKER_SOCKET /x does not exist, and DOCKER_OPTIONAL does without")


# The key


def test_another_key_is_told_from_none() -> None:
    assert told("Key", registration_key=OTHER_KEY).startswith(
        "FAIL REGISTRATION_KEY is not the API's: "
    )
    assert told("Key", registration_key="").startswith(
        "FAIL REGISTRATION_KEY is not set, and the API wants one: "
    )


@pytest.mark.parametrize("wrapped", [f" {KEY}", f"{KEY}\n", f'"{KEY}"', f"'{KEY}' "])
def test_blanks_and_quotes_around_the_key_are_recognised(wrapped: str) -> None:
    assert told("Key", registration_key=wrapped).startswith(
        "FAIL REGISTRATION_KEY has blanks or quotes around it: "
    )


def test_blanks_around_another_key_are_not_what_is_wrong() -> None:
    assert told("Key", registration_key=f"{OTHER_KEY} ").startswith(
        "FAIL REGISTRATION_KEY is not the API's: "
    )


WITH_CREDENTIAL = replace(KEPT, credential=CREDENTIAL)
IS_TAKEN = "the API takes the credential of this host, which STATE_DIR keeps"
IS_NO_KEY = (
    f"warn {IS_TAKEN}, and not REGISTRATION_KEY: leave the key out, or set it to one that the API"
    " takes"
)


@pytest.mark.parametrize(
    ("key", "said"), [(KEY, "ok the API takes REGISTRATION_KEY"), ("", f"ok {IS_TAKEN}")]
)
def test_a_host_with_a_credential_needs_no_key(key: str, said: str) -> None:
    assert told("Key", registration_key=key, kept=lambda: WITH_CREDENTIAL) == said


def test_a_key_that_a_credential_makes_up_for_is_warned_about() -> None:
    class Revoked(FakeApi):
        def try_key(self, key: str, credential: str = "") -> KeyTrial:
            if credential != self.credential:
                raise ControlPlaneRefused("The join key was revoked")
            return KeyTrial(admitted=True, clock=self.clock)

    asked = {"registration_key": OTHER_KEY, "kept": lambda: WITH_CREDENTIAL}

    assert told("Key", **asked) == IS_NO_KEY
    assert told("Key", api=Revoked(), **asked) == IS_NO_KEY


@pytest.mark.parametrize("key", ["", OTHER_KEY])
def test_a_credential_that_is_void_makes_up_for_nothing(key: str) -> None:
    void = replace(KEPT, credential=canary("expired credential"))

    assert told("Key", registration_key=key, kept=lambda: void).startswith("FAIL REGISTRATION_KEY")


@pytest.mark.parametrize("key", ["", KEY])
def test_an_api_that_takes_any_key_is_warned_about(key: str) -> None:
    assert told("Key", api=FakeApi(key=""), registration_key=key).startswith(
        "warn the API takes any key, so everybody may join: "
    )


def test_a_key_that_is_refused_is_the_only_one_tried() -> None:
    api = FakeApi()
    examine(api=api, registration_key=OTHER_KEY)

    assert api.tried == [OTHER_KEY]


def test_of_several_keys_it_is_enough_that_the_api_takes_one() -> None:
    api = FakeApi()
    found = examine(api=api, registration_key=OTHER_KEY, other_keys=[KEY, f"{OTHER_KEY} 2"])

    assert str(found["Key"]) == "the API takes another key of REGISTRATION_KEY_FILE than the first"
    assert str(found["Database"]) == "the API reaches its database"
    assert api.tried == [OTHER_KEY, KEY, STRANGE_KEY]


@pytest.mark.parametrize(
    ("other", "outcome"),
    [
        (KEY, "ok a ManMan API answers at api:50051"),
        (f"{OTHER_KEY} 2", "FAIL The join key was revoked"),
    ],
)
def test_a_join_key_that_was_revoked_keeps_no_other_from_being_tried(
    other: str, outcome: str
) -> None:
    class Revoked(FakeApi):
        def try_key(self, key: str, credential: str = "") -> KeyTrial:
            if key == OTHER_KEY:
                raise ControlPlaneRefused("The join key was revoked")
            return super().try_key(key, credential)

    asked = {"registration_key": OTHER_KEY, "other_keys": [other]}

    assert told("API", api=Revoked(), **asked) == outcome


def test_an_api_that_refuses_the_key_is_not_asked_further() -> None:
    assert told("Database", registration_key=OTHER_KEY) == (
        "skip not looked at, because the API refuses the key"
    )


# The rest


def test_an_api_whose_database_is_away_is_told() -> None:
    assert told("Database", api=FakeApi(store_is_away=True)).startswith(
        "FAIL the API does not reach its database, or is too busy: "
    )


def test_an_api_that_looks_a_join_key_up_reaches_its_database() -> None:
    assert told("Database", api=FakeApi(speaks_for_nobody=True)) == (
        "ok the API reaches its database"
    )


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (2, "ok the API's clock agrees with this machine's"),
        (30, "warn the API's clock is 30 s ahead of this machine's: "),
        (-30, "warn the API's clock is 30 s behind this machine's: "),
    ],
)
def test_clocks_are_compared(ahead: int, said: str) -> None:
    clock = ClockReading(NOW, NOW + timedelta(seconds=ahead), NOW)

    assert told("Clock", api=FakeApi(clock=clock)).startswith(said)


def test_a_host_over_amqp_asks_the_api_by_the_broker() -> None:
    found = examine(over_amqp=True, broker=FakeBroker(known=True))

    assert list(found) == ["Docker", "Name", "Broker", "API", "Key", "Database"]
    assert str(found["API"]) == "an API answers over the broker"


def test_a_virtual_host_in_which_no_api_was_is_warned_about() -> None:
    assert told("Broker", broker=FakeBroker(known=True)).startswith("ok RabbitMQ 4.0 answers")
    assert told("Broker", broker=FakeBroker(known=False)).startswith(
        "warn RabbitMQ 4.0 answers, but no API has been in this virtual host: "
    )


def test_a_host_with_a_given_id_asks_no_api() -> None:
    found = examine(server_id=42, api=None, broker=FakeBroker(known=True))

    assert str(found["API"]).startswith("not asked, because with a SERVER_ID")
    assert "Key" not in found


def test_a_folder_that_cannot_be_written_to_fails() -> None:
    folder = Path("/etc/x")

    assert told("Folder", config_dir=folder) == "ok this user may write to /etc/x"
    assert told("Folder", config_dir=folder, write_problem=lambda _: "is not a directory") == (
        "FAIL CONFIG_DIR /etc/x is not a directory: mend the folder or its permissions"
    )


@pytest.mark.parametrize(
    ("state", "answers", "said"),
    [
        (PortState.FREE, False, "ok :9 is free, manmanv2-host does not run there"),
        (PortState.TAKEN, True, "ok manmanv2-host answers at :9"),
        (PortState.TAKEN, False, "warn METRICS_ADDRESS :9 is taken by nginx, which"),
        (PortState.ELSEWHERE, False, "warn METRICS_ADDRESS :9 is no address of this machine: "),
        (PortState.FORBIDDEN, False, "warn METRICS_ADDRESS :9 may not be listened on"),
    ],
)
def test_a_side_port_is_free_or_ours_or_a_warning(
    state: PortState, answers: bool, said: str
) -> None:
    ports = FakePorts(PortStatus(state, "nginx"))

    assert told(
        "Metrics", metrics_address=":9", ports=ports, side_port_answers=lambda _: answers
    ).startswith(said)


def test_no_key_is_shown() -> None:
    assert KEY not in repr(HOST)
    assert STRANGE_KEY not in repr(HOST)
