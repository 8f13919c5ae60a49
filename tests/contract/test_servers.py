from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from application.ports.store.servers import ServerFilter
from application.ports.store.store import Store
from domain.approval import Approval
from domain.errors import ServerNameTaken, ServerNotFound
from domain.liveness import NEVER_SEEN, Presence, Status, offline_presence, online_presence
from domain.server import Server
from tests.support.builders import CAPABILITIES, INTERVAL, NOW, SECOND, at_once

EVERYTHING = ServerFilter()
NOBODY = [0, -1, -(2**63), 2**63 - 1, 4711]


def add(store: Store, name: str, environment: str = "") -> Server:
    with store.begin() as transaction:
        return transaction.servers.add(name, environment)


def get(store: Store, server_id: int) -> Server:
    with store.begin() as transaction:
        return transaction.servers.get(server_id)


def save(store: Store, server: Server) -> None:
    with store.begin() as transaction:
        transaction.servers.get(server.server_id, lock=True)
        transaction.servers.save(server)


def remove(store: Store, server_id: int) -> None:
    with store.begin() as transaction:
        transaction.servers.remove(server_id)


def find_or_add(store: Store, name: str) -> int:
    with store.begin() as transaction:
        return transaction.servers.find_or_add(name).server_id


def page(
    store: Store, matching: ServerFilter = EVERYTHING, after: int = 0, size: int = 100
) -> Sequence[Server]:
    with store.begin() as transaction:
        return transaction.servers.page(matching, after, size)


def test_a_new_server_has_never_been_seen(store: Store) -> None:
    server = add(store, "web", "production")

    assert server == Server(server.server_id, "web", "production", NEVER_SEEN)
    assert server.server_id > 0
    assert get(store, server.server_id) == server


def test_the_same_name_finds_the_same_server(store: Store) -> None:
    server_id = find_or_add(store, "web")

    assert find_or_add(store, "web") == server_id
    assert find_or_add(store, "db") != server_id
    assert find_or_add(store, "web") == server_id


def test_finding_a_server_by_name_creates_none(store: Store) -> None:
    web = add(store, "web", "production")

    with store.begin() as transaction:
        assert transaction.servers.find("web") == web
        for name in ("Web", "we", "webb", ""):
            assert transaction.servers.find(name) is None
    assert page(store) == [web]


def test_a_server_found_by_name_is_locked_until_the_transaction_ends(
    open_store: Callable[[], Store],
) -> None:
    stores = [open_store(), open_store()]
    find_or_add(stores[0], "web")

    def count(store: Store) -> None:
        with store.begin() as transaction:
            server = transaction.servers.find("web")
            assert server
            transaction.servers.save(replace(server, config_revision=server.config_revision + 1))

    at_once([partial(count, stores[n % 2]) for n in range(16)])

    assert page(stores[0])[0].config_revision == 16


def test_a_server_found_by_name_has_all_its_fields(store: Store) -> None:
    server = replace(
        add(store, "web", "production"),
        presence=online_presence(NOW, INTERVAL),
        is_default=True,
        config_revision=2**40,
    )
    save(store, server)
    with store.begin() as transaction:
        transaction.capability_reports.record({server.server_id: CAPABILITIES}, NOW)

    server = replace(server, capabilities=CAPABILITIES)
    assert get(store, server.server_id) == server
    assert page(store) == [server]
    with store.begin() as transaction:
        assert transaction.servers.find_or_add("web") == server
        assert transaction.servers.get(server.server_id, lock=True) == server


def test_sixty_four_first_registrations_of_one_name_get_one_id(
    open_store: Callable[[], Store],
) -> None:
    stores = [open_store(), open_store()]

    ids = at_once([partial(find_or_add, stores[n % 2], "web") for n in range(64)])

    assert len(set(ids)) == 1
    assert [server.server_id for server in page(stores[0])] == [ids[0]]


def test_many_concurrent_names_get_one_id_each(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]

    ids = at_once([partial(find_or_add, stores[n % 2], f"web-{n // 4}") for n in range(64)])

    assert len(set(ids)) == 16
    assert {server.name: server.server_id for server in page(stores[1])} == {
        f"web-{n // 4}": ids[n] for n in range(64)
    }


def test_a_server_found_or_added_is_locked_until_the_transaction_ends(
    open_store: Callable[[], Store],
) -> None:
    stores = [open_store(), open_store()]

    def count(store: Store) -> None:
        with store.begin() as transaction:
            server = transaction.servers.find_or_add("web")
            transaction.servers.save(replace(server, config_revision=server.config_revision + 1))

    at_once([partial(count, stores[n % 2]) for n in range(16)])

    assert page(stores[0])[0].config_revision == 16


