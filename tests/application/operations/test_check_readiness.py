import pytest

from adapters.memory.store import MemoryStore
from application.operations.check_readiness import CheckReadiness, PingStore
from application.ports.store.store import StoreFailed, StoreUnavailable
from tests.support.fleet import UnreliableStore


def test_an_api_that_serves_and_reaches_its_store_is_ready() -> None:
    assert CheckReadiness(lambda: True, PingStore(MemoryStore()))() == []


def test_an_api_that_takes_no_calls_is_not_ready() -> None:
    [reason] = CheckReadiness(lambda: False, PingStore(MemoryStore()))()

    assert reason.startswith("the API does not take calls")


def test_an_api_without_its_store_is_not_ready() -> None:
    ping = PingStore(UnreliableStore(MemoryStore(), is_unavailable=True))

    with pytest.raises(StoreUnavailable):
        ping()
    assert CheckReadiness(lambda: True, ping)() == [
        "the store does not answer: see the log, and check DATABASE_URL"
    ]


def test_every_reason_is_listed() -> None:
    def fail() -> None:
        raise StoreFailed

    assert len(CheckReadiness(lambda: False, fail)()) == 2
