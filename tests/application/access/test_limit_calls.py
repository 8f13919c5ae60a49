from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from adapters.memory.clock import MemoryClock
from adapters.memory.store import MemoryStore
from adapters.system.new_key import new_serial
from application.access.authenticate_host import AuthenticateHost
from application.access.host_credentials import HostCredentials
from application.access.key_cache import KeyCache
from application.access.limit_calls import CallerKind, LimitCalls
from application.access.rate_limit import RateLimit
from application.ports.store.store import StoreUnavailable
from domain.errors import TooManyCalls
from domain.join_key import NewJoinKey
from domain.keys import PlaintextKey
from domain.operator_key import OperatorKey
from domain.role import Role
from domain.spiffe import Certified
from domain.token_bucket import TokenBucket
from tests.support.builders import NOW
from tests.support.canary_secrets import almost, canary
from tests.support.fleet import UnreliableStore

SHARED = canary("registration key")
SETTING = canary("operator key")
JOIN_KEY = PlaintextKey("jk-aaaaaaaaaa", canary("join key"))
OWN_KEY = PlaintextKey("ok-aaaaaaaaaa", canary("secret a"))
HERE, ELSEWHERE = "10.0.0.7", "10.0.0.8"
# Calls of each caller that are let through.
AT_ONCE = 3


def rate_limit(whose: str) -> RateLimit:
    return RateLimit(TokenBucket(1, AT_ONCE), whose, monotonic=lambda: 1000.0)


@dataclass
class Api:
    """The limits of an API whose time stands still."""

    shared: tuple[str, ...] = (SHARED,)
    key_required: bool = False
    operator_key: str | None = None
    store: UnreliableStore = field(default_factory=lambda: UnreliableStore(MemoryStore()))
    limits: LimitCalls = field(init=False)

    def __post_init__(self) -> None:
        self.credentials = HostCredentials(self.store, MemoryClock(NOW), new_serial)
        authenticate_host = AuthenticateHost(
            lambda: self.shared, self.key_required, self.credentials
        )
        self.known = KeyCache(self.store, authenticate_host)
        self.limits = LimitCalls(
            self.known,
            rate_limit("of this server"),
            rate_limit("with this key"),
            rate_limit("with this key"),
            rate_limit("of unauthenticated callers"),
            self.operator_key,
        )

    def add(self, *, refreshes: bool = True) -> None:
        """Add the two keys, and refresh the cache unless `refreshes` is false."""
        with self.store.begin() as transaction:
            transaction.join_keys.add(
                NewJoinKey().key(JOIN_KEY.key_id, JOIN_KEY.digest, NOW, "somebody")
            )
            transaction.operator_keys.add(
                OperatorKey(OWN_KEY.key_id, OWN_KEY.digest, "Zoë", Role.ADMIN, NOW, "somebody")
            )
        if refreshes:
            self.known.refresh()

    def host(self, key: str = "", credential: str = "", network: str = HERE) -> CallerKind:
        return self.limits.of_host(key, credential, network)

    def operator(
        self, given: str | None, network: str = HERE, *, on_this_machine: bool = False
    ) -> CallerKind:
        return self.limits.of_operator(given, network, on_this_machine=on_this_machine)


def let_through(call: Callable[[], CallerKind]) -> int:
    """How many of a hundred calls."""
    through = 0
    for _ in range(100):
        try:
            call()
        except TooManyCalls:
            continue
        through += 1
    return through


@pytest.fixture
def api() -> Api:
    api = Api(operator_key=SETTING)
    api.add()
    return api


def test_each_caller_has_a_limit_of_its_own(api: Api) -> None:
    one, other = api.credentials.issue(1, 1), api.credentials.issue(2, 1)
    callers: list[Callable[[], CallerKind]] = [
        lambda: api.host(SHARED),
        lambda: api.host(str(JOIN_KEY)),
        lambda: api.host(SHARED, one),
        lambda: api.host("", other),
        lambda: api.host("wrong"),
        lambda: api.host("wrong", network=ELSEWHERE),
        lambda: api.operator(str(OWN_KEY)),
        lambda: api.operator(SETTING),
    ]

    assert [let_through(call) for call in callers] == [AT_ONCE] * len(callers)


