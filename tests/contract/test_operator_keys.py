"""Stored keys of operators."""

from dataclasses import replace

import pytest

from application.ports.store.store import Store
from domain.errors import OperatorKeyNotFound
from domain.operator_key import OperatorKey
from domain.role import Role
from tests.support.builders import NOW, SECOND


def key(
    key_id: str = "ok-aaaaaaaaaa", role: Role = Role.OPERATOR, expires_in: int | None = None
) -> OperatorKey:
    return OperatorKey(
        key_id,
        "0123456789abcdef" * 4,
        "Zoë of the night shift ✓",
        role,
        NOW,
        "OPERATOR_KEY",
        None if expires_in is None else NOW + expires_in * SECOND,
    )


def add(store: Store, *keys: OperatorKey) -> None:
    with store.begin() as transaction:
        for one in keys:
            transaction.operator_keys.add(one)


def get(store: Store, key_id: str = "ok-aaaaaaaaaa") -> OperatorKey:
    with store.begin() as transaction:
        return transaction.operator_keys.get(key_id)


def save(store: Store, changed: OperatorKey) -> None:
    with store.begin() as transaction:
        transaction.operator_keys.save(changed)


def has_admin(store: Store) -> bool:
    with store.begin() as transaction:
        return transaction.operator_keys.any_admin()


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("expires_in", [None, 60])
def test_a_key_comes_back_as_it_was_added(store: Store, role: Role, expires_in: int | None) -> None:
    added = key(role=role, expires_in=expires_in)
    add(store, added, key("ok-bbbbbbbbbb"))

    assert get(store) == added


def test_an_unknown_key_is_not_found(store: Store) -> None:
    add(store, key())

    with pytest.raises(OperatorKeyNotFound, match="operator key ok-bbbbbbbbbb does not exist"):
        get(store, "ok-bbbbbbbbbb")


def test_revoking_a_key_changes_nothing_else(store: Store) -> None:
    add(store, key(expires_in=60), key("ok-bbbbbbbbbb"))
    revoked = replace(key(expires_in=60), revoked_at=NOW + SECOND)
    save(store, revoked)

    assert get(store) == revoked
    assert get(store, "ok-bbbbbbbbbb") == key("ok-bbbbbbbbbb")


def test_pages_of_any_size_list_each_key_once_by_id(store: Store) -> None:
    ids = [f"ok-{letter * 10}" for letter in "7ze2ma4"]
    add(store, *map(key, ids))
    save(store, replace(key(ids[0]), revoked_at=NOW))

    for size in (1, 3, 7, 100):
        walked: list[str] = []
        while True:
            with store.begin() as transaction:
                after = walked[-1] if walked else ""
                page = transaction.operator_keys.page(after, size)
            if not page:
                break
            assert len(page) <= size
            walked += [key.key_id for key in page]
        assert walked == sorted(ids)


def test_certificates_are_listed_among_the_keys(store: Store) -> None:
    ids = ["ok-aaaaaaaaaa", "oc-bbbbbbbbbb", "oc-aaaaaaaaaa", "ok-bbbbbbbbbb"]
    add(store, *(key(key_id, expires_in=60) for key_id in ids))
    revoked = replace(key("oc-aaaaaaaaaa", expires_in=60), revoked_at=NOW)
    save(store, revoked)
    with store.begin() as transaction:
        first = transaction.operator_keys.page("", 2)
        rest = transaction.operator_keys.page(first[-1].key_id, 2)

    assert [one.key_id for one in (*first, *rest)] == sorted(ids)
    assert get(store, "oc-aaaaaaaaaa") == revoked
    assert get(store, "ok-aaaaaaaaaa").revoked_at is None
    assert not has_admin(store)
    add(store, key("oc-cccccccccc", Role.ADMIN, expires_in=60))
    assert has_admin(store)


def test_a_revoked_key_of_an_admin_still_counts_as_an_admin(store: Store) -> None:
    assert not has_admin(store)

    add(store, key(role=Role.VIEWER), key("ok-bbbbbbbbbb", Role.OPERATOR))

    assert not has_admin(store)

    admin = key("ok-cccccccccc", Role.ADMIN, expires_in=60)
    add(store, admin)
    save(store, replace(admin, revoked_at=NOW))

    assert has_admin(store)


def test_a_rollback_leaves_the_keys_as_they_were(store: Store) -> None:
    add(store, key())
    try:
        with store.begin() as transaction:
            transaction.operator_keys.save(replace(key(), revoked_at=NOW))
            transaction.operator_keys.add(key("ok-bbbbbbbbbb", Role.ADMIN))
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass

    assert get(store) == key()
    assert not has_admin(store)
