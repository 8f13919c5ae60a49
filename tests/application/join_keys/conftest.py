import pytest

from adapters.memory.store import MemoryStore
from tests.support.fleet import Fleet, admitting_keys
from tests.support.join_keys import SHARED, with_keys


@pytest.fixture
def fleet() -> Fleet:
    """A fleet whose API has a shared key."""
    return with_keys(Fleet(MemoryStore()), admitting_keys(SHARED))
