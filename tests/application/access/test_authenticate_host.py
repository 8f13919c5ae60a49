"""Which callers may act for a server, by its credential, its certificate or a key."""

from dataclasses import replace

import pytest

from adapters.memory.store import MemoryStore
from application.access.authenticate_host import AuthenticateHost, check_certified_as
from application.registration.register_server import Registered, Registration
from domain.enforcement import ENFORCE_ALL, Enforcement, Mode, Switch
from domain.errors import (
    CertificateMismatch,
    InvalidRegistrationKey,
    JoinKeyRefused,
    ServerNotFound,
)
from domain.join_key import NewJoinKey
from domain.keys import PlaintextKey
from domain.server import Server
from domain.spiffe import NOT_CERTIFIED, Certified
from tests.support.builders import NOW
from tests.support.canary_secrets import canary
from tests.support.fleet import Fleet

SHARED = canary("registration key")
WEB_KEY = PlaintextKey("jk-aaaaaaaaaa", canary("join key"))
DB_KEY = PlaintextKey("jk-bbbbbbbbbb", canary("another join key"))


class Callers:
    """An API with a shared key and two join keys. Server 1 joined with one of these, server 2 with
    the other."""

    def __init__(self) -> None:
        self.fleet = Fleet(MemoryStore())
        self.authenticate = AuthenticateHost(
            lambda: [SHARED], key_required=True, credentials=self.fleet.credentials
        )
        self.register = replace(self.fleet.register, authenticate_host=self.authenticate)
        with self.fleet.store.begin() as transaction:
            for key in (WEB_KEY, DB_KEY):
                transaction.join_keys.add(NewJoinKey().key(key.key_id, key.digest, NOW, "ann"))
        self.web = self.join("web", WEB_KEY)
        self.db = self.join("db", DB_KEY)

    def join(self, name: str, key: PlaintextKey) -> Registered:
        return self.register(Registration(name, registration_key=str(key)))

    def server(
        self,
        server_id: int,
        key: str = "",
        credential: str = "",
        certified_as: Certified = NOT_CERTIFIED,
        enforcement: Enforcement = ENFORCE_ALL,
    ) -> Server:
        principal = self.authenticate.principal(server_id, key, credential, certified_as)
        with self.fleet.store.begin() as transaction:
            return principal.server(transaction, enforcement)


@pytest.fixture
def callers() -> Callers:
    return Callers()


def test_a_caller_acts_for_a_server_with_each_proof_of_its_own(callers: Callers) -> None:
    web = callers.fleet.get(1)

    assert callers.server(1, credential=callers.web.credential) == web
    assert callers.server(1, certified_as=Certified(server_id=1)) == web
    assert callers.server(1, certified_as=Certified(server_id=1, epoch=1)) == web
    assert callers.server(1, str(WEB_KEY)) == web
    assert callers.server(1, SHARED) == web
    # What is wrong beside a right key does not matter.
    assert callers.server(1, SHARED, callers.db.credential) == web
    assert callers.server(1, str(WEB_KEY), "hc.forged.forged") == web


@pytest.mark.parametrize(
    "key",
    [
        "",
        "wrong",
        str(DB_KEY),
        f"{WEB_KEY.key_id}.{DB_KEY.secret}",
        f"jk-cccccccccc.{WEB_KEY.secret}",
    ],
)
@pytest.mark.parametrize("server_id", [1, 4711])
def test_any_other_key_is_refused_whether_the_server_exists_or_not(
    callers: Callers, key: str, server_id: int
) -> None:
    for credential in ("", "hc.forged.forged", callers.db.credential):
        with pytest.raises(InvalidRegistrationKey):
            callers.server(server_id, key, credential)


def test_a_caller_with_a_shared_key_may_learn_that_a_server_does_not_exist(
    callers: Callers,
) -> None:
    with pytest.raises(ServerNotFound):
        callers.server(4711, SHARED)


def test_a_revoked_key_is_refused_as_such(callers: Callers) -> None:
    with callers.fleet.store.begin() as transaction:
        key = transaction.join_keys.get(WEB_KEY.key_id)
        transaction.join_keys.save(replace(key, revoked_at=NOW))

    with pytest.raises(JoinKeyRefused, match="was revoked"):
        callers.server(1, str(WEB_KEY))
    assert callers.server(1, str(WEB_KEY), callers.web.credential).server_id == 1


def test_the_certificate_of_another_server_is_refused_whatever_else_is_presented(
    callers: Callers,
) -> None:
    with pytest.raises(CertificateMismatch) as refused:
        callers.server(1, SHARED, callers.web.credential, Certified(server_id=2))

    assert str(refused.value) == str(CertificateMismatch(2, 1))
    check_certified_as(NOT_CERTIFIED, 1)
    check_certified_as(Certified(server_id=1), 1)
    check_certified_as(Certified(key_id="oc-aaaaaaaaaa"), 1)


def test_after_a_later_registration_only_a_key_that_admits_helps(callers: Callers) -> None:
    earlier = callers.web
    later = callers.join("web", WEB_KEY)
    certified_as = Certified(server_id=1, epoch=1)

    for key in ("", "wrong", str(DB_KEY)):
        with pytest.raises(InvalidRegistrationKey):
            callers.server(1, key, earlier.credential)
        with pytest.raises(InvalidRegistrationKey):
            callers.server(1, key, certified_as=certified_as)
    for key in (SHARED, str(WEB_KEY)):
        assert callers.server(1, key, earlier.credential).epoch == 2
    assert callers.server(1, credential=later.credential).epoch == 2


@pytest.mark.parametrize("mode", [Mode.WARN, Mode.OFF])
def test_where_epochs_are_not_enforced_an_earlier_credential_still_counts(
    callers: Callers, mode: Mode
) -> None:
    callers.join("web", WEB_KEY)
    enforcement = Enforcement({Switch.EPOCH: mode})

    server = callers.server(1, credential=callers.web.credential, enforcement=enforcement)
    assert server.epoch == 2


def test_without_credentials_none_are_issued_and_none_count(callers: Callers) -> None:
    server = callers.fleet.get(1)
    without = replace(callers.authenticate, credentials=None)

    assert without.issue_credential(server) == ""
    assert without.proof_of_identity(callers.web.credential) is None
    proof = callers.authenticate.proof_of_identity(callers.authenticate.issue_credential(server))
    assert proof
    assert (proof.server_id, proof.epoch) == (1, 1)


def test_a_credential_beside_the_certificate_of_its_server_is_the_proof(callers: Callers) -> None:
    credential = callers.web.credential
    prove = callers.authenticate.proof_of_identity
    both, other = prove(credential, Certified(server_id=1)), Certified(server_id=2, epoch=5)
    with_certificate = prove(credential, other)

    assert both
    assert both.serial
    # The certificate alone says which server the host is.
    assert with_certificate
    assert (with_certificate.server_id, with_certificate.epoch) == (2, 5)
    assert with_certificate.serial == ""


@pytest.mark.parametrize(
    ("keys", "key_required", "is_open"),
    [((), False, True), ((), True, False), ((SHARED,), False, False), ((SHARED,), True, False)],
)
def test_registration_is_open_without_any_key(
    keys: tuple[str, ...], key_required: bool, is_open: bool
) -> None:
    assert AuthenticateHost(lambda: keys, key_required).is_open_registration is is_open
