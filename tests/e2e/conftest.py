from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.machines import FakeMachine
from tests.e2e.processes import Api, Process

# Offline after three of them: the tests that wait for silence need not wait long.
INTERVAL = {"HEARTBEAT_INTERVAL_SECONDS": "1"}


@pytest.fixture
def start_api() -> Iterator[Callable[..., Api]]:
    """Starts APIs; whatever still runs at the end of the test is killed."""
    with ExitStack() as stack:

        def start(database_url: str, **options: str) -> Api:
            api = Api(database_url, **{**INTERVAL, **options})
            stack.callback(api.kill)
            return api

        yield start


@pytest.fixture
def start_host(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts host managers, by default on one machine without Docker; whatever still runs is
    killed.

    Without an address they know no API, only a broker.
    """
    machine = FakeMachine.fresh(tmp_path / "usual-machine")
    with ExitStack() as stack:

        def start(address: str | None, *arguments: str, **variables: str) -> Process:
            to_the_api = {"API_ADDRESS": address} if address else {}
            host = Process(
                "manmanv2-host",
                *arguments,
                **{
                    **to_the_api,
                    "DOCKER_SOCKET": str(tmp_path / "no-docker.sock"),
                    "DOCKER_OPTIONAL": "true",
                    **machine.settings,
                    **variables,
                },
            )
            stack.callback(host.kill)
            return host

        yield start


@pytest.fixture
def api(start_api: Callable[..., Api]) -> Api:
    """An API in memory mode."""
    return start_api("memory://")