@pytest.mark.parametrize("network", [HERE, ELSEWHERE])
def test_guesses_of_keys_do_not_limit_callers_with_a_key_behind_the_same_proxy(
    api: Api, network: str
) -> None:
    let_through(lambda: api.host("wrong", network=HERE))
    let_through(lambda: api.operator("wrong", network=HERE))

    assert api.host(SHARED, network=network) is CallerKind.KEY
    assert api.host(str(JOIN_KEY), network=network) is CallerKind.KEY
    assert api.host("", api.credentials.issue(1, 1), network) is CallerKind.CREDENTIAL
    assert api.operator(str(OWN_KEY), network) is CallerKind.KEY
    assert api.operator(SETTING, network) is CallerKind.KEY


def test_a_flood_with_the_shared_key_does_not_limit_a_host_with_a_credential(api: Api) -> None:
    let_through(lambda: api.host(SHARED))

    assert api.host(SHARED, api.credentials.issue(1, 1)) is CallerKind.CREDENTIAL


@pytest.mark.parametrize(
    "presented_key",
    [
        "",
        *almost(SHARED),
        f"{JOIN_KEY.key_id}.{canary('other key')}",
        f"jk-bbbbbbbbbb.{JOIN_KEY.secret}",
        str(OWN_KEY),
        SETTING,
    ],
)
def test_a_host_with_an_almost_right_key_is_unauthenticated(api: Api, presented_key: str) -> None:
    assert api.host(presented_key) is CallerKind.UNAUTHENTICATED


@pytest.mark.parametrize(
    "presented_key",
    [
        None,
        "",
        *almost(SETTING),
        f"{OWN_KEY.key_id}.{canary('other key')}",
        f"ok-bbbbbbbbbb.{OWN_KEY.secret}",
        str(JOIN_KEY),
        SHARED,
    ],
)
def test_an_operator_with_an_almost_right_key_is_unauthenticated(
    api: Api, presented_key: str | None
) -> None:
    assert api.operator(presented_key, on_this_machine=True) is CallerKind.UNAUTHENTICATED


def test_guesses_of_hosts_and_of_operators_are_counted_together(api: Api) -> None:
    let_through(lambda: api.host("wrong"))

    assert let_through(lambda: api.operator("wrong")) == 0


def test_where_no_key_is_needed_all_hosts_share_one_limit() -> None:
    api = Api(shared=())
    api.known.refresh()

    assert api.host("") is api.host("any", network=ELSEWHERE) is CallerKind.KEY
    assert api.host(str(JOIN_KEY)) is CallerKind.UNAUTHENTICATED


def test_where_a_key_is_required_a_host_without_one_is_unauthenticated() -> None:
    api = Api(shared=(), key_required=True)
    api.add()

    assert api.host("") is CallerKind.UNAUTHENTICATED
    assert api.host(str(JOIN_KEY)) is CallerKind.KEY


def test_without_operators_keys_callers_on_this_machine_are_authenticated() -> None:
    api = Api()
    api.known.refresh()

    assert api.operator(None, on_this_machine=True) is CallerKind.KEY
    assert api.operator(None, on_this_machine=False) is CallerKind.UNAUTHENTICATED
    api.add()
    assert api.operator(None, on_this_machine=True) is CallerKind.UNAUTHENTICATED


