import pytest

from adapters.memory.store import MemoryStore
from tests.support.fleet import Fleet


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(MemoryStore())
