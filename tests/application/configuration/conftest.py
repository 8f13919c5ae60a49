import pytest

from application.configuration.delete_configuration import DeleteConfiguration
from application.configuration.delete_selector_configuration import DeleteSelectorConfiguration
from application.configuration.fetch_configuration import FetchConfiguration
from application.configuration.get_configuration import GetConfiguration
from application.configuration.propagate_configuration import PropagateConfiguration
from application.configuration.put_configuration import PutConfiguration
from application.configuration.put_selector_configuration import PutSelectorConfiguration
from application.registration.register_server import Registration
from application.servers.label_server import LabelServer
from tests.support.configured import register
from tests.support.fleet import OPEN, Fleet


@pytest.fixture
def put(fleet: Fleet) -> PutConfiguration:
    return PutConfiguration(fleet.store, fleet.clock)


@pytest.fixture
def get(fleet: Fleet) -> GetConfiguration:
    return GetConfiguration(fleet.store)


@pytest.fixture
def delete(fleet: Fleet) -> DeleteConfiguration:
    return DeleteConfiguration(fleet.store, fleet.clock)


@pytest.fixture
def fetch(fleet: Fleet) -> FetchConfiguration:
    return FetchConfiguration(fleet.store, fleet.clock, authenticate_host=OPEN)


@pytest.fixture
def web(fleet: Fleet) -> int:
    return fleet.register(Registration("web")).server.server_id


@pytest.fixture
def put_on_selector(fleet: Fleet) -> PutSelectorConfiguration:
    return PutSelectorConfiguration(
        fleet.store, fleet.clock, PropagateConfiguration(fleet.store, fleet.clock)
    )


@pytest.fixture
def delete_from_selector(fleet: Fleet) -> DeleteSelectorConfiguration:
    return DeleteSelectorConfiguration(
        fleet.store, PropagateConfiguration(fleet.store, fleet.clock)
    )


@pytest.fixture
def label(fleet: Fleet) -> LabelServer:
    return LabelServer(fleet.store, fleet.clock)


@pytest.fixture
def nyc_web(fleet: Fleet) -> int:
    return register(fleet, "web", region="nyc")
