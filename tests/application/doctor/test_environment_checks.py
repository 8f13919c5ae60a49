from datetime import timedelta
from pathlib import Path

import pytest

from application.ports.probes.port_probe import PortState, PortStatus
from domain.clock_reading import ClockReading
from tests.support.host_checks import NOW, FakeApi, FakeBroker, examine, outcome


@pytest.mark.parametrize(
    ("ahead", "text"),
    [
        (2, "ok the API's clock agrees with this machine's"),
        (30, "warn the API's clock is 30 s ahead of this machine's: "),
        (-30, "warn the API's clock is 30 s behind this machine's: "),
    ],
)
def test_clocks_are_compared(ahead: int, text: str) -> None:
    clock = ClockReading(NOW, NOW + timedelta(seconds=ahead), NOW)

    assert outcome("Clock", api=FakeApi(clock=clock)).startswith(text)


def test_a_virtual_host_that_no_api_has_used_is_a_warning() -> None:
    assert outcome("Broker", broker=FakeBroker(known=True)).startswith("ok RabbitMQ 4.0 answers")
    assert outcome("Broker", broker=FakeBroker(known=False)).startswith(
        "warn RabbitMQ 4.0 answers, but no API has used this virtual host: "
    )


def test_a_directory_must_be_writable() -> None:
    folder = Path("/etc/x")

    assert outcome("Folder", config_dir=folder) == "ok this user can write to /etc/x"
    assert outcome("Folder", config_dir=folder, write_problem=lambda _: "is not a directory") == (
        "FAIL CONFIG_DIR /etc/x is not a directory: fix the directory or its permissions"
    )


@pytest.mark.parametrize(
    ("state", "answers", "text"),
    [
        (PortState.FREE, False, "ok :9 is free, so manmanv2-host does not run there"),
        (PortState.TAKEN, True, "ok manmanv2-host answers at :9"),
        (PortState.TAKEN, False, "warn METRICS_ADDRESS :9 is in use by nginx, which"),
        (PortState.ELSEWHERE, False, "warn METRICS_ADDRESS :9 is not an address of this machine: "),
        (PortState.FORBIDDEN, False, "warn METRICS_ADDRESS :9 needs privileges"),
    ],
)
def test_a_management_port_is_free_or_ours_or_a_warning(
    state: PortState, answers: bool, text: str
) -> None:
    assert outcome(
        "Metrics", metrics_address=":9", port=PortStatus(state, "nginx"), answers=answers
    ).startswith(text)


def test_a_state_directory_must_be_writable_unless_the_host_has_a_server_id() -> None:
    def why_not(folder: Path) -> str:
        return "is not a directory" if folder == Path("/state") else ""

    assert outcome("State", state_dir=Path("/state")) == "ok this user can write to /state"
    assert outcome("State", state_dir=Path("/state"), write_problem=why_not) == (
        "FAIL STATE_DIR /state is not a directory: fix the directory or its permissions"
    )
    assert "State" not in examine(state_dir=Path("/state"), server_id=7, api=None)
