from dataclasses import replace
from functools import partial

import pytest

from application.registration.register_server import RegisterServer, Registration
from domain.capabilities import Capabilities
from domain.errors import InvalidField, InvalidRegistrationKey
from domain.liveness import Status, online_presence
from domain.server import Server
from tests.support.builders import CAPABILITIES, INTERVAL, NOW, SECOND, at_once
from tests.support.canary_secrets import almost, canary
from tests.support.fleet import Fleet, admitting_keys

KEY = canary("registration key")


@pytest.fixture
def guarded(fleet: Fleet) -> RegisterServer:
    return replace(fleet.register, authenticate_host=admitting_keys(KEY))


def test_a_host_gets_a_server_of_its_own(fleet: Fleet) -> None:
    registered = fleet.register(Registration("web", "production", CAPABILITIES))

    assert registered.next_heartbeat == INTERVAL
    assert registered.server == Server(
        registered.server.server_id,
        "web",
        "production",
        presence=online_presence(NOW, INTERVAL),
        capabilities=CAPABILITIES,
        epoch=1,
    )
    assert fleet.get(registered.server.server_id) == registered.server


def test_a_restarted_host_keeps_its_server_id(fleet: Fleet) -> None:
    first = fleet.register(Registration("web")).server
    fleet.clock.advance(SECOND)
    again = fleet.register(Registration("web")).server

    assert again.server_id == first.server_id
    assert again.presence.last_seen == NOW + SECOND


def test_hosts_with_other_names_are_other_servers(fleet: Fleet) -> None:
    ids = {fleet.register(Registration(f"web-{n}")).server.server_id for n in range(5)}

    assert len(ids) == 5


def test_many_hosts_that_start_at_once_under_one_name_share_a_server(fleet: Fleet) -> None:
    registered = at_once([partial(fleet.register, Registration("web"))] * 64)

    assert len({one.server.server_id for one in registered}) == 1
    assert len(fleet.list(size=10).servers) == 1


def test_an_absent_environment_keeps_the_stored_one(fleet: Fleet) -> None:
    fleet.register(Registration("web", "production"))

    assert fleet.register(Registration("web")).server.environment == "production"
    assert fleet.register(Registration("web", "test")).server.environment == "test"


def test_absent_capabilities_keep_the_stored_ones(fleet: Fleet) -> None:
    fleet.register(Registration("web", capabilities=CAPABILITIES))
    server = fleet.register(Registration("web")).server

    assert server.capabilities == CAPABILITIES
    assert fleet.get(server.server_id).capabilities == CAPABILITIES


def test_present_capabilities_replace_the_stored_ones(fleet: Fleet) -> None:
    fleet.register(Registration("web", capabilities=CAPABILITIES))
    server = fleet.register(Registration("web", capabilities=Capabilities())).server

    assert fleet.get(server.server_id).capabilities == Capabilities()


def test_what_operators_set_outlives_a_restart_of_the_host(fleet: Fleet) -> None:
    server = fleet.create("web", "production")
    with fleet.store.begin() as transaction:
        transaction.servers.save(replace(server, is_default=True, config_revision=5))
    registered = fleet.register(Registration("web")).server

    assert registered.server_id == server.server_id
    assert registered.is_default
    assert registered.config_revision == 5
    assert registered.environment == "production"


def test_a_host_that_left_is_online_once_it_registers_again(fleet: Fleet) -> None:
    server = fleet.register(Registration("web")).server
    fleet.pass_time(10 * INTERVAL)
    assert fleet.get(server.server_id).presence.status is Status.OFFLINE

    fleet.register(Registration("web"))

    assert fleet.get(server.server_id).presence.status is Status.ONLINE


def test_the_right_key_opens(fleet: Fleet, guarded: RegisterServer) -> None:
    registered = guarded(Registration("web", registration_key=KEY))

    assert fleet.get(registered.server.server_id) == registered.server


@pytest.mark.parametrize("key", [*almost(KEY), "\udcff"])
def test_a_wrong_key_leaves_no_trace(fleet: Fleet, guarded: RegisterServer, key: str) -> None:
    before = fleet.register(Registration("web", "production", CAPABILITIES)).server
    fleet.clock.advance(SECOND)

    for name in ("web", "new"):
        with pytest.raises(InvalidRegistrationKey):
            guarded(Registration(name, "test", Capabilities(), key))

    assert fleet.list(size=10).servers == [before]


def test_the_key_is_looked_at_before_anything_else(fleet: Fleet, guarded: RegisterServer) -> None:
    fleet.store.is_away = True

    with pytest.raises(InvalidRegistrationKey):
        guarded(Registration("", "\n", Capabilities(cpu_cores=-1)))


@pytest.mark.parametrize(
    ("registration", "field"),
    [
        (Registration(""), "name"),
        (Registration(" "), "name"),
        (Registration("x" * 256), "name"),
        (Registration("web", "\x00"), "environment"),
        (Registration("web", "x" * 101), "environment"),
        (
            Registration("web", capabilities=Capabilities(cpu_cores=-1)),
            "capabilities.cpu_cores",
        ),
    ],
)
def test_what_is_against_the_rules_is_refused_and_leaves_no_trace(
    fleet: Fleet, registration: Registration, field: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        fleet.register(registration)

    assert refused.value.field == field
    assert fleet.list(size=10).servers == []


def test_registrations_with_the_same_equipment_make_one_row_of_history(fleet: Fleet) -> None:
    registration = Registration("web", capabilities=CAPABILITIES)
    web = fleet.register(registration).server.server_id
    fleet.register(registration)

    with fleet.store.begin() as transaction:
        assert len(transaction.capability_reports.history(web)) == 1
