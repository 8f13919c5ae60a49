"""Which callers are known without the store, and since when."""

from dataclasses import replace

import pytest

from adapters.memory.clock import MemoryClock
from adapters.memory.store import MemoryStore
from adapters.system.new_key import new_serial
from application.access.authenticate_host import AuthenticateHost
from application.access.host_credentials import HostCredentials
from application.access.key_cache import KeyCache
from application.ports.store.store import StoreUnavailable
from domain.join_key import NewJoinKey
from domain.keys import PlaintextKey
from domain.operator_key import OperatorKey
from domain.role import Role
from tests.support.builders import NOW
from tests.support.canary_secrets import canary
from tests.support.fleet import UnreliableStore

SHARED = canary("registration key")
JOIN_KEYS = [PlaintextKey(f"jk-{letter * 10}", canary("join key")) for letter in "abc"]
OPERATOR_KEYS = [PlaintextKey(f"ok-{letter * 10}", canary("secret")) for letter in "abc"]


class Cache:
    def __init__(self, *shared: str, key_required: bool = False) -> None:
        self.shared = list(shared)
        self.store = UnreliableStore(MemoryStore())
        self.credentials = HostCredentials(self.store, MemoryClock(NOW), new_serial)
        self.keys = KeyCache(
            self.store, AuthenticateHost(lambda: self.shared, key_required, self.credentials)
        )

    def add(self, role: Role = Role.ADMIN) -> None:
        with self.store.begin() as transaction:
            for key in JOIN_KEYS:
                transaction.join_keys.add(NewJoinKey().key(key.key_id, key.digest, NOW, "ann"))
            for key in OPERATOR_KEYS:
                transaction.operator_keys.add(
                    OperatorKey(key.key_id, key.digest, "ann", role, NOW, "bob")
                )


def test_before_the_first_refresh_no_key_and_no_credential_is_known() -> None:
    cache = Cache(SHARED)
    cache.add()
    credential = cache.credentials.issue(7, 1)

    assert not cache.keys.admits(SHARED)
    assert not cache.keys.contains(JOIN_KEYS[0])
    assert cache.keys.credential_owner(credential) is None
    # Until it is known better, an operator without a key is not taken for an admin.
    assert cache.keys.any_admin


def test_after_a_refresh_every_key_that_is_not_revoked_is_known() -> None:
    cache = Cache(SHARED)
    cache.add()
    with cache.store.begin() as transaction:
        join_key = transaction.join_keys.get(JOIN_KEYS[1].key_id)
        transaction.join_keys.save(replace(join_key, revoked_at=NOW))
        operator_key = transaction.operator_keys.get(OPERATOR_KEYS[1].key_id)
        transaction.operator_keys.save(replace(operator_key, revoked_at=NOW))
    cache.keys.refresh()

    for keys in (JOIN_KEYS, OPERATOR_KEYS):
        assert [cache.keys.contains(key) for key in keys] == [True, False, True]
        assert not cache.keys.contains(PlaintextKey(keys[0].key_id, canary("another")))
    assert not cache.keys.contains(PlaintextKey("jk-zzzzzzzzzz", JOIN_KEYS[0].secret))
    assert cache.keys.credential_owner(cache.credentials.issue(7, 1)) == 7
    assert cache.keys.credential_owner("") is None


def test_the_number_of_cached_keys_of_each_kind_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("application.access.key_cache._MAX_KEYS", 2)
    cache = Cache()
    cache.add()
    cache.keys.refresh()

    for keys in (JOIN_KEYS, OPERATOR_KEYS):
        assert [cache.keys.contains(key) for key in keys] == [True, True, False]


@pytest.mark.parametrize("role", Role)
def test_an_admins_key_is_noticed(role: Role) -> None:
    cache = Cache()
    cache.keys.refresh()
    assert not cache.keys.any_admin

    cache.add(role)
    cache.keys.refresh()

    assert cache.keys.any_admin == (role is Role.ADMIN)


def test_the_configured_keys_admit_as_they_were_at_the_last_refresh() -> None:
    cache = Cache(SHARED)
    cache.keys.refresh()
    cache.shared[:] = ["a later one"]

    assert cache.keys.admits(SHARED)
    assert not cache.keys.admits("a later one")
    cache.keys.refresh()
    assert cache.keys.admits("a later one")


def test_without_any_key_every_host_is_admitted_unless_a_key_is_required() -> None:
    for key_required in (False, True):
        cache = Cache(key_required=key_required)
        cache.keys.refresh()

        assert cache.keys.admits("") is not key_required
        # A join key counts for itself.
        assert not cache.keys.admits(str(JOIN_KEYS[0]))


def test_a_failed_refresh_keeps_the_last_keys() -> None:
    cache = Cache(SHARED)
    cache.add()
    cache.keys.refresh()
    cache.store.is_unavailable = True
    with pytest.raises(StoreUnavailable):
        cache.keys.refresh()

    assert cache.keys.contains(JOIN_KEYS[0])


def test_tokens_are_remembered_and_the_oldest_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("application.access.key_cache._MAX_TOKENS", 2)
    keys = Cache().keys
    assert keys.token_owner("first") is None
    for token in ("first", "second", "half a character \udcff"):
        keys.remember_token(token, f"owner of the {token[:4]}")
    keys.remember_token(None, "nobody")
    keys.remember_token("", "nobody")

    assert keys.token_owner("first") is None
    assert keys.token_owner("") is None
    assert keys.token_owner("second") == "owner of the seco"
    assert keys.token_owner("half a character \udcff") == "owner of the half"
