from collections.abc import Iterator

import pytest

from tests.conftest import used_services
from tests.support.services.docker_engine import find_engine, socket_path
from tests.support.stack.deployment import Deployment
from tests.support.stack.docker_command import Docker
from tests.support.stack.images import Images


@pytest.fixture(scope="session")
def images() -> Iterator[Images]:
    engine = find_engine()
    # These tests run only if named, so without an engine they fail and are not skipped.
    assert engine, (
        f"no Docker engine answers at {socket_path()}: start one or set TEST_DOCKER_SOCKET"
    )
    used_services.add(str(engine))
    with Images(Docker(engine.socket)) as built:
        yield built


@pytest.fixture(scope="session")
def stack(images: Images) -> Iterator[Deployment]:
    """The running, healthy stack. A test that stops a part must start it again."""
    with Deployment(images) as deployment:
        yield deployment
