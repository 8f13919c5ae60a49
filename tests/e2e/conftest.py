from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.machines import FakeMachine
from tests.support.processes import Api, Process, starts_cold

# Offline after three of them: the tests that wait for silence need not wait long.
INTERVAL = {"HEARTBEAT_INTERVAL_SECONDS": "1"}


@pytest.fixture(autouse=True)
def _cold_start(request: pytest.FixtureRequest) -> Iterator[None]:
    if not request.node.get_closest_marker("cold_start"):
        yield
        return
    before = starts_cold.set(True)
    yield
    starts_cold.reset(before)


@contextmanager
def _apis() -> Iterator[Callable[..., Api]]:
    with ExitStack() as stack:

        def start(database_url: str, **options: str) -> Api:
            api = Api(database_url, **{**INTERVAL, **options})
            stack.callback(api.kill)
            return api

        yield start


@contextmanager
def _hosts(folder: Path) -> Iterator[Callable[..., Process]]:
    machine = FakeMachine.fresh(folder / "usual-machine")
    with ExitStack() as stack:

        def start(address: str | None, *arguments: str, **variables: str) -> Process:
            to_the_api = {"API_ADDRESS": address} if address else {}
            host = Process(
                "manmanv2-host",
                *arguments,
                **{
                    **to_the_api,
                    "DOCKER_SOCKET": str(folder / "no-docker.sock"),
                    "DOCKER_OPTIONAL": "true",
                    **machine.settings,
                    **variables,
                },
            )
            stack.callback(host.kill)
            return host

        yield start


@pytest.fixture
def start_api() -> Iterator[Callable[..., Api]]:
    """Starts APIs; whatever still runs at the end of the test is killed."""
    with _apis() as start:
        yield start


@pytest.fixture
def start_host(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts host managers, by default on one machine without Docker; whatever still runs is
    killed.

    Without an address they know no API, only a broker.
    """
    with _hosts(tmp_path) as start:
        yield start


# To start an API costs more than what most tests ask of it: those that leave it as it is share one.


@pytest.fixture(scope="module")
def start_shared_api() -> Iterator[Callable[..., Api]]:
    """As `start_api`, for all tests of a module."""
    with _apis() as start:
        yield start


@pytest.fixture(scope="module")
def start_shared_host(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Process]]:
    """As `start_host`, for all tests of a module."""
    with _hosts(tmp_path_factory.mktemp("shared")) as start:
        yield start


@pytest.fixture
def api(start_api: Callable[..., Api]) -> Api:
    """An API in memory mode."""
    return start_api("memory://")


@pytest.fixture(scope="module")
def shared_api(start_shared_api: Callable[..., Api]) -> Api:
    """An API in memory mode that no test changes."""
    return start_shared_api("memory://")


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine.fresh(tmp_path / "machine")
