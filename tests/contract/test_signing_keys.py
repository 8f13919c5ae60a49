"""What every API on one store signs with."""

from collections.abc import Callable
from functools import partial

import pytest

from application.ports.store.store import Store
from tests.support.builders import at_once


def current(store: Store) -> bytes:
    with store.begin() as transaction:
        return transaction.signing_keys.current()


def test_it_is_made_once_and_stays(open_store: Callable[[], Store]) -> None:
    made = current(open_store())

    assert len(made) == 32
    assert current(open_store()) == made


def test_those_that_ask_first_at_the_same_moment_get_the_same(
    open_store: Callable[[], Store],
) -> None:
    stores = [open_store() for _ in range(4)]

    assert len(set(at_once([partial(current, store) for store in stores]))) == 1


def test_one_that_was_made_in_vain_is_no_key_of_anybody(open_store: Callable[[], Store]) -> None:
    made: list[bytes] = []

    def make_and_fail() -> None:
        with open_store().begin() as transaction:
            made.append(transaction.signing_keys.current())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make_and_fail()

    assert current(open_store()) not in made