def test_a_key_counts_from_the_refresh_after_its_creation_to_that_after_its_revocation() -> None:
    api = Api()
    api.add(refreshes=False)
    assert api.host(str(JOIN_KEY)) is api.operator(str(OWN_KEY)) is CallerKind.UNAUTHENTICATED

    api.known.refresh()
    assert api.host(str(JOIN_KEY)) is api.operator(str(OWN_KEY)) is CallerKind.KEY

    with api.store.begin() as transaction:
        join_key = transaction.join_keys.get(JOIN_KEY.key_id)
        transaction.join_keys.save(replace(join_key, revoked_at=NOW))
        own_key = transaction.operator_keys.get(OWN_KEY.key_id)
        transaction.operator_keys.save(replace(own_key, revoked_at=NOW))
    api.known.refresh()
    assert api.host(str(JOIN_KEY), network=ELSEWHERE) is CallerKind.UNAUTHENTICATED
    assert api.operator(str(OWN_KEY), ELSEWHERE) is CallerKind.UNAUTHENTICATED


def test_a_new_registration_key_counts_after_the_next_refresh(api: Api) -> None:
    new = canary("new registration key")
    api.shared = (new,)
    assert api.host(new) is CallerKind.UNAUTHENTICATED
    api.known.refresh()

    assert api.host(new) is CallerKind.KEY
    assert api.host(SHARED) is CallerKind.UNAUTHENTICATED


def test_no_call_waits_for_an_unavailable_store(api: Api) -> None:
    credential = api.credentials.issue(1, 1)
    api.store.is_unavailable = True

    assert api.host(str(JOIN_KEY)) is api.operator(str(OWN_KEY)) is CallerKind.KEY
    assert api.host("", credential) is CallerKind.CREDENTIAL
    assert api.host("wrong") is api.operator("wrong") is CallerKind.UNAUTHENTICATED


def test_a_failed_refresh_keeps_the_keys(api: Api) -> None:
    api.store.is_unavailable = True
    with pytest.raises(StoreUnavailable):
        api.known.refresh()

    assert api.host(SHARED) is api.host(str(JOIN_KEY)) is CallerKind.KEY


def test_the_configured_keys_are_known_without_a_store() -> None:
    api = Api()
    api.store.is_unavailable = True
    with pytest.raises(StoreUnavailable):
        api.known.refresh()

    assert api.host(SHARED) is CallerKind.KEY
    assert api.host("", "hc.none.none") is CallerKind.UNAUTHENTICATED


def test_before_the_first_refresh_callers_are_unauthenticated_and_the_store_is_not_read() -> None:
    api = Api(operator_key=SETTING)
    credential = api.credentials.issue(1, 1)
    api = Api(store=api.store, operator_key=SETTING)
    api.store.is_unavailable = True

    assert api.host(SHARED) is api.host("", credential) is CallerKind.UNAUTHENTICATED
    assert api.operator(None, ELSEWHERE, on_this_machine=True) is CallerKind.UNAUTHENTICATED
    assert api.operator(SETTING) is CallerKind.KEY


def test_a_certificate_authenticates_its_caller(api: Api) -> None:
    let_through(lambda: api.host("wrong"))
    let_through(lambda: api.operator("wrong"))
    of_host, of_operator = Certified(server_id=1), Certified(key_id="oc-aaaaaaaaaa")

    assert api.limits.of_host("", "", HERE, of_host) is CallerKind.CREDENTIAL
    with pytest.raises(TooManyCalls):
        api.limits.of_host("", "", HERE, of_operator)
    assert (
        api.limits.of_operator(None, HERE, on_this_machine=False, certified_as=of_operator)
        is CallerKind.KEY
    )


def test_a_valid_token_is_remembered_and_the_oldest_forgotten(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("application.access.key_cache._MAX_TOKENS", 2)
    tokens = [f"{canary('token')}.{number}" for number in range(3)]
    assert api.operator(tokens[0]) is CallerKind.UNAUTHENTICATED

    for token in tokens:
        api.known.remember_token(token, "oidc:zoë")
    api.known.remember_token(None, "")

    assert [api.known.token_owner(token) for token in tokens] == [None, "oidc:zoë", "oidc:zoë"]
    assert let_through(lambda: api.operator(tokens[2], ELSEWHERE)) == AT_ONCE
    assert api.operator(tokens[0]) is CallerKind.UNAUTHENTICATED
