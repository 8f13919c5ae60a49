from datetime import timedelta

from adapters.memory.store import MemoryStore
from application.record_heartbeat import Heartbeat
from application.register_server import Registration
from application.take_stock import TakeStock
from domain.liveness import Status
from tests.builders import SECOND
from tests.fleet import Fleet


def test_the_stock_of_an_empty_store_is_empty() -> None:
    fleet = Fleet(MemoryStore())
    stock = TakeStock(fleet.store, fleet.clock, fleet.cadence)()

    assert not stock.servers
    assert (stock.waiting_events, stock.oldest_event_age) == (0, timedelta(0))
    assert stock.heartbeat_interval == fleet.cadence.interval


def test_servers_are_counted_and_events_are_as_old_as_the_oldest() -> None:
    fleet = Fleet(MemoryStore(), interval=SECOND, max_heartbeats_per_second=1)
    for name in ("a", "b", "c"):
        fleet.register(Registration(name, "dev"))
    fleet.clock.advance(7 * SECOND)
    fleet.heartbeat([Heartbeat(1, leaving=True)])
    stock = TakeStock(fleet.store, fleet.clock, fleet.cadence)()

    assert stock.servers == {(Status.ONLINE, "dev"): 2, (Status.OFFLINE, "dev"): 1}
    assert stock.oldest_event_age == 7 * SECOND
    assert stock.waiting_events == 7
    assert stock.heartbeat_interval == 2 * SECOND


def test_an_event_by_a_clock_that_is_ahead_has_no_age() -> None:
    fleet = Fleet(MemoryStore())
    fleet.clock.advance(7 * SECOND)
    fleet.register(Registration("a"))
    fleet.clock.advance(-5 * SECOND)

    assert TakeStock(fleet.store, fleet.clock, fleet.cadence)().oldest_event_age == timedelta(0)
