from collections.abc import Callable
from functools import partial
from threading import Event, Thread

from application.ports.store.store import Store
from tests.support.builders import at_once

TIMEOUT_SECONDS = 60.0


def tick(store: Store, above: int = 0) -> int:
    with store.begin() as transaction:
        return transaction.configuration_clock.tick(above)


def hold(store: Store) -> int:
    with store.begin() as transaction:
        return transaction.configuration_clock.hold()


def test_each_tick_is_higher_than_the_last(store: Store) -> None:
    assert hold(store) == 0
    assert [tick(store), tick(store)] == [1, 2]
    assert hold(store) == 2


def test_a_tick_can_be_made_higher_than_the_revision_of_a_server(store: Store) -> None:
    assert tick(store, above=2**40) == 2**40 + 1
    assert tick(store, above=7) == 2**40 + 2


def test_two_ticks_of_one_transaction_differ(store: Store) -> None:
    with store.begin() as transaction:
        assert transaction.configuration_clock.tick() == 1
        assert transaction.configuration_clock.tick(above=5) == 6
        assert transaction.configuration_clock.hold() == 6


def test_concurrent_ticks_differ(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]

    ticks = at_once([partial(tick, stores[n % 2]) for n in range(16)])

    assert sorted(ticks) == list(range(1, 17))


def test_no_transaction_gets_a_revision_while_another_holds_the_clock(
    open_store: Callable[[], Store],
) -> None:
    store, other = open_store(), open_store()
    got: list[int] = []
    ticking = Thread(target=lambda: got.append(tick(other)))
    with store.begin() as transaction:
        before = transaction.configuration_clock.hold()
        ticking.start()
        ticking.join(0.3)

        assert got == []
        assert transaction.configuration_clock.hold() == before
    ticking.join(TIMEOUT_SECONDS)

    assert got == [before + 1]


def test_holding_the_clock_waits_for_a_change_and_sees_its_revision(
    open_store: Callable[[], Store],
) -> None:
    store, other = open_store(), open_store()
    got: list[int] = []
    holding = Thread(target=lambda: got.append(hold(other)))
    with store.begin() as transaction:
        revision = transaction.configuration_clock.tick()
        holding.start()
        holding.join(0.3)

        assert got == []
    holding.join(TIMEOUT_SECONDS)

    assert got == [revision]


def test_many_transactions_can_hold_the_clock_together_on_postgresql(
    postgres_url: str,
) -> None:
    from adapters.sql.engine import make_engine
    from adapters.sql.store import SqlStore

    engine = make_engine(postgres_url, 2)
    store = SqlStore(engine)
    held = Event()

    def hold_too() -> None:
        hold(store)
        held.set()

    with store.begin() as transaction:
        transaction.configuration_clock.hold()
        Thread(target=hold_too).start()

        assert held.wait(TIMEOUT_SECONDS)
    engine.dispose()
