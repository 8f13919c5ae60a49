"""The errors of callers with neither a valid key nor the credential of the server."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import product

import pytest
from google.protobuf.json_format import MessageToDict

from adapters.amqp.errors import error_fields
from adapters.grpc.server.error_codes import status_of
from adapters.system.new_key import new_key, new_serial
from application.access.host_credentials import HostCredentials
from application.configuration.fetch_configuration import FetchConfiguration
from application.join_keys.create_join_key import CreatedJoinKey, CreateJoinKey
from application.join_keys.revoke_join_key import RevokeJoinKey
from application.liveness.record_heartbeat import Heartbeat
from application.ports.store.store import Store
from application.registration.register_server import Registered, Registration
from domain.approval import Approval
from domain.capabilities import Capabilities
from domain.enforcement import ENFORCE_ALL, Enforcement, Mode, Switch
from domain.errors import CredentialRequired, InvalidRegistrationKey, JoinKeyRefused, ManManError
from domain.join_key import NewJoinKey
from domain.machine_evidence import NO_EVIDENCE
from domain.registration_rules import RegistrationRules
from tests.support.builders import NOW, SECOND, evidence
from tests.support.canary_secrets import canary
from tests.support.fleet import Fleet, admitting_keys

SHARED = canary("registration key")
ELSEWHERE = evidence("other disk", "other board", "other boot", "process 3")
NAME, ADDRESS, REASON = "unseen name", "10.0.0.9", "unseen reason"
NAMES = {
    fate: f"{NAME} {fate}"
    for fate in (
        *("online", "offline", "waiting", "rejected", "banned", "deleted"),
        *("registered again", "taken over"),
    )
}
UNKNOWN = 4711
# A machine that does not have the name, and one without evidence.
CLAIMANTS = (ELSEWHERE, NO_EVIDENCE)


class Site:
    """A fleet with servers whose ids an unauthenticated caller may guess."""

    def __init__(self, store: Store, enforcement: Enforcement) -> None:
        self.fleet = fleet = Fleet(store, rules=RegistrationRules(enforcement=enforcement))
        authenticate_host = replace(admitting_keys(SHARED), credentials=fleet.credentials)
        fleet.register = replace(fleet.register, authenticate_host=authenticate_host)
        fleet.deregister = replace(fleet.deregister, authenticate_host=authenticate_host)
        self.fetch = FetchConfiguration(fleet.store, fleet.clock, authenticate_host, fleet.rules)
        self.of_another = self.join("another").credential
        self.expired = HostCredentials(fleet.store, fleet.clock, new_serial, timedelta(0))

    def join(self, name: str, key: str = SHARED, process: int = 1) -> Registered:
        """Register a server from a machine of its own."""
        own_evidence = evidence(
            f"disk {name}", f"board {name}", f"boot {name}", f"process {process}"
        )
        return self.fleet.register(
            Registration(name, registration_key=key, evidence=own_evidence, address=ADDRESS)
        )

    def servers(self) -> dict[str, int]:
        """The ids of servers, by their fate."""
        fleet = self.fleet
        ids = {fate: self.join(name).server.server_id for fate, name in NAMES.items()}
        self._leave(ids["offline"])
        with fleet.store.begin() as transaction:
            server = transaction.servers.get(ids["waiting"], lock=True)
            transaction.servers.save(replace(server, approval=Approval.PENDING))
        fleet.delete(ids["deleted"], force=True)
        fleet.reject(ids["rejected"], REASON)
        fleet.ban(ids["banned"], REASON)
        fleet.clock.advance(SECOND)
        self.join(NAMES["registered again"], process=2)
        self._leave(ids["taken over"])
        fleet.register(
            Registration(
                NAMES["taken over"],
                registration_key=SHARED,
                evidence=ELSEWHERE,
                address=ADDRESS,
            )
        )
        ids["of no host"] = fleet.create(f"{NAME} of no host", "").server_id
        return {**ids, "unknown": UNKNOWN, "impossible": -1}

    def _leave(self, server_id: int) -> None:
        credential = self.fleet.credentials.issue(server_id, 1)
        self.fleet.heartbeat([Heartbeat(server_id, leaving=True, credential=credential)])

    def credentials(self, server_id: int) -> list[str]:
        """Credentials that are not valid for this server."""
        forged = f"{self.fleet.credentials.issue(server_id, 1)}x"
        return ["", forged, self.of_another, self.expired.issue(server_id, 1)]

    def wrong_keys(self) -> list[str]:
        """Keys that do not admit any of these servers."""
        good, revoked, expired = self._join_key(), self._join_key(), self._join_key()
        self.join("by a join key", str(good.plaintext_key))
        RevokeJoinKey(self.fleet.store, self.fleet.clock)(revoked.key.key_id)
        unknown = f"jk-aaaaaaaaaa.{canary('join key')}"
        wrong_secret = f"{good.key.key_id}.{canary('join key')}"
        self.fleet.clock.advance(60 * SECOND)
        return [
            *("", canary("other key"), unknown, wrong_secret),
            *(str(each.plaintext_key) for each in (good, revoked, expired)),
        ]

    def _join_key(self) -> CreatedJoinKey:
        fleet = self.fleet
        create = CreateJoinKey(fleet.store, fleet.clock, new_key, fleet.register.authenticate_host)
        return create(NewJoinKey(expires_in_seconds=60), "anna")


def visible(answer: object, server_id: int) -> object:
    """Everything in an answer that reaches its caller over any transport, without the server id."""
    if not isinstance(answer, ManManError):
        return answer
    code, status = status_of(answer, "a call")
    over_amqp = error_fields(answer)
    whole = f"{code} {MessageToDict(status)} {over_amqp}"
    return whole.replace(f"server {server_id} ", "server ID ").replace(
        f"'server_id': '{server_id}'", "'server_id': 'ID'"
    )


def answer_to(call: Callable[[], object]) -> object:
    try:
        return call()
    except ManManError as error:
        return error


HEARTBEATS = [
    Heartbeat(0),
    Heartbeat(0, leaving=True),
    Heartbeat(0, epoch=1),
    Heartbeat(0, epoch=99),
    Heartbeat(0, epoch=-1),
    Heartbeat(0, Capabilities(cpu_cores=-1)),
]


def heartbeats(site: Site, server_id: int) -> Iterator[object]:
    for credential in site.credentials(server_id):
        yield from site.fleet.heartbeat(
            [replace(one, server_id=server_id, credential=credential) for one in HEARTBEATS]
        )


def test_with_enforced_credentials_no_heartbeat_reveals_which_servers_exist(
    store: Store,
) -> None:
    site = Site(store, Enforcement({Switch.CREDENTIAL: Mode.ENFORCE}))
    visible_answers = {
        fate: [visible(answer, server_id) for answer in heartbeats(site, server_id)]
        for fate, server_id in site.servers().items()
    }

    assert {str(CredentialRequired(UNKNOWN))} == {
        str(answer) for answer in heartbeats(site, UNKNOWN)
    }
    for fate, answers in visible_answers.items():
        assert answers == visible_answers["unknown"], fate


def test_without_a_key_neither_a_fetch_nor_a_deregistration_reveals_which_servers_exist(
    store: Store,
) -> None:
    site = Site(store, ENFORCE_ALL)
    servers, keys = site.servers(), site.wrong_keys()

    def calls(server_id: int, key: str, credential: str) -> list[Callable[[], object]]:
        deregister, instance_id = site.fleet.deregister, ELSEWHERE.instance_id
        return [
            lambda: site.fetch(server_id, key, 0, credential=credential),
            lambda: deregister(server_id, key, instance_id, credential),
            lambda: deregister(server_id, key, "", credential),
        ]

    all_answers = {
        fate: [
            answer_to(call)
            for key, credential in [
                *((key, "") for key in keys),
                *((keys[1], credential) for credential in site.credentials(server_id)),
            ]
            for call in calls(server_id, key, credential)
        ]
        for fate, server_id in servers.items()
    }

    unknown = all_answers["unknown"]
    assert {type(answer) for answer in unknown} == {InvalidRegistrationKey, JoinKeyRefused}
    for fate, answers in all_answers.items():
        assert [visible(answer, servers[fate]) for answer in answers] == [
            visible(answer, UNKNOWN) for answer in unknown
        ], fate


def test_without_a_key_a_registration_does_not_reveal_which_names_exist(store: Store) -> None:
    site = Site(store, ENFORCE_ALL)
    site.servers()
    keys_and_credentials = [*((key, "") for key in site.wrong_keys()), ("", site.of_another)]

    def answers_to_claims(name: str) -> list[object]:
        return [
            visible(
                answer_to(
                    partial(
                        site.fleet.register,
                        Registration(
                            name, registration_key=key, evidence=claimant, credential=credential
                        ),
                    )
                ),
                0,
            )
            for (key, credential), claimant in product(keys_and_credentials, CLAIMANTS)
        ]

    of_free_name = answers_to_claims("free name")
    for name in NAMES.values():
        assert answers_to_claims(name) == of_free_name, name


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.WARN])
def test_without_the_credential_no_heartbeat_reveals_a_name_an_address_or_a_reason(
    store: Store, mode: Mode
) -> None:
    site = Site(store, Enforcement({Switch.CREDENTIAL: mode}))
    texts = {
        fate: " ".join(str(visible(answer, server_id)) for answer in heartbeats(site, server_id))
        for fate, server_id in site.servers().items()
    }

    for fate, text in texts.items():
        for hidden in (NAME, ADDRESS, REASON, f"{NOW + SECOND:%H:%M}"):
            assert hidden not in text, fate
    assert "was registered again by another host manager: stop one of" in texts["taken over"]
    # The same as for an unknown server.
    unknown = " ".join(str(visible(answer, UNKNOWN)) for answer in heartbeats(site, UNKNOWN))
    assert texts["rejected"] == texts["banned"] == texts["deleted"] == unknown


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.ENFORCE])
def test_with_its_credential_a_host_gets_the_full_error(store: Store, mode: Mode) -> None:
    site = Site(store, Enforcement({Switch.CREDENTIAL: mode}))
    ids = site.servers()

    def answer_of(fate: str, epoch: int) -> str:
        credential = site.fleet.credentials.issue(ids[fate], epoch)
        [answer] = site.fleet.heartbeat([Heartbeat(ids[fate], credential=credential)])
        return str(answer)

    rejected, banned = answer_of("rejected", 1), answer_of("banned", 1)
    assert rejected.endswith(f"({NAMES['rejected']}) was rejected by an operator: {REASON}")
    assert banned.endswith(f"({NAMES['banned']}) was banned by an operator: {REASON}")
    assert f"by another host manager from {ADDRESS} at " in answer_of("registered again", 1)
    # This server belongs to another machine by then.
    assert ADDRESS not in answer_of("taken over", 1)