def test_a_server_read_for_update_is_locked_until_the_transaction_ends(
    open_store: Callable[[], Store],
) -> None:
    stores = [open_store(), open_store()]
    server_id = find_or_add(stores[0], "web")

    def count(store: Store) -> None:
        with store.begin() as transaction:
            server = transaction.servers.get(server_id, lock=True)
            transaction.servers.save(replace(server, config_revision=server.config_revision + 1))

    at_once([partial(count, stores[n % 2]) for n in range(16)])

    assert get(stores[0], server_id).config_revision == 16


def test_an_existing_name_cannot_be_added(store: Store) -> None:
    add(store, "web")

    with pytest.raises(ServerNameTaken) as refused:
        add(store, "web")

    assert refused.value.name == "web"
    assert len(page(store)) == 1


def test_one_of_many_concurrent_adds_of_a_name_succeeds(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]

    def try_to_add(store: Store) -> bool:
        try:
            add(store, "web")
        except ServerNameTaken:
            return False
        return True

    assert sum(at_once([partial(try_to_add, stores[n % 2]) for n in range(16)])) == 1


def test_a_server_cannot_take_the_name_of_another(store: Store) -> None:
    web, db = add(store, "web"), add(store, "db")

    with pytest.raises(ServerNameTaken) as refused:
        save(store, replace(db, name="web"))

    assert refused.value.name == "web"
    assert page(store) == [web, db]


def test_renaming_a_server_frees_its_old_name(store: Store) -> None:
    web = add(store, "web")
    save(store, replace(web, name="old-web"))

    assert find_or_add(store, "old-web") == web.server_id
    assert find_or_add(store, "web") != web.server_id


def test_a_server_may_keep_its_name(store: Store) -> None:
    web = add(store, "web")
    save(store, web)

    assert get(store, web.server_id) == web


def test_names_differ_by_every_character(store: Store) -> None:
    names = ["web", "Web", "wéb", "we\u0301b", "web.", "🎲" * 255, "é" * 255, "%s", "'; --", "\\"]
    ids = {name: find_or_add(store, name) for name in names}

    assert {server.name: server.server_id for server in page(store)} == ids
    assert len(set(ids.values())) == len(names)


def test_the_id_of_a_deleted_server_is_never_used_again(store: Store) -> None:
    ids = [find_or_add(store, "web")]
    for _ in range(3):
        remove(store, ids[-1])
        ids.append(find_or_add(store, "web"))

    assert ids == sorted(set(ids))


@pytest.mark.parametrize("server_id", NOBODY)
def test_an_unknown_server_is_not_found(store: Store, server_id: int) -> None:
    add(store, "web")

    for call in (get, remove):
        with pytest.raises(ServerNotFound) as missing:
            call(store, server_id)
        assert missing.value.server_id == server_id
    with pytest.raises(ServerNotFound), store.begin() as transaction:
        transaction.servers.get(server_id, lock=True)


def test_a_server_cannot_be_deleted_twice(store: Store) -> None:
    web = add(store, "web")
    remove(store, web.server_id)

    with pytest.raises(ServerNotFound):
        remove(store, web.server_id)
    assert page(store) == []


def test_the_mark_of_the_default_server_moves(store: Store) -> None:
    servers = [add(store, name) for name in ("a", "b", "c")]

    for chosen in (*servers, servers[0]):
        save(store, replace(chosen, is_default=True))

        assert [s.server_id for s in page(store) if s.is_default] == [chosen.server_id]


def test_the_default_server_can_be_saved_again_and_lose_its_mark(store: Store) -> None:
    web = replace(add(store, "web"), is_default=True)
    save(store, web)
    save(store, replace(web, environment="test"))

    assert get(store, web.server_id).is_default
    save(store, web := replace(web, is_default=False))
    assert get(store, web.server_id) == web


def test_at_most_one_server_is_the_default_after_concurrent_changes(
    open_store: Callable[[], Store],
) -> None:
    stores = [open_store(), open_store()]
    servers = [add(stores[0], f"web-{n}") for n in range(16)]

    def choose(store: Store, server: Server) -> None:
        with store.begin() as transaction:
            locked = transaction.servers.lock_with_default(server.server_id)
            transaction.servers.save(replace(locked, is_default=True))

    at_once([partial(choose, stores[n % 2], server) for n, server in enumerate(servers)])

    assert sum(server.is_default for server in page(stores[0])) == 1


def test_an_unknown_server_cannot_become_the_default(store: Store) -> None:
    save(store, replace(add(store, "web"), is_default=True))

    with store.begin() as transaction, pytest.raises(ServerNotFound):
        transaction.servers.lock_with_default(4711)


