from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from application.doctor.api_checks import ApiChecks
from application.doctor.check_result import Cause, CheckResult
from application.doctor.run_checks import RunChecks
from application.ports.host.control_plane import ControlPlaneUnavailable
from application.ports.probes.api_probe import KeyTrial
from application.ports.probes.broker_probe import BrokerStatus
from application.ports.probes.port_probe import PortState, PortStatus
from domain.clock_reading import ClockReading
from tests.support.canary_secrets import canary

KEY, OTHER_KEY, STRANGE_KEY = canary("key"), canary("other key"), canary("strange key")
NOW = datetime(2026, 11, 24, tzinfo=UTC)


@dataclass
class RunningApi:
    """None in place of a key when nobody answers."""

    key: str | None = field(repr=False)

    def try_key(self, key: str, credential: str = "") -> KeyTrial:
        if self.key is None:
            raise ControlPlaneUnavailable("It is no API")
        return KeyTrial(admitted=key == self.key or not self.key, clock=None)

    def ping_store(self, key: str) -> None:
        raise AssertionError("the store is looked at directly")


@dataclass
class FakeDatabase:
    clock: ClockReading | None

    def describe(self) -> str:
        return "PostgreSQL 18 answers"

    def read_clock(self) -> ClockReading | None:
        return self.clock


class FakeBroker:
    def check(self) -> BrokerStatus:
        return BrokerStatus("RabbitMQ 4.0", known=False)


@dataclass
class FakePorts:
    found: PortStatus

    def check(self, address: str) -> PortStatus:
        return self.found


FREE = FakePorts(PortStatus(PortState.FREE))
TAKEN = FakePorts(PortStatus(PortState.TAKEN, "nginx (pid 7)"))

API = ApiChecks(
    listen_address="127.0.0.1:50051",
    metrics_address="",
    registration_key=KEY,
    key_required=False,
    random_key=STRANGE_KEY,
    has_operator_key=True,
    database=None,
    broker=None,
    ports=FREE,
    running=RunningApi(None),
    management_server_answers=lambda address: True,
)


def examine(**other: Any) -> dict[str, CheckResult]:
    return dict(RunChecks(lambda look: look())(replace(API, **other).checks(), {}))


def outcome(check: str, **other: Any) -> str:
    result = examine(**other)[check]
    return f"{result.outcome} {result}"


def test_a_sound_api_is_ok_in_every_check() -> None:
    results = examine(database=FakeDatabase(None), broker=FakeBroker())

    assert {name: str(result) for name, result in results.items()} == {
        "Database": "PostgreSQL 18 answers",
        "Clock": "not checked, because an SQLite file has no clock",
        "Broker": "RabbitMQ 4.0 answers and accepts this user",
        "Port": "127.0.0.1:50051 is free, so manmanv2-api does not run there",
        "Key": "REGISTRATION_KEY is set",
        "Operators": "OPERATOR_KEY is set, and every operator needs a key",
    }


def test_a_memory_database_is_named() -> None:
    assert outcome("Database") == "ok memory://, which loses everything when the API stops"
    assert "Clock" not in examine()


def test_the_clock_of_the_database_is_compared() -> None:
    slow = ClockReading(NOW, NOW - timedelta(seconds=9), NOW)

    assert outcome("Clock", database=FakeDatabase(slow)).startswith(
        "warn PostgreSQL's clock is 9 s behind this machine's: "
    )


def test_a_port_that_a_running_api_has_is_ok() -> None:
    assert outcome("Port", ports=TAKEN, running=RunningApi(KEY)) == (
        "ok manmanv2-api answers at 127.0.0.1:50051"
    )


@pytest.mark.parametrize("check", ["Port", "Metrics"])
def test_a_port_that_is_chosen_at_the_start_is_never_called_free(check: str) -> None:
    assert outcome(check, listen_address="127.0.0.1:0", metrics_address="127.0.0.1:0") == (
        "ok 127.0.0.1:0 takes another free port at each start, so a running manmanv2-api is not"
        " found"
    )


@pytest.mark.parametrize(
    ("state", "text", "cause"),
    [
        (PortState.TAKEN, "is in use by nginx, which does not answer", Cause.ENVIRONMENT),
        (PortState.ELSEWHERE, "is not an address of this machine: ", Cause.SETTING),
        (PortState.FORBIDDEN, "needs privileges that this user does not have: ", Cause.SETTING),
    ],
)
def test_an_unusable_port_fails(state: PortState, text: str, cause: Cause) -> None:
    result = examine(ports=FakePorts(PortStatus(state, "nginx")))["Port"]

    assert str(result).startswith(f"LISTEN_ADDRESS 127.0.0.1:50051 {text}")
    assert result.cause is cause


def test_an_api_without_a_key_is_a_warning() -> None:
    assert outcome("Key", registration_key="").startswith(
        "warn REGISTRATION_KEY is not set, so every host that reaches this API may join: "
    )


@pytest.mark.parametrize(
    ("running", "text"),
    [
        (RunningApi(KEY), "ok REGISTRATION_KEY is not set, so hosts need a join key"),
        (RunningApi(""), "warn the running API has another REGISTRATION_KEY"),
    ],
)
def test_an_api_that_requires_join_keys_needs_no_registration_key(
    running: RunningApi, text: str
) -> None:
    result = outcome("Key", registration_key="", key_required=True, ports=TAKEN, running=running)

    assert result.startswith(text)


def test_blanks_and_quotes_around_the_key_are_a_warning() -> None:
    assert outcome("Key", registration_key=f'"{KEY}"').startswith(
        "warn REGISTRATION_KEY has blanks or quotes around it, which are part of the key: "
    )


@pytest.mark.parametrize(
    ("its_key", "ours", "differs"),
    [
        (KEY, KEY, False),
        ("", "", False),
        (OTHER_KEY, KEY, True),
        ("", KEY, True),
        (KEY, "", True),
    ],
)
def test_another_key_in_the_running_api_is_a_warning(
    its_key: str, ours: str, differs: bool
) -> None:
    result = outcome("Key", ports=TAKEN, running=RunningApi(its_key), registration_key=ours)

    assert result.startswith("warn the running API has another REGISTRATION_KEY") is differs


def test_a_missing_operator_key_is_not_a_failure() -> None:
    assert outcome("Operators", has_operator_key=False) == (
        "ok OPERATOR_KEY is not set: without an admin's key, the API serves only operators on"
        " this machine"
    )


def test_an_oidc_provider_is_checked_if_one_is_configured() -> None:
    def look() -> CheckResult:
        return CheckResult.ok("it answers")

    assert outcome("OIDC", oidc_provider=look) == "ok it answers"
    assert outcome("Operators", oidc_provider=look) == (
        "ok every operator needs a key, or a token of the OIDC provider"
    )
    assert "OIDC" not in examine()


def test_a_management_port_is_checked_if_one_is_configured() -> None:
    assert outcome("Metrics", metrics_address=":9", ports=TAKEN) == "ok manmanv2-api answers at :9"
    assert "Metrics" not in examine()


def test_no_check_prints_a_key() -> None:
    assert KEY not in repr(API)
    assert STRANGE_KEY not in repr(API)
