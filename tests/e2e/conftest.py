from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.machines import FakeMachine
from tests.support.processes import Api, Process, starts_cold

# A host is offline after three missed heartbeats, so a short interval keeps those tests short.
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
    machine = FakeMachine.fresh(folder / "default-machine")
    with ExitStack() as stack:

        def start(address: str | None, *arguments: str, **variables: str) -> Process:
            api_address = {"API_ADDRESS": address} if address else {}
            host = Process(
                "manmanv2-host",
                *arguments,
                **{
                    **api_address,
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
    """Starts APIs. Those that still run at the end of the test are killed."""
    with _apis() as start:
        yield start


@pytest.fixture
def start_host(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts host managers, by default all on one machine without Docker.

    Those that still run at the end of the test are killed. Without an address, a host manager has
    no API to call, only a broker.
    """
    with _hosts(tmp_path) as start:
        yield start


# Starting an API takes longer than most tests: tests that do not change it share one.


@pytest.fixture(scope="module")
def start_shared_api() -> Iterator[Callable[..., Api]]:
    """Like `start_api`, for all tests of a module."""
    with _apis() as start:
        yield start


@pytest.fixture(scope="module")
def start_shared_host(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Process]]:
    """Like `start_host`, for all tests of a module."""
    with _hosts(tmp_path_factory.mktemp("shared")) as start:
        yield start


@pytest.fixture
def api(start_api: Callable[..., Api]) -> Api:
    """An API in memory mode."""
    return start_api("memory://")


@pytest.fixture(scope="module")
def shared_api(start_shared_api: Callable[..., Api]) -> Api:
    """An API in memory mode that no test may change."""
    return start_shared_api("memory://")


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine.fresh(tmp_path / "machine")
