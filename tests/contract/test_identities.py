from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from application.ports.store.servers import ServerFilter
from application.ports.store.store import Store
from domain.capabilities import MAX_CPU_CORES, MAX_MEMORY_MB, Capabilities
from domain.liveness import offline_presence, online_presence
from domain.machine import Hardware
from domain.machine_evidence import NO_EVIDENCE, UNKNOWN_IDENTITY, Evidence, Identity, compare
from tests.support.builders import CAPABILITIES, INTERVAL, NOW, evidence

DIGESTS = st.sampled_from(["", "a" * 32, "b" * 32])
EVIDENCE = st.builds(Evidence, *[DIGESTS] * 5)
BOX = evidence(disk="box", board="box", boot="today", instance="manager")


def add(store: Store, name: str, identity: Identity | None = None) -> int:
    with store.begin() as transaction:
        server_id = transaction.servers.add(name, "").server_id
        if identity:
            transaction.identities.save(server_id, identity)
        return server_id


def save(store: Store, server_id: int, identity: Identity) -> None:
    with store.begin() as transaction:
        transaction.servers.get(server_id, lock=True)
        transaction.identities.save(server_id, identity)


def get(store: Store, server_id: int) -> Identity:
    with store.begin() as transaction:
        return transaction.identities.get(server_id)


def of_machine(store: Store, evidence: Evidence) -> list[int]:
    with store.begin() as transaction:
        return [known.server_id for known in transaction.identities.of_machine(evidence)]


def identity(evidence: Evidence, machine: int = 0) -> Identity:
    return Identity(evidence, machine, "10.0.0.7", NOW)


def test_a_server_whose_host_never_registered_has_an_unknown_identity(store: Store) -> None:
    assert get(store, add(store, "web")) == UNKNOWN_IDENTITY
    assert get(store, 4711) == UNKNOWN_IDENTITY


def test_the_identity_of_the_last_registration_is_stored(store: Store) -> None:
    web, db = add(store, "web"), add(store, "db")
    first = Identity(BOX, 7, "10.0.0.7", NOW)
    second = Identity(evidence(disk="other"), 0, "fd00::1", NOW + timedelta(days=1))
    save(store, web, first)
    save(store, db, first)
    save(store, web, second)

    assert get(store, web) == second
    assert get(store, db) == first


def test_a_server_has_its_machine_and_the_address_of_its_host(store: Store) -> None:
    web, db = add(store, "web"), add(store, "db", Identity(BOX, 7, "10.0.0.7", NOW))
    with store.begin() as transaction:
        servers = [transaction.servers.get(server_id) for server_id in (web, db)]

    assert [(server.machine, server.address) for server in servers] == [(0, ""), (7, "10.0.0.7")]


def test_the_identity_of_a_server_is_deleted_with_it(store: Store) -> None:
    web = add(store, "web", identity(BOX))
    with store.begin() as transaction:
        transaction.servers.remove(web)

    assert get(store, web) == UNKNOWN_IDENTITY
    assert of_machine(store, BOX) == []


def test_servers_of_one_machine_are_found_by_two_sources(store: Store) -> None:
    dev, prod = add(store, "dev", identity(BOX)), add(store, "prod", identity(BOX))
    restarted = add(store, "restarted", identity(replace(BOX, boot_id="f" * 32)))
    add(store, "elsewhere", identity(evidence(disk="else", board="else", boot="else")))
    add(store, "same-disk", identity(replace(BOX, hardware_id="", boot_id="f" * 32)))
    add(store, "silent", identity(NO_EVIDENCE))
    add(store, "unregistered")

    assert of_machine(store, BOX) == [dev, prod, restarted]
    with store.begin() as transaction:
        [known, *_] = transaction.identities.of_machine(BOX)
    assert known.identity == identity(BOX)


@pytest.mark.parametrize("kind", ["machine_id", "hardware_id", "engine_id", "boot_id"])
def test_one_source_finds_no_machine(store: Store, kind: str) -> None:
    alone = Evidence(**{kind: "a" * 32}, instance_id="b" * 32)
    add(store, "web", identity(alone))

    assert of_machine(store, alone) == []
    assert of_machine(store, NO_EVIDENCE) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(stored=st.lists(EVIDENCE, max_size=20), presented=EVIDENCE)
def test_the_store_finds_the_same_machines_as_the_rules(
    store: Store, stored: Sequence[Evidence], presented: Evidence
) -> None:
    with store.begin() as transaction:
        for server in transaction.servers.page(ServerFilter(), after=0, size=100):
            transaction.servers.remove(server.server_id)
    ids = [add(store, f"box-{n}", identity(one)) for n, one in enumerate(stored)]
    of_any_process = replace(presented, instance_id="")

    assert of_machine(store, presented) == [
        server_id
        for server_id, one in zip(ids, stored, strict=True)
        if compare(one, of_any_process).same_machine
    ]


