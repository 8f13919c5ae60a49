"""The key with which all APIs on one store sign."""

from collections.abc import Callable
from functools import partial

import pytest

from application.ports.store.store import Store
from tests.support.builders import at_once


def current(store: Store) -> bytes:
    with store.begin() as transaction:
        return transaction.signing_keys.current()


def test_the_key_is_created_once_and_stays(open_store: Callable[[], Store]) -> None:
    made = current(open_store())

    assert len(made) == 32
    assert current(open_store()) == made


def test_concurrent_first_requests_get_the_same_key(
    open_store: Callable[[], Store],
) -> None:
    stores = [open_store() for _ in range(4)]

    assert len(set(at_once([partial(current, store) for store in stores]))) == 1


def test_a_rolled_back_key_is_never_returned(open_store: Callable[[], Store]) -> None:
    made: list[bytes] = []

    def make_and_fail() -> None:
        with open_store().begin() as transaction:
            made.append(transaction.signing_keys.current())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make_and_fail()

    assert current(open_store()) not in made
