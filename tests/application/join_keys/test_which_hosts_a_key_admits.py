"""Which hosts a join key admits, and for how long."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.memory.store import MemoryStore
from application.access.authenticate_host import AuthenticateHost
from application.join_keys.create_join_key import CreatedJoinKey
from domain.capabilities import Capabilities
from domain.errors import (
    InvalidField,
    InvalidRegistrationKey,
    JoinKeyRefused,
    NameInUse,
    NotAdmitted,
)
from domain.keys import PlaintextKey
from tests.support.builders import INTERVAL, evidence
from tests.support.canary_secrets import almost, canary
from tests.support.fleet import OPEN, Fleet, admitting_keys
from tests.support.join_keys import (
    ELSEWHERE,
    HERE,
    SECRET,
    SHARED,
    join,
    make,
    revoke,
    uses,
    with_keys,
)

REBOOTED = evidence("disk", "board", "boot 2", "process 2")


def why_refused(fleet: Fleet, key: CreatedJoinKey, name: str = "web", **others: Any) -> str:
    with pytest.raises(JoinKeyRefused) as refused:
        join(fleet, key, name, **others)
    return str(refused.value).removeprefix(f"the join key {key.key.key_id} ")


def test_a_join_key_admits_hosts_beside_the_shared_key(fleet: Fleet) -> None:
    key = make(fleet)

    assert join(fleet, key, "web").server.name == "web"
    assert join(fleet, SHARED, "db").server.name == "db"


@pytest.mark.parametrize(
    "presented_key",
    [
        *almost(SECRET),
        pytest.param("", id="no key"),
    ],
)
def test_a_join_key_with_a_wrong_secret_leaves_no_trace(fleet: Fleet, presented_key: str) -> None:
    key = make(fleet)

    with pytest.raises(InvalidRegistrationKey):
        join(fleet, f"{key.key.key_id}.{presented_key}")
    assert fleet.list(size=10).servers == []
    assert uses(fleet, key) == []


@pytest.mark.parametrize("authenticate_host", [OPEN, admitting_keys(SHARED)])
def test_an_unknown_key_is_refused_like_one_with_a_wrong_secret(
    fleet: Fleet, authenticate_host: AuthenticateHost
) -> None:
    with_keys(fleet, authenticate_host)
    make(fleet)

    with pytest.raises(InvalidRegistrationKey) as refused:
        join(fleet, f"jk-zzzzzzzzzz.{SECRET}")
    assert str(refused.value) == "invalid registration key"


def test_a_secret_is_compared_even_for_an_unknown_id(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []
    matches = PlaintextKey.matches

    def recorded(key: PlaintextKey, digest: str) -> bool:
        compared.append(digest)
        return matches(key, digest)

    monkeypatch.setattr(PlaintextKey, "matches", recorded)
    with pytest.raises(InvalidRegistrationKey):
        join(fleet, f"jk-zzzzzzzzzz.{SECRET}")

    assert len(compared) == 1


@given(secret=st.text(max_size=20), key_id=st.sampled_from(["jk-aaaaaaaaaa", "jk-zzzzzzzzzz", ""]))
def test_any_wrong_key_is_refused_as_invalid(secret: str, key_id: str) -> None:
    fleet = with_keys(Fleet(MemoryStore()), admitting_keys(SHARED))
    make(fleet)
    for presented_key in (secret, f"{key_id}.{secret}", f"{key_id}{secret}"):
        with pytest.raises(InvalidRegistrationKey):
            join(fleet, presented_key)
        with pytest.raises(InvalidRegistrationKey):
            fleet.deregister(1, presented_key, "")


def test_the_key_is_checked_before_anything_else(fleet: Fleet) -> None:
    key = make(fleet, name_pattern="game-*")
    nonsense: dict[str, Any] = {"environment": "\n", "capabilities": Capabilities(cpu_cores=-1)}

    with pytest.raises(InvalidRegistrationKey):
        join(fleet, f"{key.key.key_id}.x", "", **nonsense)
    with pytest.raises(InvalidField):
        join(fleet, key, "", **nonsense)
    revoke(fleet, key)
    assert why_refused(fleet, key, "", **nonsense) == "was revoked"


def test_a_malformed_key_is_refused_without_the_store(fleet: Fleet) -> None:
    fleet.store.is_unavailable = True

    with pytest.raises(InvalidRegistrationKey):
        join(fleet, "jk-short.secret")


def test_if_a_key_is_required_a_join_key_is_enough(fleet: Fleet) -> None:
    with_keys(fleet, AuthenticateHost(lambda: (), key_required=True))
    key = make(fleet)

    for presented_key in ("", SHARED):
        with pytest.raises(InvalidRegistrationKey):
            join(fleet, presented_key)
    assert join(fleet, key).server.name == "web"
    assert not key.is_open_registration


def test_every_present_shared_key_admits_hosts(fleet: Fleet) -> None:
    keys = [SHARED]
    with_keys(fleet, AuthenticateHost(lambda: keys))
    new = canary("new registration key")

    with pytest.raises(InvalidRegistrationKey):
        join(fleet, new)
    keys.append(new)
    join(fleet, new)
    join(fleet, SHARED)
    keys.remove(SHARED)
    with pytest.raises(InvalidRegistrationKey):
        join(fleet, SHARED)


def test_a_key_with_five_uses_admits_five_servers_however_often_they_start(fleet: Fleet) -> None:
    key = make(fleet, uses=5)
    for _ in range(3):
        for n in range(5):
            join(fleet, key, f"web-{n}")

    assert why_refused(fleet, key, "web-5") == "has already admitted 5 servers, its maximum"
    assert len(fleet.list(size=10).servers) == 5
    assert [use.times for use in uses(fleet, key)] == [3] * 5


def test_an_expired_key_admits_only_servers_that_have_joined(fleet: Fleet) -> None:
    key = make(fleet, expires_in_seconds=60)
    first = join(fleet, key, evidence=HERE).server
    fleet.pass_time(timedelta(minutes=2))
    again = join(fleet, key, evidence=REBOOTED).server

    assert again.server_id == first.server_id
    assert why_refused(fleet, key, "db") == "expired at 2026-03-01 00:00 UTC"
    assert [server.name for server in fleet.list(size=10).servers] == ["web"]


def test_a_deleted_server_that_joins_again_is_counted_again(fleet: Fleet) -> None:
    key = make(fleet, uses=2)
    first = join(fleet, key).server
    fleet.delete(first.server_id, force=True)
    second = join(fleet, key).server
    fleet.delete(second.server_id, force=True)

    assert why_refused(fleet, key) == "has already admitted 2 servers, its maximum"
    restored = fleet.restore(first.server_id)
    assert join(fleet, key).server.server_id == restored.server_id


def test_an_existing_server_is_counted_when_it_first_presents_the_key(fleet: Fleet) -> None:
    key = make(fleet, uses=1)
    join(fleet, SHARED, "web")
    join(fleet, key, "web")

    assert why_refused(fleet, key, "db") == "has already admitted 1 server, its maximum"


def test_a_key_admits_only_its_environment_and_names(fleet: Fleet) -> None:
    key = make(fleet, environment="prod", name_pattern="game-?")

    assert join(fleet, key, "game-1", environment="prod").server.environment == "prod"
    assert why_refused(fleet, key, "game-2", environment="test") == (
        "admits only the environment prod"
    )
    assert why_refused(fleet, key, "Game-2") == "admits only names like 'game-?', not 'Game-2'"
    assert why_refused(fleet, key, "game-10") == "admits only names like 'game-?', not 'game-10'"


def test_a_server_that_has_joined_is_refused_outside_the_keys_environment(fleet: Fleet) -> None:
    key = make(fleet, environment="prod")
    join(fleet, key)

    assert why_refused(fleet, key, environment="test") == "admits only the environment prod"
    assert fleet.list(size=10).servers[0].environment == "prod"


def test_a_revoked_key_admits_no_host_but_its_servers_stay(fleet: Fleet) -> None:
    key = make(fleet)
    server = join(fleet, key).server
    revoke(fleet, key)

    assert why_refused(fleet, key) == "was revoked"
    assert why_refused(fleet, key, "db") == "was revoked"
    assert fleet.get(server.server_id) == server


def test_a_refused_host_leaves_no_trace(fleet: Fleet) -> None:
    key = make(fleet, uses=1)
    join(fleet, key)
    why_refused(fleet, key, "db")

    assert [server.name for server in fleet.list(size=10).servers] == ["web"]
    assert len(uses(fleet, key)) == 1
    with fleet.store.begin() as transaction:
        assert {event.name for event in transaction.outbox.oldest(100)} == {"web"}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.sampled_from("abcd"), st.booleans()),
        st.tuples(st.just("delete"), st.sampled_from("abcd"), st.booleans()),
        st.tuples(st.just("wait"), st.just(""), st.booleans()),
        st.tuples(st.just("revoke"), st.just(""), st.booleans()),
    ),
    max_size=30,
)


@given(steps=STEPS, uses_of=st.tuples(st.none() | st.integers(1, 3), st.none() | st.integers(1, 3)))
def test_a_key_always_admits_its_servers_and_others_only_up_to_its_limit(
    steps: list[tuple[str, str, bool]], uses_of: tuple[int | None, int | None]
) -> None:
    fleet = with_keys(Fleet(MemoryStore()), admitting_keys(SHARED))
    keys = [make(fleet, uses=most, expires_in_seconds=240) for most in uses_of]
    joined: list[set[int]] = [set(), set()]
    revoked: set[int] = set()
    there: dict[str, int] = {}
    waited = 0
    for step, name, which in steps:
        if step == "wait":
            fleet.clock.advance(timedelta(seconds=60))
            waited += 60
        elif step == "revoke":
            revoke(fleet, keys[which])
            revoked.add(which)
        elif step == "delete" and name in there:
            fleet.delete(there.pop(name), force=True)
        elif step == "join":
            has_joined = there.get(name) in joined[which]
            most = uses_of[which]
            has_room = waited < 240 and (most is None or len(joined[which]) < most)
            if which in revoked or not (has_joined or has_room):
                why_refused(fleet, keys[which], name)
            else:
                there[name] = join(fleet, keys[which], name).server.server_id
                joined[which].add(there[name])

    for key, servers in zip(keys, joined, strict=True):
        assert {use.server_id for use in uses(fleet, key)} == servers
    assert {server.name: server.server_id for server in fleet.list(size=9).servers} == there


def test_a_join_key_gives_no_right_to_the_name_of_another_machine(fleet: Fleet) -> None:
    join(fleet, SHARED, evidence=HERE)
    key = make(fleet, pre_approved=True)

    with pytest.raises(NameInUse):
        join(fleet, key, evidence=ELSEWHERE)
    assert uses(fleet, key) == []


@pytest.mark.parametrize("terms", [{"uses": 1}, {"expires_in_seconds": 60}])
def test_a_host_that_the_key_does_not_admit_does_not_learn_who_holds_a_name(
    fleet: Fleet, terms: dict[str, Any]
) -> None:
    join(fleet, SHARED, "held", evidence=HERE)
    key = make(fleet, **terms)
    join(fleet, key, "web")
    fleet.clock.advance(timedelta(minutes=2))

    why_refused(fleet, key, "held", evidence=ELSEWHERE)
    with fleet.store.begin() as transaction:
        assert transaction.conflicts.of_name("held") == []


def test_a_machine_that_takes_a_server_over_needs_a_key_that_has_not_expired(
    fleet: Fleet,
) -> None:
    key = make(fleet, uses=1, expires_in_seconds=3600)
    server = join(fleet, key, evidence=HERE).server
    fleet.pass_time(4 * INTERVAL)
    taken_over = join(fleet, key, evidence=ELSEWHERE).server
    fleet.pass_time(timedelta(hours=1))

    assert taken_over.server_id == server.server_id
    assert why_refused(fleet, key, evidence=HERE) == "expired at 2026-03-01 00:59 UTC"
    assert join(fleet, key, evidence=ELSEWHERE).server.server_id == server.server_id


def test_a_key_at_its_limit_still_reports_that_the_name_is_in_use(fleet: Fleet) -> None:
    key = make(fleet, uses=1)
    join(fleet, key, evidence=HERE)

    with pytest.raises(NameInUse):
        join(fleet, key, evidence=ELSEWHERE)


def test_a_host_that_the_key_does_not_admit_does_not_learn_what_an_operator_decided(
    fleet: Fleet,
) -> None:
    fleet.reject(join(fleet, SHARED, evidence=HERE).server.server_id, "not ours")
    key = make(fleet, name_pattern="game-*")

    assert why_refused(fleet, key, evidence=HERE) == "admits only names like 'game-*', not 'web'"


def test_no_key_admits_a_banned_machine(fleet: Fleet) -> None:
    server = join(fleet, SHARED, evidence=HERE).server
    fleet.ban(server.server_id)
    key = make(fleet, pre_approved=True)

    with pytest.raises(NotAdmitted, match="was banned by an operator"):
        join(fleet, key, "other", evidence=HERE)
