"""Keys by which hosts join: whom they let in, with what, and for how long."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.memory.store import MemoryStore
from adapters.system.new_key import new_key
from application.access.authenticate_host import AuthenticateHost
from application.configuration.fetch_configuration import FetchConfiguration
from application.configuration.get_effective_configuration import GetEffectiveConfiguration
from application.configuration.propagate_configuration import PropagateConfiguration
from application.configuration.put_selector_configuration import PutSelectorConfiguration
from application.join_keys.create_join_key import CreatedJoinKey, CreateJoinKey
from application.join_keys.list_join_key_uses import ListJoinKeyUses
from application.join_keys.list_join_keys import ListJoinKeys
from application.join_keys.revoke_join_key import RevokeJoinKey
from application.ports.store.access.join_keys import JoinKeyUse
from application.registration.register_server import Registered, Registration
from application.servers.label_server import LabelServer
from domain.approval import Approval, ApprovalPolicy
from domain.capabilities import Capabilities
from domain.enforcement import Enforcement, Mode, Switch
from domain.errors import (
    InvalidField,
    InvalidRegistrationKey,
    JoinKeyNotFound,
    JoinKeyRefused,
    ManManError,
    NameInUse,
    NotAdmitted,
)
from domain.events import EventKind
from domain.join_key import NewJoinKey
from domain.keys import PlaintextKey
from domain.labels import parse_selector
from domain.registration_rules import RegistrationRules
from tests.support.builders import INTERVAL, NOW, SECOND, evidence
from tests.support.canary_secrets import almost, canary
from tests.support.fleet import OPEN, Fleet, admitting_keys

SHARED = canary("registration key")
SECRET = canary("join key")
HERE = evidence("disk", "board", "boot 1", "process 1")
REBOOTED = evidence("disk", "board", "boot 2", "process 2")
ELSEWHERE = evidence("other disk", "other board", "other boot", "process 3")

MANUAL = RegistrationRules(approval_policy=ApprovalPolicy.MANUAL)


@pytest.fixture
def fleet() -> Fleet:
    """Of an API that has a shared key."""
    return with_keys(Fleet(MemoryStore()), admitting_keys(SHARED))


def with_keys(fleet: Fleet, authenticate_host: AuthenticateHost) -> Fleet:
    fleet.register = replace(fleet.register, authenticate_host=authenticate_host)
    fleet.deregister = replace(fleet.deregister, authenticate_host=authenticate_host)
    return fleet


def with_rules(fleet: Fleet, rules: RegistrationRules) -> Fleet:
    fleet.register = replace(fleet.register, rules=rules)
    return fleet


def make(fleet: Fleet, **terms: Any) -> CreatedJoinKey:
    numbers = iter("abcdefghijklmnopqrstuvwxyz")
    taken = {used_key.key.key_id for used_key in ListJoinKeys(fleet.store)(size=50).keys}

    def planted_key(kind: str) -> PlaintextKey:
        ids = (f"{kind}-{letter * 10}" for letter in numbers)
        return PlaintextKey(next(key_id for key_id in ids if key_id not in taken), SECRET)

    create = CreateJoinKey(fleet.store, fleet.clock, planted_key, fleet.register.authenticate_host)
    return create(NewJoinKey(**terms), "anna")


def join(fleet: Fleet, key: CreatedJoinKey | str, name: str = "web", **others: Any) -> Registered:
    shown = key if isinstance(key, str) else str(key.plaintext_key)
    return fleet.register(Registration(name, registration_key=shown, **others))


def why_refused(fleet: Fleet, key: CreatedJoinKey, name: str = "web", **others: Any) -> str:
    with pytest.raises(JoinKeyRefused) as refused:
        join(fleet, key, name, **others)
    return str(refused.value).removeprefix(f"the join key {key.key.key_id} ")


def uses(fleet: Fleet, key: CreatedJoinKey) -> list[JoinKeyUse]:
    return list(ListJoinKeyUses(fleet.store)(key.key.key_id, size=50).uses)


def revoke(fleet: Fleet, key: CreatedJoinKey) -> None:
    RevokeJoinKey(fleet.store, fleet.clock)(key.key.key_id)


def told(fleet: Fleet, server_id: int) -> list[tuple[EventKind, str]]:
    with fleet.store.begin() as transaction:
        return [(entry.kind, entry.cause) for entry in transaction.history.of(server_id)]


# Which key opens


def test_a_join_key_opens_beside_the_shared_key(fleet: Fleet) -> None:
    key = make(fleet)

    assert join(fleet, key, "web").server.name == "web"
    assert join(fleet, SHARED, "db").server.name == "db"


@pytest.mark.parametrize(
    "given_key",
    [
        *almost(SECRET),
        pytest.param("", id="no key"),
    ],
)
def test_a_join_key_with_another_secret_leaves_no_trace(fleet: Fleet, given_key: str) -> None:
    key = make(fleet)

    with pytest.raises(InvalidRegistrationKey):
        join(fleet, f"{key.key.key_id}.{given_key}")
    assert fleet.list(size=10).servers == []
    assert uses(fleet, key) == []


@pytest.mark.parametrize("authenticate_host", [OPEN, admitting_keys(SHARED)])
def test_an_unknown_key_is_refused_as_one_with_another_secret_is(
    fleet: Fleet, authenticate_host: AuthenticateHost
) -> None:
    with_keys(fleet, authenticate_host)
    make(fleet)

    with pytest.raises(InvalidRegistrationKey) as refused:
        join(fleet, f"jk-zzzzzzzzzz.{SECRET}")
    assert str(refused.value) == "invalid registration key"


def test_a_secret_is_compared_for_an_unknown_id_too(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []
    has = PlaintextKey.matches

    def noting(shown: PlaintextKey, digest: str) -> bool:
        compared.append(digest)
        return has(shown, digest)

    monkeypatch.setattr(PlaintextKey, "matches", noting)
    with pytest.raises(InvalidRegistrationKey):
        join(fleet, f"jk-zzzzzzzzzz.{SECRET}")

    assert len(compared) == 1


@given(secret=st.text(max_size=20), key_id=st.sampled_from(["jk-aaaaaaaaaa", "jk-zzzzzzzzzz", ""]))
def test_whatever_a_host_shows_it_is_let_in_or_told_that_it_is_not(
    secret: str, key_id: str
) -> None:
    fleet = with_keys(Fleet(MemoryStore()), admitting_keys(SHARED))
    make(fleet)
    for given_key in (secret, f"{key_id}.{secret}", f"{key_id}{secret}"):
        with pytest.raises(InvalidRegistrationKey):
            join(fleet, given_key)
        with pytest.raises(InvalidRegistrationKey):
            fleet.deregister(1, given_key, "")


def test_the_key_is_looked_at_before_anything_else(fleet: Fleet) -> None:
    key = make(fleet, name_pattern="game-*")
    nonsense: dict[str, Any] = {"environment": "\n", "capabilities": Capabilities(cpu_cores=-1)}

    with pytest.raises(InvalidRegistrationKey):
        join(fleet, f"{key.key.key_id}.x", "", **nonsense)
    with pytest.raises(InvalidField):
        join(fleet, key, "", **nonsense)
    revoke(fleet, key)
    assert why_refused(fleet, key, "", **nonsense) == "was revoked"


def test_nothing_of_the_store_is_looked_at_for_a_key_that_is_no_join_key(fleet: Fleet) -> None:
    fleet.store.is_away = True

    with pytest.raises(InvalidRegistrationKey):
        join(fleet, "jk-short.secret")


def test_where_a_key_is_required_a_host_joins_with_a_join_key_alone(fleet: Fleet) -> None:
    with_keys(fleet, AuthenticateHost(lambda: (), key_required=True))
    key = make(fleet)

    for given_key in ("", SHARED):
        with pytest.raises(InvalidRegistrationKey):
            join(fleet, given_key)
    assert join(fleet, key).server.name == "web"
    assert not key.is_open_registration


def test_each_of_the_shared_keys_of_the_moment_opens(fleet: Fleet) -> None:
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


def test_who_makes_a_key_is_told_that_everybody_may_join_without_it(fleet: Fleet) -> None:
    assert not make(fleet).is_open_registration
    with_keys(fleet, OPEN)

    assert make(fleet).is_open_registration


# Whom a key admits


def test_a_key_of_five_uses_admits_five_servers_however_often_they_start(fleet: Fleet) -> None:
    key = make(fleet, uses=5)
    for _ in range(3):
        for n in range(5):
            join(fleet, key, f"web-{n}")

    assert why_refused(fleet, key, "web-5") == "has already admitted 5 servers, its maximum"
    assert len(fleet.list(size=10).servers) == 5
    assert [use.times for use in uses(fleet, key)] == [3] * 5


def test_an_expired_key_goes_on_for_who_joined_and_admits_nobody_else(fleet: Fleet) -> None:
    key = make(fleet, expires_in_seconds=60)
    first = join(fleet, key, evidence=HERE).server
    fleet.pass_time(timedelta(minutes=2))
    again = join(fleet, key, evidence=REBOOTED).server

    assert again.server_id == first.server_id
    assert why_refused(fleet, key, "db") == "expired at 2026-03-01 00:00 UTC"
    assert [server.name for server in fleet.list(size=10).servers] == ["web"]


def test_a_server_that_is_gone_joins_anew_and_is_counted_anew(fleet: Fleet) -> None:
    key = make(fleet, uses=2)
    first = join(fleet, key).server
    fleet.delete(first.server_id, force=True)
    second = join(fleet, key).server
    fleet.delete(second.server_id, force=True)

    assert why_refused(fleet, key) == "has already admitted 2 servers, its maximum"
    restored = fleet.restore(first.server_id)
    assert join(fleet, key).server.server_id == restored.server_id


def test_a_server_that_was_there_is_counted_when_it_first_shows_the_key(fleet: Fleet) -> None:
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


def test_who_joined_is_refused_once_it_is_out_of_scope(fleet: Fleet) -> None:
    key = make(fleet, environment="prod")
    join(fleet, key)

    assert why_refused(fleet, key, environment="test") == "admits only the environment prod"
    assert fleet.list(size=10).servers[0].environment == "prod"


def test_a_revoked_key_is_refused_also_to_who_joined_who_stays(fleet: Fleet) -> None:
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
def test_whatever_happens_a_key_admits_whom_it_admitted_and_as_many_others_as_it_may(
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


# What evidence has to say


def test_a_key_gives_nobody_a_name_that_the_shared_key_would_not(fleet: Fleet) -> None:
    join(fleet, SHARED, evidence=HERE)
    key = make(fleet, pre_approved=True)

    with pytest.raises(NameInUse):
        join(fleet, key, evidence=ELSEWHERE)
    assert uses(fleet, key) == []


@pytest.mark.parametrize("terms", [{"uses": 1}, {"expires_in_seconds": 60}])
def test_whom_a_key_does_not_admit_is_not_told_who_holds_a_name(
    fleet: Fleet, terms: dict[str, Any]
) -> None:
    join(fleet, SHARED, "held", evidence=HERE)
    key = make(fleet, **terms)
    join(fleet, key, "web")
    fleet.clock.advance(timedelta(minutes=2))

    why_refused(fleet, key, "held", evidence=ELSEWHERE)
    with fleet.store.begin() as transaction:
        assert transaction.conflicts.of_name("held") == []


def test_another_machine_that_takes_a_server_over_needs_a_key_that_is_not_expired(
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


def test_a_holder_of_a_used_up_key_waits_for_its_own_name(fleet: Fleet) -> None:
    key = make(fleet, uses=1)
    join(fleet, key, evidence=HERE)

    with pytest.raises(NameInUse):
        join(fleet, key, evidence=ELSEWHERE)


def test_whom_a_key_does_not_admit_is_not_told_what_an_operator_decided(fleet: Fleet) -> None:
    fleet.reject(join(fleet, SHARED, evidence=HERE).server.server_id, "not ours")
    key = make(fleet, name_pattern="game-*")

    assert why_refused(fleet, key, evidence=HERE) == "admits only names like 'game-*', not 'web'"


def test_a_banned_machine_joins_with_no_key(fleet: Fleet) -> None:
    server = join(fleet, SHARED, evidence=HERE).server
    fleet.ban(server.server_id)
    key = make(fleet, pre_approved=True)

    with pytest.raises(NotAdmitted, match="was banned by an operator"):
        join(fleet, key, "other", evidence=HERE)


# What a key gives


def test_a_host_without_an_environment_gets_the_keys(fleet: Fleet) -> None:
    key = make(fleet, environment="prod")

    assert join(fleet, key).server.environment == "prod"


def test_the_keys_labels_are_an_operators_of_who_joins_for_the_first_time(fleet: Fleet) -> None:
    key = make(fleet, labels={"tier": "gold", "zone": "a"})
    server = join(fleet, key, labels={"tier": "bronze"}).server
    LabelServer(fleet.store, fleet.clock)(server.server_id, {"tier": "silver"}, ["zone"])
    again = join(fleet, key, labels={"tier": "bronze"}).server

    assert server.labels.of_operators == {"tier": "gold", "zone": "a"}
    assert server.labels.effective == {"tier": "gold", "zone": "a"}
    assert again.labels.of_operators == {"tier": "silver"}
    assert (
        EventKind.LABELLED,
        "the join key jk-aaaaaaaaaa set tier=gold and zone=a",
    ) in told(fleet, server.server_id)


def test_labels_of_a_key_are_beside_those_that_an_operator_set_before(fleet: Fleet) -> None:
    server = join(fleet, SHARED).server
    LabelServer(fleet.store, fleet.clock)(server.server_id, {"owner": "anna"}, [])
    key = make(fleet, labels={"tier": "gold"})

    assert join(fleet, key).server.labels.of_operators == {"owner": "anna", "tier": "gold"}


@pytest.mark.parametrize("joined_before", [False, True])
def test_a_server_gets_what_hangs_on_the_labels_of_its_key(
    fleet: Fleet, joined_before: bool
) -> None:
    if joined_before:
        join(fleet, SHARED)
    propagate = PropagateConfiguration(fleet.store, fleet.clock)
    put = PutSelectorConfiguration(fleet.store, fleet.clock, propagate)
    put(parse_selector("tier=gold"), "limits", "{}")
    registered = join(fleet, make(fleet, labels={"tier": "gold"}))

    assert registered.config_revision > 0
    found = GetEffectiveConfiguration(fleet.store)(registered.server.server_id)
    assert [summary.name for summary in found] == ["limits"]


def test_a_server_with_too_many_labels_is_refused(fleet: Fleet) -> None:
    server = join(fleet, SHARED).server
    LabelServer(fleet.store, fleet.clock)(server.server_id, {f"own-{n}": "" for n in range(40)}, [])
    key = make(fleet, labels={f"keys-{n}": "" for n in range(40)})

    with pytest.raises(InvalidField, match="has 80 labels"):
        join(fleet, key)
    assert uses(fleet, key) == []


@pytest.mark.parametrize("of_key", [False, True])
@pytest.mark.parametrize("of_host", [False, True])
def test_a_server_is_ephemeral_when_the_key_or_the_host_says_so(
    fleet: Fleet, of_key: bool, of_host: bool
) -> None:
    key = make(fleet, ephemeral=of_key)

    assert join(fleet, key, ephemeral=of_host).server.ephemeral is (of_key or of_host)
    assert join(fleet, key, ephemeral=of_host).server.ephemeral is (of_key or of_host)


def test_who_joins_with_a_pre_approved_key_waits_for_nobody(fleet: Fleet) -> None:
    with_rules(fleet, MANUAL)
    plain, approved = make(fleet), make(fleet, pre_approved=True)

    assert join(fleet, plain, "a").server.approval is Approval.PENDING
    assert join(fleet, approved, "b").server.approval is Approval.APPROVED


def test_who_waits_is_approved_once_it_joins_with_a_pre_approved_key(fleet: Fleet) -> None:
    with_rules(fleet, MANUAL)
    server = join(fleet, make(fleet)).server
    key = make(fleet, pre_approved=True)

    assert server.approval is Approval.PENDING
    assert join(fleet, key).server.approval is Approval.APPROVED
    assert (
        EventKind.APPROVED,
        f"the join key {key.key.key_id} is pre-approved",
    ) in told(fleet, server.server_id)


def test_who_takes_a_server_over_with_a_pre_approved_key_waits_for_nobody(fleet: Fleet) -> None:
    with_rules(fleet, MANUAL)
    key = make(fleet, pre_approved=True)
    server = join(fleet, key, evidence=HERE).server
    fleet.pass_time(4 * INTERVAL)
    taken_over = join(fleet, key, evidence=ELSEWHERE).server

    assert taken_over.server_id == server.server_id
    assert taken_over.approval is Approval.APPROVED


@pytest.mark.parametrize("policy", [ApprovalPolicy.AUTO, ApprovalPolicy.MANUAL])
@pytest.mark.parametrize("mode", [Mode.ENFORCE, Mode.OFF])
def test_a_pre_approved_key_lets_in_nobody_whom_an_operator_refused(
    fleet: Fleet, policy: ApprovalPolicy, mode: Mode
) -> None:
    server = join(fleet, SHARED).server
    fleet.reject(server.server_id, "not ours")
    with_rules(
        fleet,
        RegistrationRules(approval_policy=policy, enforcement=Enforcement({Switch.BAN: mode})),
    )
    key = make(fleet, pre_approved=True)
    for _ in range(2):
        try:
            join(fleet, key)
        except NotAdmitted:
            assert mode is Mode.ENFORCE

    assert fleet.get(server.server_id).approval is Approval.REJECTED


def test_its_history_tells_with_which_key_a_server_joined(fleet: Fleet) -> None:
    key = make(fleet)
    server = join(fleet, key, address="10.0.0.7").server

    assert (
        EventKind.REGISTERED,
        "its host registered from 10.0.0.7 with the join key jk-aaaaaaaaaa",
    ) in told(fleet, server.server_id)


def test_a_use_tells_who_joined_and_when(fleet: Fleet) -> None:
    key = make(fleet)
    server = join(fleet, key, address="10.0.0.7").server
    fleet.clock.advance(SECOND)
    join(fleet, key, address="10.0.0.8")

    assert uses(fleet, key) == [
        JoinKeyUse(key.key.key_id, server.server_id, "web", "10.0.0.8", NOW, NOW + SECOND, 2)
    ]


# What a host does with the key later


@pytest.fixture
def fetch(fleet: Fleet) -> FetchConfiguration:
    return FetchConfiguration(fleet.store, fleet.clock, fleet.register.authenticate_host)


def test_a_host_speaks_for_its_server_with_the_key_by_which_it_joined(
    fleet: Fleet, fetch: FetchConfiguration
) -> None:
    key = make(fleet, expires_in_seconds=60, uses=1)
    server_id = join(fleet, key).server.server_id
    fleet.clock.advance(timedelta(hours=1))

    assert fetch(server_id, str(key.plaintext_key), 0).names == []
    fleet.deregister(server_id, str(key.plaintext_key), "")
    assert fleet.list(size=10).servers == []


def strangers(fleet: Fleet, server_id: int) -> Iterator[tuple[str, int, type[ManManError]]]:
    """Keys that speak not for this server, and of which server, and what they are told."""
    other, revoked = make(fleet), make(fleet)
    join(fleet, other, "other")
    join(fleet, revoked, "web")
    revoke(fleet, revoked)
    yield str(other.plaintext_key), server_id, InvalidRegistrationKey
    yield str(other.plaintext_key), 4711, InvalidRegistrationKey
    yield f"{other.key.key_id}.x", server_id, InvalidRegistrationKey
    yield f"jk-zzzzzzzzzz.{SECRET}", server_id, InvalidRegistrationKey
    yield str(revoked.plaintext_key), server_id, JoinKeyRefused


def test_no_other_join_key_speaks_for_a_server(fleet: Fleet, fetch: FetchConfiguration) -> None:
    server_id = join(fleet, make(fleet)).server.server_id
    for given_key, asked_for, error in strangers(fleet, server_id):
        with pytest.raises(error):
            fetch(asked_for, given_key, 0)
        with pytest.raises(error):
            fleet.deregister(asked_for, given_key, "")

    assert len(fleet.list(size=10).servers) == 2


# What an operator does with keys


def test_keys_are_listed_by_pages_with_how_many_joined(fleet: Fleet) -> None:
    made = [make(fleet) for _ in range(3)]
    join(fleet, made[0], "a")
    join(fleet, made[0], "b")
    join(fleet, made[2], "c")
    list_keys = ListJoinKeys(fleet.store)
    first = list_keys(size=2)
    second = list_keys(size=2, after=first.next_after or "")

    assert [(one.key, one.used) for one in [*first.keys, *second.keys]] == [
        (made[0].key, 2),
        (made[1].key, 0),
        (made[2].key, 1),
    ]
    assert second.next_after is None


def test_uses_are_listed_by_pages(fleet: Fleet) -> None:
    key = make(fleet)
    ids = [join(fleet, key, f"web-{n}").server.server_id for n in range(3)]
    list_uses = ListJoinKeyUses(fleet.store)
    first = list_uses(key.key.key_id, size=2)
    second = list_uses(key.key.key_id, size=2, after=first.next_after or 0)

    assert [use.server_id for use in [*first.uses, *second.uses]] == ids
    assert second.next_after is None


def test_a_key_that_is_revoked_again_keeps_the_time_at_which_it_was(fleet: Fleet) -> None:
    key = make(fleet)
    join(fleet, key)
    use_case = RevokeJoinKey(fleet.store, fleet.clock)
    first = use_case(key.key.key_id)
    fleet.clock.advance(SECOND)

    assert use_case(key.key.key_id) == first
    assert (first.key.revoked_at, first.used) == (NOW, 1)


def test_what_is_no_id_of_a_key_is_refused_without_being_repeated(fleet: Fleet) -> None:
    key = make(fleet)
    for wrong in (str(key.plaintext_key), "ok-aaaaaaaaaa", "", "\0"):
        with pytest.raises(InvalidField) as refused:
            RevokeJoinKey(fleet.store, fleet.clock)(wrong)
        assert SECRET not in str(refused.value)
        with pytest.raises(InvalidField):
            ListJoinKeyUses(fleet.store)(wrong, size=5)


def test_a_key_that_is_not_there_is_told(fleet: Fleet) -> None:
    with pytest.raises(JoinKeyNotFound):
        RevokeJoinKey(fleet.store, fleet.clock)("jk-zzzzzzzzzz")
    with pytest.raises(JoinKeyNotFound):
        ListJoinKeyUses(fleet.store)("jk-zzzzzzzzzz", size=5)


def test_what_is_kept_of_a_key_is_not_its_secret(fleet: Fleet) -> None:
    create = CreateJoinKey(fleet.store, fleet.clock, new_key, OPEN)
    created = create(NewJoinKey(), "anna")
    other = create(NewJoinKey(), "anna")

    assert created.plaintext_key.secret not in repr(created)
    assert created.plaintext_key.secret != other.plaintext_key.secret
    assert created.key.created_by == "anna"
    assert PlaintextKey.parse(str(created.plaintext_key), "jk") == created.plaintext_key
    assert join(with_keys(fleet, admitting_keys(SHARED)), created).server.name == "web"


def test_what_is_against_the_rules_makes_no_key(fleet: Fleet) -> None:
    with pytest.raises(InvalidField):
        make(fleet, uses=0)
    assert ListJoinKeys(fleet.store)(size=5).keys == []