@pytest.mark.parametrize(
    "clone",
    [
        pytest.param({"hardware_id": "e" * 32, "boot_id": "f" * 32}, id="of its disk"),
        pytest.param({"hardware_id": "e" * 32}, id="made while it ran"),
        pytest.param({"hardware_id": "", "boot_id": "f" * 32}, id="whose board is not known"),
        pytest.param(
            {"machine_id": "e" * 32, "engine_id": "f" * 32, "boot_id": ""}, id="of its board"
        ),
    ],
)
def test_hundreds_of_clones_do_not_hide_the_machine_itself(
    store: Store, clone: dict[str, str]
) -> None:
    assert not compare(BOX, replace(BOX, **clone, instance_id="")).same_machine
    with store.begin() as transaction:
        # More than twice as many as a store returns.
        for n in range(250):
            server_id = transaction.servers.add(f"clone-{n}", "").server_id
            transaction.identities.save(server_id, identity(replace(BOX, **clone)))
    same = add(store, "same", identity(BOX))

    assert of_machine(store, BOX) == [same]


def test_at_most_a_hundred_servers_of_a_machine_are_found(store: Store) -> None:
    ids = [add(store, f"box-{n:03}", identity(BOX)) for n in range(103)]

    assert of_machine(store, BOX) == ids[:100]


def test_servers_of_a_machine_are_found_by_its_number(store: Store) -> None:
    dev = add(store, "dev", identity(BOX, machine=7))
    add(store, "elsewhere", identity(BOX, machine=8))
    prod = add(store, "prod", identity(evidence(), machine=7))
    add(store, "unregistered")
    add(store, "silent", identity(NO_EVIDENCE))
    with store.begin() as transaction:
        servers = transaction.servers.of_machine(7)
        nothing = [transaction.servers.of_machine(machine) for machine in (9, 0)]

    assert [(server.server_id, server.name, server.machine) for server in servers] == [
        (dev, "dev", 7),
        (prod, "prod", 7),
    ]
    assert nothing == [[], []]


def test_a_server_that_moves_to_another_machine_leaves_the_first(store: Store) -> None:
    web = add(store, "web", identity(BOX, machine=7))
    save(store, web, identity(evidence(disk="new", board="new"), machine=8))
    with store.begin() as transaction:
        before, after = (transaction.servers.of_machine(machine) for machine in (7, 8))

    assert (list(before), [server.server_id for server in after]) == ([], [web])
    assert of_machine(store, BOX) == []


def test_the_number_of_a_new_machine_is_unique(store: Store) -> None:
    before = add(store, "before")
    with store.begin() as transaction:
        numbers = [transaction.identities.new_machine() for _ in range(2)]
    after = add(store, "after")

    assert len({before, *numbers, after}) == 4
    assert before < min(numbers)


def online(store: Store, server_id: int, capabilities: Capabilities | None) -> None:
    with store.begin() as transaction:
        server = transaction.servers.get(server_id, lock=True)
        transaction.servers.save(replace(server, presence=online_presence(NOW, INTERVAL)))
        if capabilities:
            transaction.capability_reports.record({server_id: capabilities}, NOW)


def online_hardware(store: Store) -> Hardware:
    with store.begin() as transaction:
        return transaction.servers.online_hardware()


def test_an_empty_fleet_has_no_hardware(store: Store) -> None:
    assert online_hardware(store) == Hardware(0, 0, 0)


def test_the_hardware_behind_several_servers_is_counted_once(store: Store) -> None:
    small = Capabilities(total_memory_mb=1024, cpu_cores=2)
    grown = Capabilities(total_memory_mb=2048, cpu_cores=2)
    of_box = [add(store, name, identity(BOX, machine=7)) for name in ("dev", "prod", "test")]
    online(store, of_box[0], small)
    online(store, of_box[1], grown)
    online(store, of_box[2], None)
    elsewhere = add(store, "elsewhere", identity(BOX, machine=8))
    online(store, elsewhere, small)

    assert online_hardware(store) == Hardware(2, 4, 3072)


def test_a_server_with_an_unknown_machine_counts_as_a_machine_of_its_own(store: Store) -> None:
    alone = [add(store, "a"), *(add(store, name, identity(NO_EVIDENCE)) for name in "bcd")]
    for server_id in alone:
        online(store, server_id, CAPABILITIES)
    # The number of this machine is the id of another server.
    online(store, add(store, "e", identity(BOX, machine=alone[0])), None)

    assert online_hardware(store) == Hardware(
        5, 4 * CAPABILITIES.cpu_cores, 4 * CAPABILITIES.total_memory_mb
    )


def test_the_hardware_of_servers_that_are_offline_is_not_counted(store: Store) -> None:
    dev, prod = (add(store, name, identity(BOX, machine=7)) for name in ("dev", "prod"))
    away = add(store, "away", identity(BOX, machine=8))
    for server_id in (dev, prod, away):
        online(store, server_id, CAPABILITIES)
    with store.begin() as transaction:
        transaction.presences.set({prod: 0, away: 0}, offline_presence(NOW))

    assert online_hardware(store) == Hardware(
        1, CAPABILITIES.cpu_cores, CAPABILITIES.total_memory_mb
    )


def test_the_hardware_of_a_large_fleet_does_not_overflow(store: Store) -> None:
    most = Capabilities(total_memory_mb=MAX_MEMORY_MB, cpu_cores=MAX_CPU_CORES)
    for number in range(3):
        online(store, add(store, f"box-{number}"), most)

    assert online_hardware(store) == Hardware(3, 3 * MAX_CPU_CORES, 3 * MAX_MEMORY_MB)
