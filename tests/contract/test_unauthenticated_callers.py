"""What somebody is told who shows neither a key nor the credential of the server in question."""

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
    became: f"{NAME} {became}"
    for became in (
        *("online", "offline", "waiting", "rejected", "banned", "deleted"),
        *("registered again", "taken over"),
    )
}
UNKNOWN = 4711
# Another machine than has the name, and who says nothing of itself.
CLAIMANTS = (ELSEWHERE, NO_EVIDENCE)


class Site:
    """Servers of which a stranger may guess the id, and the fleet that they are in."""

    def __init__(self, store: Store, enforcement: Enforcement) -> None:
        self.fleet = fleet = Fleet(store, rules=RegistrationRules(enforcement=enforcement))
        authenticate_host = replace(admitting_keys(SHARED), credentials=fleet.credentials)
        fleet.register = replace(fleet.register, authenticate_host=authenticate_host)
        fleet.deregister = replace(fleet.deregister, authenticate_host=authenticate_host)
        self.fetch = FetchConfiguration(fleet.store, fleet.clock, authenticate_host, fleet.rules)
        self.of_another = self.join("another").credential
        self.expired = HostCredentials(fleet.store, fleet.clock, new_serial, timedelta(0))

    def join(self, name: str, key: str = SHARED, process: int = 1) -> Registered:
        """Each from a machine of its own."""
        who = evidence(f"disk {name}", f"board {name}", f"boot {name}", f"process {process}")
        return self.fleet.register(
            Registration(name, registration_key=key, evidence=who, address=ADDRESS)
        )

    def servers(self) -> dict[str, int]:
        """By what became of them."""
        fleet = self.fleet
        ids = {became: self.join(name).server.server_id for became, name in NAMES.items()}
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
        """Which are no good one of this server."""
        forged = f"{self.fleet.credentials.issue(server_id, 1)}x"
        return ["", forged, self.of_another, self.expired.issue(server_id, 1)]

    def wrong_keys(self) -> list[str]:
        """Which speak for none of these servers."""
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


def said(answer: object, server_id: int) -> object:
    """All that reaches a caller of an answer, over any transport, but for the id that it named."""
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
    told = {
        became: [said(answer, server_id) for answer in heartbeats(site, server_id)]
        for became, server_id in site.servers().items()
    }

    assert {str(CredentialRequired(UNKNOWN))} == {
        str(answer) for answer in heartbeats(site, UNKNOWN)
    }
    for became, answers in told.items():
        assert answers == told["unknown"], became


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

    told = {
        became: [
            answer_to(call)
            for key, credential in [
                *((key, "") for key in keys),
                *((keys[1], credential) for credential in site.credentials(server_id)),
            ]
            for call in calls(server_id, key, credential)
        ]
        for became, server_id in servers.items()
    }

    assert {type(answer) for answer in told["unknown"]} == {InvalidRegistrationKey, JoinKeyRefused}
    for became, answers in told.items():
        assert [said(answer, servers[became]) for answer in answers] == [
            said(answer, UNKNOWN) for answer in told["unknown"]
        ], became


def test_without_a_key_a_registration_does_not_reveal_which_names_exist(store: Store) -> None:
    site = Site(store, ENFORCE_ALL)
    site.servers()
    shown = [*((key, "") for key in site.wrong_keys()), ("", site.of_another)]

    def told(name: str) -> list[object]:
        return [
            said(
                answer_to(
                    partial(
                        site.fleet.register,
                        Registration(
                            name, registration_key=key, evidence=who, credential=credential
                        ),
                    )
                ),
                0,
            )
            for (key, credential), who in product(shown, CLAIMANTS)
        ]

    of_nobody = told("nobody")
    for name in NAMES.values():
        assert told(name) == of_nobody, name


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.WARN])
def test_without_the_credential_no_heartbeat_reveals_a_name_an_address_or_a_reason(
    store: Store, mode: Mode
) -> None:
    site = Site(store, Enforcement({Switch.CREDENTIAL: mode}))
    told = {
        became: " ".join(str(said(answer, server_id)) for answer in heartbeats(site, server_id))
        for became, server_id in site.servers().items()
    }

    for became, answers in told.items():
        for hidden in (NAME, ADDRESS, REASON, f"{NOW + SECOND:%H:%M}"):
            assert hidden not in answers, became
    assert "was registered again by another host manager: stop one of" in told["taken over"]
    # As where there is no such server.
    unknown = " ".join(str(said(answer, UNKNOWN)) for answer in heartbeats(site, UNKNOWN))
    assert told["rejected"] == told["banned"] == told["deleted"] == unknown


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.ENFORCE])
def test_with_its_credential_a_host_gets_the_full_error(store: Store, mode: Mode) -> None:
    site = Site(store, Enforcement({Switch.CREDENTIAL: mode}))
    ids = site.servers()

    def told(became: str, epoch: int) -> str:
        credential = site.fleet.credentials.issue(ids[became], epoch)
        [answer] = site.fleet.heartbeat([Heartbeat(ids[became], credential=credential)])
        return str(answer)

    assert told("rejected", 1).endswith(
        f"({NAMES['rejected']}) was rejected by an operator: {REASON}"
    )
    assert told("banned", 1).endswith(f"({NAMES['banned']}) was banned by an operator: {REASON}")
    assert f"by another host manager from {ADDRESS} at " in told("registered again", 1)
    # Which is another one's by then.
    assert ADDRESS not in told("taken over", 1)
