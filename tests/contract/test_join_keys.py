"""Stored join keys, and the servers that joined with them."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from application.ports.store.access.join_keys import JoinKeyUse
from application.ports.store.store import Store
from application.registration.register_server import Registration
from domain.errors import JoinKeyNotFound, JoinKeyRefused
from domain.join_key import JoinKey
from domain.keys import PlaintextKey
from tests.support.builders import NOW, SECOND, at_once
from tests.support.canary_secrets import canary
from tests.support.fleet import Fleet

SHOWN = PlaintextKey("jk-abcdefghij", canary("join key"))
PLAIN = JoinKey(SHOWN.key_id, SHOWN.digest, NOW, "local")
FULL = JoinKey(
    "jk-zzzzzzzzzz",
    "f" * 64,
    NOW,
    "anna ✓",
    "prod",
    "game-*",
    {"tier": "gold", "zone": ""},
    5,
    NOW + SECOND,
    ephemeral=True,
    pre_approved=True,
    revoked_at=NOW + 2 * SECOND,
)


def add(store: Store, *keys: JoinKey) -> None:
    with store.begin() as transaction:
        for key in keys:
            transaction.join_keys.add(key)


def get(store: Store, key_id: str, *, lock: bool = False) -> JoinKey:
    with store.begin() as transaction:
        return transaction.join_keys.get(key_id, lock=lock)


def record(store: Store, key: JoinKey, server_id: int, name: str = "web", seconds: int = 0) -> None:
    with store.begin() as transaction:
        now = NOW + seconds * SECOND
        transaction.join_keys.record_use(key.key_id, server_id, name, "10.0.0.7", now)


@pytest.mark.parametrize("key", [PLAIN, FULL])
@pytest.mark.parametrize("lock", [False, True])
def test_a_key_comes_back_as_it_was_added(store: Store, key: JoinKey, lock: bool) -> None:
    add(store, key)

    assert get(store, key.key_id, lock=lock) == key


@pytest.mark.parametrize("lock", [False, True])
def test_an_unknown_key_is_not_found(store: Store, lock: bool) -> None:
    add(store, FULL)

    with pytest.raises(JoinKeyNotFound):
        get(store, PLAIN.key_id, lock=lock)


def test_saving_a_key_changes_only_its_revocation(store: Store) -> None:
    add(store, PLAIN, replace(FULL, revoked_at=None))
    with store.begin() as transaction:
        transaction.join_keys.save(replace(PLAIN, revoked_at=NOW, uses=7, environment="test"))

    assert get(store, PLAIN.key_id) == replace(PLAIN, revoked_at=NOW)
    assert get(store, FULL.key_id).revoked_at is None


def test_keys_are_paged_by_id(store: Store) -> None:
    keys = [replace(PLAIN, key_id=f"jk-{letter * 10}") for letter in "ac7"]
    add(store, *keys)
    with store.begin() as transaction:
        page = transaction.join_keys.page
        first = page("", 2)
        second = page(first[-1].key_id, 2)

        assert [*first, *second] == sorted(keys, key=lambda key: key.key_id)
        assert page("jk-zzzzzzzzzz", 2) == []


def test_a_repeated_registration_is_the_same_use(store: Store) -> None:
    add(store, PLAIN, FULL)
    record(store, PLAIN, 7, "web")
    record(store, PLAIN, 7, "web-2", seconds=5)
    record(store, PLAIN, 8, "db")
    with store.begin() as transaction:
        keys = transaction.join_keys

        assert keys.use(PLAIN.key_id, 7) == JoinKeyUse(
            PLAIN.key_id, 7, "web-2", "10.0.0.7", NOW, NOW + 5 * SECOND, 2
        )
        assert keys.use(PLAIN.key_id, 9) is None
        assert keys.use(FULL.key_id, 7) is None
        assert keys.used([PLAIN.key_id, FULL.key_id]) == {PLAIN.key_id: 2}
        assert keys.used([FULL.key_id]) == {}
        assert keys.used([]) == {}


def test_uses_are_paged_by_server(store: Store) -> None:
    add(store, PLAIN, FULL)
    for server_id in (9, 7, 8):
        record(store, PLAIN, server_id)
    record(store, FULL, 10)
    with store.begin() as transaction:
        uses_of = transaction.join_keys.uses_of

        assert [use.server_id for use in uses_of(PLAIN.key_id, 0, 2)] == [7, 8]
        assert [use.server_id for use in uses_of(PLAIN.key_id, 8, 2)] == [9]
        assert uses_of("jk-7777777777", 0, 2) == []


def test_a_rollback_leaves_no_key_and_no_use(store: Store) -> None:
    add(store, PLAIN)

    def fail() -> None:
        with store.begin() as transaction:
            transaction.join_keys.add(FULL)
            transaction.join_keys.save(replace(PLAIN, revoked_at=NOW))
            transaction.join_keys.record_use(PLAIN.key_id, 7, "web", "", NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert get(store, PLAIN.key_id) == PLAIN
    with store.begin() as transaction:
        assert transaction.join_keys.page("", 5) == [PLAIN]
        assert transaction.join_keys.used([PLAIN.key_id]) == {}


def test_a_key_admits_no_more_hosts_than_allowed_when_many_join_at_once(
    open_store: Callable[[], Store],
) -> None:
    fleets = [Fleet(open_store()) for _ in range(2)]
    add(fleets[0].store, replace(PLAIN, uses=5))

    def join(fleet: Fleet, name: str) -> int | None:
        try:
            return fleet.register(Registration(name, registration_key=str(SHOWN))).server.server_id
        except JoinKeyRefused:
            return None

    joined = at_once([partial(join, fleets[n % 2], f"web-{n}") for n in range(20)])
    admitted = {server_id for server_id in joined if server_id}

    assert joined.count(None) == 15
    assert {server.server_id for server in fleets[0].list(size=50).servers} == admitted
    with fleets[1].store.begin() as transaction:
        uses = transaction.join_keys.uses_of(SHOWN.key_id, 0, 50)
    assert {use.server_id for use in uses} == admitted
    assert len(admitted) == 5


def test_joined_hosts_can_register_again_while_new_ones_are_refused(
    open_store: Callable[[], Store],
) -> None:
    fleets = [Fleet(open_store()) for _ in range(2)]
    add(fleets[0].store, replace(PLAIN, uses=3))
    names = [f"web-{n}" for n in range(3)]

    def register(fleet: Fleet, name: str) -> bool:
        try:
            fleet.register(Registration(name, registration_key=str(SHOWN)))
        except JoinKeyRefused:
            return False
        return True

    assert all(register(fleets[0], name) for name in names)
    both = [*names, "db-0", "db-1", "db-2"]
    outcomes = at_once([partial(register, fleets[n % 2], name) for n, name in enumerate(both)])

    assert outcomes == [True] * 3 + [False] * 3
