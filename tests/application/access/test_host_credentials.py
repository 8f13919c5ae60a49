"""What a host can do with the credential of its server, and without it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from adapters.memory.store import MemoryStore
from adapters.system.new_key import new_key, new_serial
from application.access.host_credentials import DEFAULT_LIFETIME, HostCredentials
from application.configuration.fetch_configuration import FetchConfiguration
from application.configuration.put_configuration import PutConfiguration
from application.join_keys.create_join_key import CreatedJoinKey, CreateJoinKey
from application.join_keys.list_join_key_uses import ListJoinKeyUses
from application.join_keys.revoke_join_key import RevokeJoinKey
from application.liveness.record_heartbeat import Acknowledged, Heartbeat
from application.registration.register_server import Registered, Registration
from domain.approval import Approval, ApprovalPolicy
from domain.enforcement import Enforcement, Mode, Switch
from domain.errors import (
    CredentialRequired,
    InvalidField,
    InvalidRegistrationKey,
    JoinKeyRefused,
    NameInUse,
    NotAdmitted,
    ServerNotFound,
    SupersededRegistration,
)
from domain.join_key import NewJoinKey
from domain.liveness import Status
from domain.machine_evidence import NO_EVIDENCE, Evidence
from domain.registration_rules import RegistrationRules
from tests.support.builders import INTERVAL, SECOND, evidence
from tests.support.canary_secrets import canary
from tests.support.fleet import Fleet, admitting_keys

SHARED = canary("registration key")
HERE = evidence("disk", "board", "boot 1", "process 1")
REBOOTED = evidence("disk", "board", "boot 2", "process 2")
ELSEWHERE = evidence("other disk", "other board", "other boot", "process 3")
HALF_A_LIFE = DEFAULT_LIFETIME / 2


def fleet_that(mode: Mode | None = None, **rules: Any) -> Fleet:
    enforcement = Enforcement({} if mode is None else {Switch.CREDENTIAL: mode})
    fleet = Fleet(MemoryStore(), rules=RegistrationRules(enforcement=enforcement, **rules))
    authenticate_host = replace(admitting_keys(SHARED), credentials=fleet.credentials)
    fleet.register = replace(fleet.register, authenticate_host=authenticate_host)
    fleet.deregister = replace(fleet.deregister, authenticate_host=authenticate_host)
    return fleet


@pytest.fixture
def fleet() -> Fleet:
    """The API has a shared key."""
    return fleet_that()


def key_of(fleet: Fleet, **terms: Any) -> CreatedJoinKey:
    create = CreateJoinKey(fleet.store, fleet.clock, new_key, fleet.register.authenticate_host)
    return create(NewJoinKey(**terms), "anna")


def join(fleet: Fleet, name: str = "web", key: str = SHARED, **others: Any) -> Registered:
    fields = {"registration_key": key, "evidence": HERE, **others}
    return fleet.register(Registration(name, **fields))


def join_again(fleet: Fleet, joined: Registered, name: str = "web", **others: Any) -> Registered:
    """By default only with the credential."""
    fields = {"key": "", "evidence": REBOOTED, "credential": joined.credential, **others}
    return join(fleet, name, **fields)


def heartbeat(fleet: Fleet, joined: Registered, credential: str | None = None) -> Any:
    presented = joined.credential if credential is None else credential
    [answer] = fleet.heartbeat([Heartbeat(joined.server.server_id, credential=presented)])
    return answer


def recorded(fleet: Fleet) -> list[tuple[int, str, int]]:
    with fleet.store.begin() as transaction:
        found = transaction.dry_run_refusals.page(after=0, size=99)
    assert {entry.switch for entry in found} <= {Switch.CREDENTIAL}
    return [(entry.server_id, entry.name, entry.count) for entry in found]


# Registering again


def revoke(fleet: Fleet, key: CreatedJoinKey) -> None:
    RevokeJoinKey(fleet.store, fleet.clock)(key.key.key_id)


def expire(fleet: Fleet, key: CreatedJoinKey) -> None:
    fleet.clock.advance(timedelta(days=2))


def use_up(fleet: Fleet, key: CreatedJoinKey) -> None:
    join(fleet, "another", str(key.plaintext_key), evidence=ELSEWHERE)


@pytest.mark.parametrize("becomes_of_it", [revoke, expire, use_up])
@pytest.mark.parametrize("is_shown", [True, False])
def test_a_host_registers_again_whatever_happened_to_its_join_key(
    fleet: Fleet, becomes_of_it: Any, is_shown: bool
) -> None:
    key = key_of(fleet, uses=2, expires_in_seconds=86400)
    joined = join(fleet, key=str(key.plaintext_key))
    becomes_of_it(fleet, key)
    again = join_again(fleet, joined, key=str(key.plaintext_key) if is_shown else "")

    assert (again.server.server_id, again.server.epoch) == (joined.server.server_id, 2)
    assert again.credential not in ("", joined.credential)


def test_a_revoked_join_key_does_not_stop_a_host_with_its_credential(
    fleet: Fleet,
) -> None:
    key = key_of(fleet)
    joined = join(fleet, key=str(key.plaintext_key))
    revoke(fleet, key)

    with pytest.raises(JoinKeyRefused, match="was revoked"):
        join(fleet, key=str(key.plaintext_key), evidence=REBOOTED)
    with pytest.raises(JoinKeyRefused, match="was revoked"):
        join_again(fleet, joined, "db", key=str(key.plaintext_key), evidence=ELSEWHERE)
    assert join_again(fleet, joined, key=str(key.plaintext_key)).server.epoch == 2


def test_a_credential_uses_no_join_key(fleet: Fleet) -> None:
    key = key_of(fleet, uses=1, name_pattern="db")
    joined = join(fleet)
    join_again(fleet, joined, key=str(key.plaintext_key))
    used = ListJoinKeyUses(fleet.store)(key.key.key_id, size=9).uses

    assert used == []
    assert join(fleet, "db", str(key.plaintext_key), evidence=ELSEWHERE).server.name == "db"


def test_a_server_keeps_what_its_join_key_set(fleet: Fleet) -> None:
    terms = {"environment": "prod", "ephemeral": True, "labels": {"tier": "gold"}}
    joined = join(fleet, key=str(key_of(fleet, **terms).plaintext_key))
    again = join_again(fleet, joined).server

    assert (again.environment, again.ephemeral) == ("prod", True)
    assert again.labels.of_operators == {"tier": "gold"}


def test_a_key_that_does_not_admit_a_host_sets_nothing(fleet: Fleet) -> None:
    key = key_of(fleet, environment="prod", ephemeral=True, name_pattern="db")
    joined = join(fleet, environment="")

    again = join_again(fleet, joined, key=str(key.plaintext_key)).server
    assert (again.environment, again.ephemeral) == ("", False)


@pytest.mark.parametrize("becomes_of_it", [revoke, expire, use_up])
def test_a_key_that_no_longer_admits_a_host_sets_nothing(fleet: Fleet, becomes_of_it: Any) -> None:
    terms = {"environment": "prod", "ephemeral": True}
    key = key_of(fleet, uses=1, expires_in_seconds=86400, **terms)
    joined = join(fleet)
    becomes_of_it(fleet, key)
    again = join_again(fleet, joined, key=str(key.plaintext_key)).server

    assert (again.environment, again.ephemeral) == ("", False)


def test_a_credential_gets_no_other_server(fleet: Fleet) -> None:
    joined = join(fleet)
    join(fleet, "db", evidence=ELSEWHERE)

    for name in ("db", "new"):
        with pytest.raises(InvalidRegistrationKey):
            join_again(fleet, joined, name)
    # It does not learn who holds the name either.
    with pytest.raises(InvalidRegistrationKey):
        join_again(fleet, joined, "db", evidence=evidence("a", "b", "c", "d"))
    assert [server.name for server in fleet.list(size=9).servers] == ["web", "db"]
    assert not conflicts(fleet, "db")


def conflicts(fleet: Fleet, name: str) -> Any:
    with fleet.store.begin() as transaction:
        return transaction.conflicts.of_name(name)


def test_a_credential_with_a_key_gets_another_server_as_with_the_key_alone(fleet: Fleet) -> None:
    joined = join(fleet)
    by_join_key = str(key_of(fleet).plaintext_key)

    assert join_again(fleet, joined, "db", key=SHARED).server.name == "db"
    assert join_again(fleet, joined, "cache", key=by_join_key).server.name == "cache"


def test_a_host_with_a_new_generated_name_keeps_its_server(fleet: Fleet) -> None:
    joined = join(fleet, "web-1", ephemeral=True)
    fleet.heartbeat([Heartbeat(joined.server.server_id, leaving=True)])
    again = join_again(fleet, joined, "web-2", ephemeral=True)

    assert again.server.server_id == joined.server.server_id


@pytest.mark.parametrize("refuse", ["reject", "ban"])
@pytest.mark.parametrize("admits_no_more", [None, revoke, expire])
def test_only_a_key_that_admits_learns_why_an_operator_refuses_another_server(
    fleet: Fleet, refuse: str, admits_no_more: Any
) -> None:
    key = key_of(fleet, expires_in_seconds=86400)
    joined, other = join(fleet), join(fleet, "db", evidence=ELSEWHERE)
    getattr(fleet, refuse)(other.server.server_id, "unseen")
    presented_key = ""
    if admits_no_more:
        admits_no_more(fleet, key)
        presented_key = str(key.plaintext_key)
    for evidence_ in (HERE, NO_EVIDENCE, ELSEWHERE):
        with pytest.raises((InvalidRegistrationKey, JoinKeyRefused)) as refused:
            join_again(fleet, joined, "db", key=presented_key, evidence=evidence_)
        if presented_key:
            with pytest.raises(JoinKeyRefused):
                join(fleet, "db", presented_key, evidence=evidence_)

        assert "unseen" not in str(refused.value)
    with pytest.raises(NotAdmitted, match="unseen"):
        join_again(fleet, joined, "db", key=str(key_of(fleet).plaintext_key))


@pytest.mark.parametrize("made_of", ["nothing", "another key", "too little", "an expired one"])
def test_an_invalid_credential_counts_as_none(fleet: Fleet, made_of: str) -> None:
    joined = join(fleet)
    other_api = HostCredentials(Fleet(MemoryStore()).store, fleet.clock, new_serial)
    if made_of == "an expired one":
        fleet.clock.advance(DEFAULT_LIFETIME)
    credential = {
        "nothing": "",
        "another key": other_api.issue(joined.server.server_id, 1),
        "too little": joined.credential[:-1],
        "an expired one": joined.credential,
    }[made_of]

    with pytest.raises(InvalidRegistrationKey):
        join_again(fleet, joined, credential=credential)
    # The credential is checked before anything else.
    with pytest.raises(InvalidRegistrationKey):
        join_again(fleet, joined, "", credential=credential)
    assert join(fleet, evidence=REBOOTED, credential=credential).server.epoch == 2


def test_with_a_credential_an_invalid_registration_gets_the_field(fleet: Fleet) -> None:
    joined = join(fleet)

    with pytest.raises(InvalidField, match=r"^name "):
        join_again(fleet, joined, "")


def test_a_credential_proves_no_machine(fleet: Fleet) -> None:
    joined = join(fleet)

    with pytest.raises(NameInUse):
        join_again(fleet, joined, evidence=ELSEWHERE)
    fleet.heartbeat([Heartbeat(joined.server.server_id, leaving=True)])
    with pytest.raises(InvalidRegistrationKey):
        join_again(fleet, joined, evidence=ELSEWHERE)
    # With a key it takes over.
    assert join_again(fleet, joined, key=SHARED, evidence=ELSEWHERE).server.epoch == 2


def test_a_credential_does_not_admit_a_server_that_an_operator_refuses(fleet: Fleet) -> None:
    joined = join(fleet)
    fleet.ban(joined.server.server_id)

    with pytest.raises(NotAdmitted, match="was banned by an operator"):
        join_again(fleet, joined)
    fleet.approve(joined.server.server_id)
    fleet.reject(joined.server.server_id)
    with pytest.raises(NotAdmitted, match="was rejected by an operator"):
        join_again(fleet, joined)


def test_a_pending_server_stays_pending() -> None:
    fleet = fleet_that(approval_policy=ApprovalPolicy.MANUAL)

    assert join_again(fleet, join(fleet)).server.approval is Approval.PENDING


def test_only_the_current_host_learns_why_an_operator_refuses_its_server(fleet: Fleet) -> None:
    joined = join(fleet)
    later = taken_over(fleet, joined)
    fleet.reject(joined.server.server_id, "not ours")

    assert "not ours" in str(heartbeat(fleet, later))
    assert "not ours" not in str(heartbeat(fleet, joined))


def test_the_credential_of_a_deleted_server_counts_again_once_it_is_restored(
    fleet: Fleet,
) -> None:
    joined = join(fleet)
    fleet.delete(joined.server.server_id, force=True)

    with pytest.raises(InvalidRegistrationKey):
        join_again(fleet, joined)
    assert isinstance(heartbeat(fleet, joined), ServerNotFound)
    fleet.restore(joined.server.server_id)
    assert join_again(fleet, joined).server.server_id == joined.server.server_id


def test_a_restarted_api_accepts_the_credentials_that_it_issued(fleet: Fleet) -> None:
    joined = join(fleet)
    fleet.restart()
    authenticate_host = replace(admitting_keys(SHARED), credentials=fleet.credentials)
    fleet.register = replace(fleet.register, authenticate_host=authenticate_host)

    assert join_again(fleet, joined).server.epoch == 2


# Calls for a server


def test_a_credential_fetches_and_deregisters_for_its_own_server_only(fleet: Fleet) -> None:
    web, db = join(fleet), join(fleet, "db", evidence=ELSEWHERE)
    fetch = FetchConfiguration(fleet.store, fleet.clock, fleet.register.authenticate_host)
    PutConfiguration(fleet.store, fleet.clock)(web.server.server_id, "limits", "{}")

    def fetched(server: Registered, credential: str) -> list[str]:
        return list(fetch(server.server.server_id, "", 0, credential=credential).names)

    assert fetched(web, web.credential) == ["limits"]
    for server, credential in ((web, db.credential), (db, web.credential), (web, "")):
        with pytest.raises(InvalidRegistrationKey):
            fetched(server, credential)
        with pytest.raises(InvalidRegistrationKey):
            fleet.deregister(server.server.server_id, "", HERE.instance_id, credential)
    fleet.deregister(web.server.server_id, "", HERE.instance_id, web.credential)
    assert [server.name for server in fleet.list(size=9).servers] == ["db"]


# After a later registration


def taken_over(fleet: Fleet, joined: Registered) -> Registered:
    """Another machine takes the server over with a key."""
    fleet.clock.advance(SECOND)
    leave(fleet, joined)
    return join(fleet, evidence=ELSEWHERE, address="10.0.0.9")


def leave(fleet: Fleet, joined: Registered) -> None:
    server_id, credential = joined.server.server_id, joined.credential
    fleet.heartbeat([Heartbeat(server_id, leaving=True, credential=credential)])


@pytest.mark.parametrize("mode", [None, *Mode])
@pytest.mark.parametrize("said_epoch", [0, 1, 2, 3])
def test_a_host_whose_server_was_taken_over_cannot_change_its_presence(
    mode: Mode | None, said_epoch: int
) -> None:
    fleet = fleet_that(mode)
    joined = join(fleet)
    server_id, presence = joined.server.server_id, taken_over(fleet, joined).server.presence
    fleet.clock.advance(HALF_A_LIFE + SECOND)
    answers = [
        fleet.heartbeat([Heartbeat(server_id, None, leaving, said_epoch, joined.credential)])[0]
        for leaving in (False, True)
    ]

    assert [type(answer) for answer in answers] == [SupersededRegistration, SupersededRegistration]
    assert "10.0.0.9" not in str(answers)
    assert fleet.get(server_id).presence == presence


@pytest.mark.parametrize("is_alive", [True, False])
@pytest.mark.parametrize(
    "presented", [HERE, REBOOTED, NO_EVIDENCE, evidence("", "", "any boot", "process 4")]
)
def test_a_host_whose_server_was_taken_over_needs_a_key_to_register(
    fleet: Fleet, presented: Evidence, is_alive: bool
) -> None:
    joined = join(fleet)
    later = taken_over(fleet, joined)
    if not is_alive:
        leave(fleet, later)

    with pytest.raises(InvalidRegistrationKey):
        join_again(fleet, joined, evidence=presented)
    assert fleet.get(later.server.server_id).epoch == later.server.epoch


@pytest.mark.parametrize("presented", [REBOOTED, NO_EVIDENCE])
def test_a_host_that_never_got_the_answer_registers_with_the_credential_before(
    fleet: Fleet, presented: Evidence
) -> None:
    joined = join(fleet, evidence=HERE if presented else NO_EVIDENCE)
    lost = join_again(fleet, joined, evidence=presented)
    again = join_again(fleet, joined, evidence=presented)

    assert again.server.epoch >= lost.server.epoch > joined.server.epoch
    assert isinstance(heartbeat(fleet, again), Acknowledged)


def test_a_host_that_may_have_been_rebooted_and_never_got_the_answer_waits_and_registers(
    fleet: Fleet,
) -> None:
    blind = replace(HERE, hardware_id="")
    joined = join(fleet, evidence=blind)
    join_again(fleet, joined, evidence=replace(blind, instance_id=REBOOTED.instance_id))
    rebooted = replace(blind, boot_id=REBOOTED.boot_id)

    with pytest.raises(NameInUse):
        join_again(fleet, joined, evidence=rebooted)
    fleet.pass_time(4 * INTERVAL)
    assert join_again(fleet, joined, evidence=rebooted).server.epoch == 3


def test_a_replaced_process_learns_what_replaced_it(fleet: Fleet) -> None:
    joined = join(fleet)
    join(fleet, evidence=REBOOTED, address="10.0.0.7")
    answer = heartbeat(fleet, joined)

    assert isinstance(answer, SupersededRegistration)
    assert "10.0.0.7" in str(answer)


@pytest.mark.parametrize("mode", [Mode.ENFORCE, Mode.OFF])
def test_the_credential_of_a_superseded_registration_neither_fetches_nor_deregisters(
    mode: Mode,
) -> None:
    fleet = fleet_that(mode)
    joined = join(fleet)
    server_id, authenticate_host = joined.server.server_id, fleet.register.authenticate_host
    fetch = FetchConfiguration(fleet.store, fleet.clock, authenticate_host, fleet.rules)
    taken_over(fleet, joined)

    with pytest.raises(InvalidRegistrationKey):
        fetch(server_id, "", 0, credential=joined.credential)
    with pytest.raises(InvalidRegistrationKey):
        fleet.deregister(server_id, "", ELSEWHERE.instance_id, joined.credential)
    # The server did not join with this key.
    with pytest.raises(InvalidRegistrationKey):
        fetch(server_id, str(key_of(fleet).plaintext_key), 0, credential=joined.credential)
    assert fetch(server_id, SHARED, 0, credential=joined.credential).names == []


def test_a_renewed_credential_is_no_better_than_the_one_before(fleet: Fleet) -> None:
    joined = join(fleet)
    fleet.clock.advance(HALF_A_LIFE + SECOND)
    renewed = heartbeat(fleet, joined).credential
    taken_over(fleet, joined)

    assert isinstance(heartbeat(fleet, joined, renewed), SupersededRegistration)
    with pytest.raises(InvalidRegistrationKey):
        join_again(fleet, joined, credential=renewed)


def test_where_epochs_do_not_count_an_earlier_credential_stays_valid() -> None:
    fleet = fleet_that()
    rules = RegistrationRules(enforcement=Enforcement({Switch.EPOCH: Mode.OFF}))
    fleet.heartbeat = replace(fleet.heartbeat, rules=rules)
    joined = join(fleet)
    join(fleet, evidence=REBOOTED)
    fetch = FetchConfiguration(fleet.store, fleet.clock, fleet.register.authenticate_host, rules)

    assert isinstance(heartbeat(fleet, joined), Acknowledged)
    assert fetch(joined.server.server_id, "", 0, credential=joined.credential).names == []


# Heartbeats


@pytest.mark.parametrize("mode", [None, *Mode])
def test_a_heartbeat_with_its_credential_counts_in_every_mode(mode: Mode | None) -> None:
    fleet = fleet_that(mode)

    assert heartbeat(fleet, join(fleet)) == Acknowledged(0, INTERVAL)
    assert recorded(fleet) == []


@pytest.mark.parametrize("mode", [None, *Mode])
@pytest.mark.parametrize("presented", ["none", "of another server", "forged", "expired"])
def test_a_heartbeat_without_it_counts_is_recorded_or_refused_by_the_mode(
    mode: Mode | None, presented: str
) -> None:
    fleet = fleet_that(mode)
    web, db = join(fleet), join(fleet, "db", evidence=ELSEWHERE)
    if presented == "expired":
        fleet.clock.advance(DEFAULT_LIFETIME)
    fleet.clock.advance(SECOND)
    before = fleet.get(web.server.server_id).presence
    credentials = {"none": "", "of another server": db.credential, "expired": web.credential}
    answer = heartbeat(fleet, web, credentials.get(presented, f"{web.credential}x"))
    is_refused = mode is Mode.ENFORCE

    if is_refused:
        assert isinstance(answer, CredentialRequired)
        assert "\n" not in str(answer)
    else:
        assert answer == Acknowledged(0, INTERVAL)
    assert (fleet.get(web.server.server_id).presence == before) == is_refused
    assert recorded(fleet) == ([(web.server.server_id, "web", 1)] if mode is Mode.WARN else [])


def test_a_refused_heartbeat_stops_no_other() -> None:
    fleet = fleet_that(Mode.ENFORCE)
    web = join(fleet)
    server_id = web.server.server_id
    good = Heartbeat(server_id, credential=web.credential)
    answers = fleet.heartbeat([Heartbeat(server_id, leaving=True), good, Heartbeat(4711)])

    assert [type(answer) for answer in answers] == [
        CredentialRequired,
        Acknowledged,
        CredentialRequired,
    ]
    assert fleet.get(server_id).presence.status is Status.ONLINE


def test_a_rejected_server_without_a_credential_gets_the_answer_of_an_unknown_one() -> None:
    fleet = fleet_that(Mode.WARN)
    joined = join(fleet)
    fleet.reject(joined.server.server_id)
    answers = fleet.heartbeat([Heartbeat(4711), Heartbeat(joined.server.server_id)])

    assert [type(answer) for answer in answers] == [ServerNotFound, ServerNotFound]
    assert recorded(fleet) == []


def test_a_fleet_without_credentials_is_recorded_over_several_batches() -> None:
    fleet = fleet_that(Mode.WARN)
    ids = [join(fleet, f"web-{n}", evidence=NO_EVIDENCE).server.server_id for n in range(25)]
    batches = [[Heartbeat(server_id) for server_id in ids[n:] + ids[:n]] for n in (0, 10, 20)]
    fleet.heartbeat(batches[0])
    first = recorded(fleet)
    for batch in batches[1:]:
        fleet.heartbeat(batch)

    assert [server_id for server_id, _, _ in first] == ids[:10]
    assert sorted(server_id for server_id, _, _ in recorded(fleet)) == ids


def test_a_credential_is_renewed_once_half_of_its_life_is_over(fleet: Fleet) -> None:
    joined = join(fleet)
    fleet.clock.advance(HALF_A_LIFE - SECOND)
    early = heartbeat(fleet, joined)
    fleet.clock.advance(2 * SECOND)
    due = heartbeat(fleet, joined)

    assert early.credential == ""
    assert heartbeat(fleet, joined, due.credential).credential == ""
    assert join_again(fleet, joined, credential=due.credential).server.epoch == 2


def test_a_host_that_never_got_a_renewal_can_use_its_last_credential() -> None:
    fleet = fleet_that(Mode.ENFORCE)
    joined = join(fleet)
    fleet.clock.advance(HALF_A_LIFE + SECOND)
    lost = heartbeat(fleet, joined).credential
    fleet.clock.advance(HALF_A_LIFE - 2 * SECOND)
    late = heartbeat(fleet, joined).credential
    fleet.clock.advance(SECOND)

    assert len({joined.credential, lost, late, ""}) == 4
    assert isinstance(heartbeat(fleet, joined), CredentialRequired)
    assert isinstance(heartbeat(fleet, joined, late), Acknowledged)


@pytest.mark.parametrize("presented", ["none", "of another server", "forged"])
def test_a_heartbeat_without_a_valid_credential_gets_none(fleet: Fleet, presented: str) -> None:
    web, db = join(fleet), join(fleet, "db", evidence=ELSEWHERE)
    fleet.clock.advance(HALF_A_LIFE + SECOND)
    credentials = {"none": "", "of another server": db.credential}

    assert heartbeat(fleet, web, credentials.get(presented, f"{web.credential}x")).credential == ""


def test_a_refused_heartbeat_gets_no_credential(fleet: Fleet) -> None:
    joined = join(fleet)
    join(fleet, evidence=REBOOTED)
    fleet.clock.advance(HALF_A_LIFE + SECOND)
    replaced_one = Heartbeat(joined.server.server_id, epoch=1, credential=joined.credential)
    [replaced] = fleet.heartbeat([replaced_one])
    fleet.reject(joined.server.server_id)

    assert isinstance(replaced, SupersededRegistration)
    assert isinstance(heartbeat(fleet, joined), NotAdmitted)


def test_no_representation_shows_a_credential(fleet: Fleet) -> None:
    joined = join(fleet)
    fleet.clock.advance(HALF_A_LIFE + SECOND)
    renewed = heartbeat(fleet, joined)
    printed = repr(
        (
            joined,
            renewed,
            Heartbeat(1, credential=joined.credential),
            Registration("web", credential=joined.credential),
            fleet.credentials,
            CredentialRequired(1),
        )
    )

    assert joined.credential not in printed
    assert renewed.credential not in printed
    assert "_signing_key" not in printed


def test_the_credential_of_a_deleted_server_does_not_learn_of_its_ban(fleet: Fleet) -> None:
    joined = join(fleet)
    fleet.ban(joined.server.server_id, "unseen")
    fleet.delete(joined.server.server_id, force=True)

    with pytest.raises(InvalidRegistrationKey):
        join_again(fleet, joined)
    with pytest.raises(NotAdmitted, match="unseen"):
        join_again(fleet, joined, key=SHARED)


def test_a_server_that_joined_with_an_expired_key_learns_why_it_is_refused(fleet: Fleet) -> None:
    key = key_of(fleet, expires_in_seconds=86400)
    joined = join(fleet, key=str(key.plaintext_key), evidence=NO_EVIDENCE)
    fleet.clock.advance(timedelta(days=2))
    fleet.reject(joined.server.server_id, "unknown machine")

    with pytest.raises(NotAdmitted, match="unknown machine"):
        join(fleet, key=str(key.plaintext_key), evidence=NO_EVIDENCE)
    with pytest.raises(JoinKeyRefused, match="expired"):
        join(fleet, "db", key=str(key.plaintext_key), evidence=NO_EVIDENCE)