@pytest.mark.parametrize(
    "moment",
    [
        NOW,
        NOW.replace(microsecond=0),
        NOW.replace(microsecond=1),
        NOW.replace(microsecond=999_999),
        datetime(1970, 1, 1, tzinfo=NOW.tzinfo),
        # In Central Europe this hour occurred twice.
        datetime(2025, 10, 26, 1, 30, tzinfo=NOW.tzinfo),
    ],
)
def test_times_are_read_in_utc_as_they_were_written(store: Store, moment: datetime) -> None:
    web = replace(add(store, "web"), presence=online_presence(moment, INTERVAL))
    save(store, web)
    presence = get(store, web.server_id).presence

    assert presence == web.presence
    assert presence.last_seen is not None
    assert presence.last_seen.utcoffset() == timedelta(0)


def test_a_time_in_another_zone_is_read_as_the_same_time(store: Store) -> None:
    abroad = NOW.astimezone(timezone(timedelta(hours=5, minutes=45)))
    web = replace(add(store, "web"), presence=offline_presence(abroad))
    save(store, web)

    assert get(store, web.server_id).presence.last_seen == NOW


@pytest.fixture
def fleet(store: Store) -> list[Server]:
    """One server of every kind, with gaps between the ids, ordered neither by name nor by time."""
    moments = [None, NOW - SECOND, NOW, NOW + SECOND]
    kinds = list(product(Status, moments, ["", "production", "Production"]))
    servers = []
    with store.begin() as transaction:
        for number, (status, last_seen, environment) in enumerate(reversed(kinds)):
            server = transaction.servers.add(f"web-{number * 7 % 100}", environment)
            approval = list(Approval)[number % len(Approval)]
            presence = Presence(status, last_seen, None)
            server = replace(server, presence=presence, approval=approval)
            transaction.servers.save(server)
            servers.append(server)
        for server in servers[::5]:
            transaction.servers.remove(server.server_id)
    return [server for number, server in enumerate(servers) if number % 5]


FILTERS = st.builds(
    ServerFilter,
    environment=st.sampled_from([None, "", "production", "Production", "prod%"]),
    status=st.sampled_from([None, *Status]),
    not_seen_since=st.sampled_from([None, NOW - SECOND, NOW, NOW + SECOND, NOW + 2 * SECOND]),
    approval=st.sampled_from([None, *Approval]),
)


# The fleet is only read, so that all examples can share it.
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None
)
@given(matching=FILTERS, size=st.integers(1, 30))
def test_pages_of_any_size_list_each_matching_server_once_in_order(
    store: Store, fleet: list[Server], matching: ServerFilter, size: int
) -> None:
    walked: list[Server] = []
    while servers := page(store, matching, walked[-1].server_id if walked else 0, size):
        assert len(servers) <= size
        walked += servers

    assert walked == [server for server in fleet if _is_wanted(server, matching)]


def _is_wanted(server: Server, matching: ServerFilter) -> bool:
    if matching.environment is not None and server.environment != matching.environment:
        return False
    if matching.status is not None and server.presence.status != matching.status:
        return False
    if matching.approval is not None and server.approval is not matching.approval:
        return False
    if matching.not_seen_since is None or server.presence.last_seen is None:
        return True
    return server.presence.last_seen < matching.not_seen_since


def test_a_page_can_begin_after_any_id(store: Store, fleet: list[Server]) -> None:
    ids = [server.server_id for server in fleet]

    for after in [-(2**63), -1, 0, ids[0] - 1]:
        assert page(store, after=after) == fleet
    for after in [ids[-1], 2**63 - 1]:
        assert page(store, after=after) == []
    for after in range(ids[0], ids[-1]):
        assert [s.server_id for s in page(store, after=after)] == [n for n in ids if n > after]


def test_servers_are_counted_by_approval(store: Store) -> None:
    add(store, "a")
    for name in ("b", "c"):
        save(store, replace(add(store, name), approval=Approval.PENDING))

    with store.begin() as transaction:
        counts = {approval: transaction.servers.count(approval) for approval in Approval}
    assert counts == {**dict.fromkeys(Approval, 0), Approval.APPROVED: 1, Approval.PENDING: 2}


def test_servers_are_counted_by_status_and_environment(store: Store) -> None:
    for name, environment in (("a", "dev"), ("b", "dev"), ("c", "prod"), ("d", "")):
        add(store, name, environment)
    save(store, replace(add(store, "e", "dev"), presence=online_presence(NOW, INTERVAL)))
    with store.begin() as transaction:
        count_by_status = dict(transaction.servers.count_by_status())

    assert count_by_status == {
        (Status.OFFLINE, "dev"): 2,
        (Status.OFFLINE, "prod"): 1,
        (Status.OFFLINE, ""): 1,
        (Status.ONLINE, "dev"): 1,
    }
