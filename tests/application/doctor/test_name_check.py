from pathlib import Path

import pytest

from application.ports.host.state_folder import SavedState
from tests.support.fakes import FakeMachine
from tests.support.host_checks import AWAY, SAVED, outcome


def test_a_configured_name_is_ok() -> None:
    assert outcome("Name", server_name="box") == "ok box, from SERVER_NAME"


def test_a_generated_name_is_a_warning() -> None:
    assert outcome("Name", environment="") == (
        "warn web1-????????, generated at each start, so each start may get another server_id: set"
        " ENVIRONMENT or SERVER_NAME"
    )


@pytest.mark.parametrize(
    ("saved", "settings", "text"),
    [
        (SAVED, {}, "ok mars-0a1b2c3d, from the last start (STATE_DIR)"),
        (None, {}, "ok web1-????????, generated at the first start and stored in STATE_DIR"),
        (SAVED, {"server_name": "box"}, "ok box, from SERVER_NAME"),
        (SAVED, {"environment": "dev"}, "ok web1-dev, from hostname and ENVIRONMENT"),
    ],
)
def test_the_result_says_where_the_name_comes_from(
    saved: SavedState | None, settings: dict[str, str], text: str
) -> None:
    others = {"environment": "", **settings}

    assert outcome("Name", state_dir=Path("/state"), saved_state=saved, **others) == text


def test_an_invalid_name_fails() -> None:
    assert outcome("Name", environment="e" * 255).startswith(
        "FAIL the name of this host is invalid, name has 260 characters"
    )


def test_in_a_container_the_name_comes_from_docker() -> None:
    assert outcome("Name", in_container=True) == (
        "ok web1-production, from the hostname that Docker reports and ENVIRONMENT"
    )


def test_in_a_container_without_docker_the_name_is_unknown() -> None:
    assert outcome("Name", in_container=True, engine=FakeMachine([AWAY])).startswith("skip unknown")
    assert outcome("Name", in_container=True, engine=FakeMachine([AWAY]), server_name="box") == (
        "ok box, from SERVER_NAME"
    )


def test_the_hostname_of_a_container_is_a_warning() -> None:
    text = outcome("Name", in_container=True, engine=FakeMachine([AWAY]), docker_optional=True)

    assert text.startswith("warn itself-production, from the container's hostname, ")


def test_outside_a_container_the_hostname_needs_no_docker() -> None:
    assert outcome("Name", engine=FakeMachine([AWAY])).startswith(
        "ok itself-production, from hostname"
    )


def test_a_host_with_a_server_id_needs_no_name() -> None:
    assert outcome("Name", server_id=42, environment="") == "ok server 42, from SERVER_ID"
