"""Bans of machines, which are refused under any name."""

from dataclasses import fields, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from application.ports.store.bans import Ban
from application.ports.store.store import Store
from domain.machine_evidence import NO_EVIDENCE, Evidence, compare
from tests.support.builders import NOW, SECOND, evidence

WHOLE = evidence("disk", "board", "boot", "instance", engine="engine")
KINDS = [field.name for field in fields(Evidence) if field.name != "instance_id"]


def ban(server_id: int, evidence: Evidence = WHOLE, seconds: int = 0) -> Ban:
    return Ban(server_id, f"web-{server_id}", evidence, "it mines ✓", NOW + seconds * SECOND)


def add(store: Store, *bans: Ban) -> None:
    with store.begin() as transaction:
        for one in bans:
            transaction.bans.add(one)


def resembling(store: Store, evidence: Evidence) -> list[Ban]:
    with store.begin() as transaction:
        return list(transaction.bans.resembling(evidence))


def remove(store: Store, server_id: int) -> bool:
    with store.begin() as transaction:
        return transaction.bans.remove(server_id)


def test_a_ban_comes_back_as_it_was_added(store: Store) -> None:
    add(store, ban(42))

    assert resembling(store, WHOLE) == [ban(42)]


@pytest.mark.parametrize("kind", KINDS)
def test_one_common_identifier_matches_a_ban(store: Store, kind: str) -> None:
    add(store, ban(42))
    other = evidence("other", "other", "other", "other", engine="other")

    assert resembling(store, other) == []
    assert resembling(store, replace(other, **{kind: getattr(WHOLE, kind)})) == [ban(42)]
    assert resembling(store, Evidence(**{kind: getattr(WHOLE, kind)})) == [ban(42)]


def test_an_instance_id_alone_matches_no_ban(store: Store) -> None:
    add(store, ban(42))

    assert resembling(store, Evidence(instance_id=WHOLE.instance_id)) == []


def test_identifiers_that_both_lack_do_not_match(store: Store) -> None:
    add(store, ban(42, evidence("disk")), ban(43, NO_EVIDENCE))

    assert resembling(store, evidence(boot="boot")) == []
    assert resembling(store, NO_EVIDENCE) == []
    assert resembling(store, evidence("disk")) == [ban(42, evidence("disk"))]


def test_an_identifier_matches_only_its_own_kind(store: Store) -> None:
    add(store, ban(42, Evidence(machine_id="0" * 32)))

    assert resembling(store, Evidence(boot_id="0" * 32)) == []


def test_a_second_ban_of_a_server_replaces_the_first(store: Store) -> None:
    add(store, ban(42))
    again = replace(ban(42, evidence("other"), seconds=5), reason="again", name="db")
    add(store, again)

    assert resembling(store, WHOLE) == []
    assert resembling(store, evidence("other")) == [again]


def test_bans_are_listed_oldest_first(store: Store) -> None:
    add(store, ban(1, seconds=2), ban(3, seconds=1), ban(2, seconds=1), ban(4, seconds=0))

    assert [ban.server_id for ban in resembling(store, WHOLE)] == [4, 2, 3, 1]


def test_a_removed_ban_matches_no_machine(store: Store) -> None:
    add(store, ban(42), ban(43))

    assert remove(store, 42)
    assert not remove(store, 42)
    assert not remove(store, 4711)
    assert resembling(store, WHOLE) == [ban(43)]


def test_a_ban_needs_no_server_and_outlives_it(store: Store) -> None:
    with store.begin() as transaction:
        web = transaction.servers.add("web", "").server_id
    add(store, ban(web))
    with store.begin() as transaction:
        transaction.servers.remove(web)

    assert resembling(store, WHOLE) == [ban(web)]


SOME_EVIDENCE = st.builds(
    evidence,
    **{kind: st.sampled_from(["", "a", "b"]) for kind in ("disk", "board", "boot", "instance")},
    engine=st.sampled_from(["", "a", "b"]),
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None
)
@given(banned=st.lists(SOME_EVIDENCE, max_size=5), given_evidence=SOME_EVIDENCE)
def test_bans_with_any_common_identifier_are_found(
    store: Store, banned: list[Evidence], given_evidence: Evidence
) -> None:
    with store.begin() as transaction:
        for server_id in range(6):
            transaction.bans.remove(server_id)
    add(store, *(ban(number, one) for number, one in enumerate(banned)))

    assert [ban.server_id for ban in resembling(store, given_evidence)] == [
        number for number, one in enumerate(banned) if compare(one, given_evidence).agreeing
    ]
