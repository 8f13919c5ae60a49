"""Rate limits, and which calls they must not delay."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
import pytest
from dependency_injector import providers
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from adapters.grpc.client.host.control_plane import GrpcControlPlane
from adapters.grpc.server.peer import network_of
from adapters.grpc.server.refusal_delay import RefusalDelay
from adapters.memory.store import MemoryStore
from application.host.key_ring import KeyRing
from application.ports.host.control_plane import ControlPlaneUnavailable, RegistrationRequest
from application.ports.store.store import Store, StoreUnavailable, Transaction
from domain.errors import InvalidRegistrationKey
from domain.join_key import NewJoinKey
from domain.role import Role
from entrypoints.api.container import ApiContainer
from entrypoints.api.settings import IN_MEMORY, ApiSettings
from entrypoints.settings import Secret
from entrypoints.testing import serving
from protos.manman.v1 import manman_pb2 as pb
from protos.manman.v1.manman_pb2_grpc import ManManAPIStub
from tests.support.canary_secrets import canary, leak_detector
from tests.support.processes import eventually

KEY = canary("registration key")
OPERATOR_KEY = canary("operator key")
WRONG = canary("other key")
TIMEOUT_SECONDS = 10

Call = Callable[[], Any]


@dataclass
class HangingStore:
    """Does not answer threads with these names until `go_on` is set."""

    store: Store = field(default_factory=MemoryStore)
    hangs_for: tuple[str, ...] = ()
    is_unavailable: bool = False
    asked: Counter[str] = field(default_factory=Counter)
    go_on: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        name = threading.current_thread().name
        self.asked[name.rpartition("_")[0]] += 1
        if name.startswith(self.hangs_for or ("nobody",)):
            assert self.go_on.wait(6 * TIMEOUT_SECONDS)
        if self.is_unavailable:
            raise StoreUnavailable
        with self.store.begin() as transaction:
            yield transaction


@dataclass
class Api:
    """An API in this process, with a registered host."""

    container: ApiContainer
    store: HangingStore
    address: str
    client: ManManAPIStub
    host: pb.RegisterServerResponse = field(default_factory=pb.RegisterServerResponse)

    def beat(self) -> Any:
        request = pb.HeartbeatRequest(server_id=self.host.server_id)
        return self.client.Heartbeat(request, timeout=TIMEOUT_SECONDS)

    def join(self, name: str = "web", key: str = KEY, credential: str = "") -> Any:
        request = pb.RegisterServerRequest(name=name, registration_key=key, credential=credential)
        return self.client.RegisterServer(request, timeout=TIMEOUT_SECONDS)

    def join_again(self) -> Any:
        self.host = self.join("honest", "", self.host.credential)
        return self.host

    def fetch(self, *, key: str = "", credential: str = "") -> Any:
        request = pb.FetchConfigurationRequest(
            server_id=self.host.server_id, registration_key=key, credential=credential
        )
        return self.client.FetchConfiguration(request, timeout=TIMEOUT_SECONDS)

    def fetch_own(self) -> Any:
        return self.fetch(credential=self.host.credential)

    def leave(self, key: str) -> Any:
        request = pb.DeregisterRequest(server_id=self.host.server_id, registration_key=key)
        return self.client.Deregister(request, timeout=TIMEOUT_SECONDS)

    def list_servers(self, key: str | None = OPERATOR_KEY) -> Any:
        sent = (("authorization", f"Bearer {key}"),) if key else ()
        return self.client.ListServers(
            pb.ListServersRequest(), metadata=sent, timeout=TIMEOUT_SECONDS
        )


@contextmanager
def running(refusal_delay: RefusalDelay | None = None, **api_settings: Any) -> Iterator[Api]:
    container = ApiContainer(
        settings=ApiSettings(
            database_url=Secret(IN_MEMORY),
            listen_address="127.0.0.1:0",
            registration_key=Secret(KEY),
            operator_key=Secret(OPERATOR_KEY),
            **api_settings,
        )
    )
    container.refusal_delay.override(providers.Object(refusal_delay or RefusalDelay(seconds=0)))
    store = HangingStore()
    container.unmeasured_store.override(providers.Object(store))
    with serving(container) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        api = Api(container, store, f"127.0.0.1:{port}", ManManAPIStub(channel))
        # As if there had been calls before: the first one refreshes the cache.
        container.key_cache().refresh()
        stop_the_clock(container)
        api.host = api.join("honest")
        try:
            yield api
        finally:
            store.go_on.set()
    container.host_call_admission().close()
    container.operator_calls().close()
    container.heartbeat_writer().shutdown()


def stop_the_clock(container: ApiContainer) -> None:
    """No rate limit recovers, however long a test takes."""
    limits = container.limit_calls()
    for limit in (limits.of_host_keys, limits.of_operators, limits.unauthenticated):
        limit.monotonic = lambda: 1000.0


def code_of(call: Call) -> grpc.StatusCode:
    try:
        call()
    except grpc.RpcError as refused:
        error: Any = refused
        leak_detector.check("in a refusal", (error.details(), error.trailing_metadata()))
        return error.code()  # type: ignore[no-any-return]
    return grpc.StatusCode.OK


OK = grpc.StatusCode.OK
DENIED = grpc.StatusCode.PERMISSION_DENIED
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED

# Calls with an invalid key.
GUESSES: list[tuple[Callable[[Api], Any], grpc.StatusCode]] = [
    (lambda api: api.join(key=WRONG), DENIED),
    (lambda api: api.join(key=f"jk-aaaaaaaaaa.{WRONG}"), DENIED),
    (lambda api: api.join(key="", credential="hc.none.none"), DENIED),
    (lambda api: api.fetch(key=WRONG), DENIED),
    (lambda api: api.leave(WRONG), DENIED),
    (lambda api: api.list_servers(WRONG), UNAUTHENTICATED),
    (lambda api: api.list_servers(f"ok-aaaaaaaaaa.{WRONG}"), UNAUTHENTICATED),
    (lambda api: api.list_servers(None), UNAUTHENTICATED),
]


@pytest.mark.parametrize(("guess", "refusal"), GUESSES)
def test_a_caller_that_guesses_keys_is_refused_for_the_key_and_then_for_the_rate(
    guess: Callable[[Api], Any], refusal: grpc.StatusCode
) -> None:
    # The calls of five seconds are allowed at once.
    with running(max_unauthenticated_calls_per_second=1) as api:
        codes = [code_of(lambda: guess(api)) for _ in range(5)]
        assert codes == [refusal] * 5
        asked = +api.store.asked
        later = [code_of(lambda: guess(api)) for _ in range(30)]

        assert later == [EXHAUSTED] * 30
        # These cost no thread and no access to the store, except to refresh the keys, which is a
        # task of asyncio's own threads.
        more = api.store.asked - asked
        assert more.keys() <= {"asyncio"}
        assert code_of(api.beat) is code_of(api.fetch_own) is code_of(api.list_servers) is OK


def test_the_error_for_too_many_calls_says_when_to_retry() -> None:
    with running(max_unauthenticated_calls_per_second=1) as api:
        for _ in range(5):
            code_of(lambda: api.join(key=WRONG))
        with pytest.raises(grpc.RpcError) as caught:
            api.join(key=WRONG)
        status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
        assert status
        retry_info = error_details_pb2.RetryInfo()

        assert status.details[0].Unpack(retry_info)
        assert retry_info.retry_delay.seconds >= 1
        assert status.message.startswith(
            "too many calls without a key that is known from this address, try again in "
        )


def test_a_refusal_for_too_many_calls_is_delayed_without_delaying_others() -> None:
    with running(
        RefusalDelay(seconds=3600, max_held=10), max_unauthenticated_calls_per_second=1
    ) as api:
        for _ in range(5):
            code_of(lambda: api.join(key=WRONG))
        request = pb.RegisterServerRequest(name="web", registration_key=WRONG)
        refused = [api.client.RegisterServer.future(request) for _ in range(30)]
        answered = eventually(
            lambda: [call for call in refused if call.done()][19:], "all refusals that are not held"
        )

        assert answered
        assert sum(call.done() for call in refused) == 20
        assert code_of(api.beat) is code_of(api.fetch_own) is code_of(api.list_servers) is OK
        for call in refused:
            call.cancel()


def test_a_host_treats_too_many_calls_as_temporary_and_knows_how_long_to_wait() -> None:
    with (
        running(max_unauthenticated_calls_per_second=1) as api,
        closing(GrpcControlPlane(api.address, KeyRing.single(WRONG))) as control_plane,
    ):
        for _ in range(5):
            with pytest.raises(InvalidRegistrationKey):
                control_plane.register(RegistrationRequest(name="web"))
        with pytest.raises(ControlPlaneUnavailable, match="is too busy to answer now") as caught:
            control_plane.register(RegistrationRequest(name="web"))

        assert caught.value.retry_after >= 1


def test_the_rate_limit_of_a_host_key_does_not_affect_other_hosts() -> None:
    with running(max_registrations_per_second=1) as api:
        container = api.container
        create_join_key = container.join_key_service().create_join_key
        join_key = create_join_key(NewJoinKey(), "somebody").plaintext_key
        container.key_cache().refresh()
        # One of the five that are allowed at once was the registration before.
        codes = [code_of(partial(api.join, f"web-{n}")) for n in range(30)]

        assert codes == [OK] * 4 + [EXHAUSTED] * 26
        assert code_of(lambda: api.join("game", str(join_key))) is OK
        assert code_of(api.join_again) is code_of(api.fetch_own) is OK
        assert code_of(api.beat) is code_of(api.list_servers) is OK


def test_the_rate_limit_of_an_operator_key_does_not_affect_other_operators() -> None:
    with running(max_operator_calls_per_second=1) as api:
        _, own = api.container.operator_key_service().create_operator_key(
            "Zoë", Role.ADMIN, None, "somebody"
        )
        api.container.key_cache().refresh()
        codes = [code_of(api.list_servers) for _ in range(30)]

        assert set(codes) == {OK, EXHAUSTED}
        assert code_of(lambda: api.list_servers(str(own))) is OK


@pytest.mark.parametrize("kind", ["hosts", "operators"])
def test_a_key_created_during_a_flood_from_the_same_address_soon_works(
    kind: str,
) -> None:
    with running(max_unauthenticated_calls_per_second=1) as api:

        def call(key: str) -> Any:
            return api.join("game", key) if kind == "hosts" else api.list_servers(key)

        def gets_through(key: str) -> bool:
            return code_of(lambda: call(key)) is OK

        assert {code_of(lambda: call(WRONG)) for _ in range(20)} >= {EXHAUSTED}
        access, join_keys = api.container.operator_key_service(), api.container.join_key_service()
        _, own = access.create_operator_key("Zoë", Role.ADMIN, None, "somebody")
        join_key = join_keys.create_join_key(NewJoinKey(), "somebody").plaintext_key
        new = str(join_key if kind == "hosts" else own)

        eventually(lambda: gets_through(new), "the new key to be known")
        assert code_of(lambda: call(WRONG)) is EXHAUSTED


def test_a_failed_refresh_of_the_keys_is_repeated() -> None:
    with running() as api:
        _, own = api.container.operator_key_service().create_operator_key(
            "Zoë", Role.ADMIN, None, "somebody"
        )
        api.store.is_unavailable = True
        assert code_of(lambda: api.list_servers(str(own))) is grpc.StatusCode.UNAVAILABLE
        api.store.is_unavailable = False
        known = api.container.key_cache()

        def is_known() -> bool:
            code_of(lambda: api.list_servers(WRONG))
            return known.contains(own)

        eventually(is_known, "the next refresh")


@pytest.mark.parametrize(
    ("hanging", "served"),
    [
        (("operators",), ("beat", "fetch_own", "join_again", "join")),
        (("heartbeats",), ("list_servers", "fetch_own", "join_again", "join")),
        (("joining",), ("beat", "fetch_own", "join_again", "list_servers")),
        (("hosts", "joining"), ("beat", "list_servers")),
        (("operators", "hosts", "joining"), ("beat",)),
    ],
)
def test_calls_that_wait_do_not_block_other_kinds_of_calls(
    hanging: tuple[str, ...], served: tuple[str, ...]
) -> None:
    calls = {
        "operators": lambda api: api.client.ListServers.future(
            pb.ListServersRequest(), metadata=(("authorization", f"Bearer {OPERATOR_KEY}"),)
        ),
        "heartbeats": lambda api: api.client.Heartbeat.future(
            pb.HeartbeatRequest(server_id=api.host.server_id)
        ),
        "joining": lambda api: api.client.RegisterServer.future(
            pb.RegisterServerRequest(name="crowd", registration_key=KEY)
        ),
        "hosts": lambda api: api.client.FetchConfiguration.future(
            pb.FetchConfigurationRequest(
                server_id=api.host.server_id, credential=api.host.credential
            )
        ),
    }
    with running() as api:
        api.store.hangs_for = hanging
        api.store.asked.clear()
        waiting = [calls[kind](api) for kind in hanging for _ in range(20)]
        for kind in hanging:
            eventually(partial(api.store.asked.get, kind), f"{kind} to hang")

        assert {name: code_of(getattr(api, name)) for name in served} == dict.fromkeys(served, OK)
        assert not any(call.done() for call in waiting)
        api.store.go_on.set()
        assert all(call.result(timeout=TIMEOUT_SECONDS) for call in waiting)


def test_unknown_callers_that_wait_for_the_store_do_not_block_operators() -> None:
    with running() as api:
        api.store.hangs_for = ("joining",)
        api.store.asked.clear()
        unknown = (("authorization", f"Bearer ok-aaaaaaaaaa.{WRONG}"),)
        guesses = [
            api.client.ListServers.future(pb.ListServersRequest(), metadata=unknown)
            for _ in range(50)
        ]
        eventually(lambda: api.store.asked["joining"], "unknown callers to hang")

        assert code_of(api.list_servers) is OK
        assert not any(guess.done() for guess in guesses)
        api.store.go_on.set()
        assert {code_of(guess.result) for guess in guesses} == {UNAUTHENTICATED}


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:10.0.0.7", "::ffff:10.0.0.7"),
        ("", ""),
        ("rubbish", "rubbish"),
    ],
)
def test_the_addresses_of_an_ipv6_network_count_as_one_caller(address: str, network: str) -> None:
    assert network_of(address) == network
