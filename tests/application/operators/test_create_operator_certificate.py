"""Who makes an operators' call, by which certificate, and who is given one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from adapters.memory.clock import MemoryClock
from adapters.memory.store import MemoryStore
from application.access.certificates import Certificates
from application.access.identify_operator import IdentifyOperator
from application.join_keys.create_join_key import CreateJoinKey
from application.join_keys.list_join_keys import ListJoinKeys
from application.join_keys.pin_authority import PinAuthority
from application.operators.create_operator_certificate import CreateOperatorCertificate
from application.operators.create_operator_key import CreateOperatorKey
from application.operators.list_operator_keys import ListOperatorKeys
from application.operators.revoke_operator_key import RevokeOperatorKey
from application.ports.certificate_authority import AuthorityExpired
from domain.errors import (
    CertificateNotFromOwnCA,
    InvalidField,
    NoCertificatesIssued,
    OperatorCertificateRefused,
    OperatorKeyRefused,
    OperatorKeyRequired,
)
from domain.join_key import NewJoinKey
from domain.operator_key import Operator
from domain.role import Role
from tests.support.builders import NOW, SECOND
from tests.support.canary_keys import CanaryKeys
from tests.support.canary_secrets import canary
from tests.support.fleet import OPEN

REQUEST = b"a signing request"
DIGEST = "0123456789abcdef" * 4
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass
class FakeAuthority:
    """Notes what it issued."""

    bundle: str = "bundle"
    digest: str = DIGEST
    expires_at: datetime = NOW + 3650 * DAY
    issued: list[tuple[str, timedelta]] = field(default_factory=list)
    trouble: Exception | None = None

    def has_issued(self, chain: bytes) -> bool:
        return chain == b"by this one"

    def check(self, signing_request: bytes) -> None:
        if signing_request != REQUEST:
            raise InvalidField("signing_request", "must be another")

    def issue(
        self, signing_request: bytes, spiffe_id: str, common_name: str, lifetime: timedelta
    ) -> str:
        if self.trouble:
            raise self.trouble
        self.check(signing_request)
        self.issued.append((spiffe_id, lifetime))
        return f"certificate of {spiffe_id}"


class Access:
    def __init__(self, setting: str | None = None) -> None:
        self.store, self.clock = MemoryStore(), MemoryClock(NOW)
        self.authority, new_key = FakeAuthority(), CanaryKeys()
        self.certificates = Certificates(self.authority, "example.com")
        self.create = CreateOperatorCertificate(self.store, self.clock, new_key, self.certificates)
        self.create_key = CreateOperatorKey(self.store, self.clock, new_key)
        self.revoke = RevokeOperatorKey(self.store, self.clock)
        self.list = ListOperatorKeys(self.store)
        self.identify = IdentifyOperator(self.store, self.clock, setting)

    def certify(self, role: Role = Role.ADMIN, expires_in: timedelta | None = None) -> str:
        return self.create("ann", role, expires_in, REQUEST, "bob")[0].key_id

    def who(self, certified_as: str = "", given: str | None = None) -> Operator:
        return self.identify(given, "10.0.0.7", on_this_machine=False, certified_as=certified_as)


@pytest.fixture
def access() -> Access:
    return Access()


@pytest.mark.parametrize("role", Role)
def test_who_shows_a_certificate_has_the_role_of_its_row(access: Access, role: Role) -> None:
    key_id = access.certify(role)

    assert access.who(key_id) == Operator("ann", role, key_id, "10.0.0.7")


def test_a_certificate_is_kept_as_a_key_is_and_ends_with_its_row(access: Access) -> None:
    usual, certificate = access.create("ann", Role.VIEWER, None, REQUEST, "bob")
    short, _ = access.create("ann", Role.VIEWER, HOUR, REQUEST, "bob")

    assert access.list(size=10).keys == [usual, short]
    assert (usual.key_id, usual.created_by) == ("oc-aaaaaaaaaa", "bob")
    assert usual.expires_at == NOW + 90 * DAY
    assert short.expires_at == NOW + HOUR
    ids = [f"spiffe://example.com/operator/{key.key_id}" for key in (usual, short)]
    assert access.authority.issued == [(ids[0], 90 * DAY), (ids[1], HOUR)]
    assert certificate == f"certificate of {ids[0]}"


def test_a_row_ends_with_the_authority_where_that_ends_sooner(access: Access) -> None:
    access.authority.expires_at = NOW + HOUR
    key_id = access.certify()

    assert access.list(size=1).keys[0].expires_at == NOW + HOUR
    assert access.authority.issued == [(f"spiffe://example.com/operator/{key_id}", HOUR)]


def expired(access: Access) -> str:
    key_id = access.certify(expires_in=HOUR)
    access.clock.advance(HOUR)
    return key_id


def revoked(access: Access) -> str:
    key_id = access.certify()
    access.revoke(key_id)
    return key_id


@pytest.mark.parametrize("wrong", [expired, revoked, lambda _: "oc-7777777777"])
def test_whatever_is_wrong_with_a_certificate_the_answer_is_the_same(
    access: Access, wrong: Callable[[Access], str]
) -> None:
    with pytest.raises(OperatorCertificateRefused) as refused:
        access.who(wrong(access))

    assert str(refused.value) == str(OperatorCertificateRefused())


def test_a_certificate_holds_until_its_last_moment(access: Access) -> None:
    key_id = access.certify(expires_in=HOUR)
    access.clock.advance(HOUR - SECOND)

    assert access.who(key_id).name == "ann"

    access.clock.advance(SECOND)

    with pytest.raises(OperatorCertificateRefused):
        access.who(key_id)


def test_a_key_that_is_sent_counts_before_the_certificate(access: Access) -> None:
    key_id = access.certify(Role.ADMIN)
    _, shown = access.create_key("viewer", Role.VIEWER, None, "bob")

    assert access.who(key_id, str(shown)).role is Role.VIEWER
    with pytest.raises(OperatorKeyRefused):
        access.who(key_id, "guess")


@pytest.mark.parametrize("end", ["", ".", ".{digest}", ".{secret}", ".x"])
@pytest.mark.parametrize("kind", ["oc", "ok"])
def test_the_id_of_a_certificate_is_no_key_whatever_stands_behind_it(end: str, kind: str) -> None:
    access = Access(canary("operator key"))
    row, _ = access.create("ann", Role.ADMIN, None, REQUEST, "bob")
    given = f"{kind}{row.key_id[2:]}" + end.format(digest=row.digest, secret=canary("secret a"))

    with pytest.raises(OperatorKeyRefused):
        access.who(given=given)


def test_the_first_certificate_of_an_admin_closes_the_machine(access: Access) -> None:
    access.certify(Role.VIEWER)
    assert access.identify(None, "127.0.0.1", on_this_machine=True).name == "local"

    access.certify(Role.ADMIN)

    with pytest.raises(OperatorKeyRequired):
        access.identify(None, "127.0.0.1", on_this_machine=True)


@pytest.mark.parametrize(
    ("name", "request_", "field_"),
    [("", REQUEST, "name"), ("local", REQUEST, "name"), ("ann", b"no", "signing_request")],
)
def test_what_is_refused_makes_no_row(
    access: Access, name: str, request_: bytes, field_: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        access.create(name, Role.VIEWER, None, request_, "bob")

    assert refused.value.field == field_
    assert not access.list(size=1).keys
    assert not access.authority.issued


def test_an_authority_that_issues_nothing_makes_no_row(access: Access) -> None:
    access.authority.trouble = AuthorityExpired()
    with pytest.raises(AuthorityExpired):
        access.certify()
    with pytest.raises(NoCertificatesIssued):
        CreateOperatorCertificate(access.store, access.clock, CanaryKeys(), None)(
            "ann", Role.ADMIN, None, REQUEST, "bob"
        )

    assert not access.list(size=1).keys


# Pins


def create_join_key(access: Access, pin: Callable[[], str]) -> CreateJoinKey:
    return CreateJoinKey(access.store, access.clock, CanaryKeys(), OPEN, pin)


def test_a_join_key_says_by_which_authority_the_api_is_known_when_it_is_to(
    access: Access,
) -> None:
    create = create_join_key(access, PinAuthority(access.certificates, lambda: b"by this one"))
    pinned, plain = create(NewJoinKey(), "bob", pins_authority=True), create(NewJoinKey(), "bob")

    assert str(pinned.plaintext_key) == f"jk-aaaaaaaaaa.{canary('secret a')}.{DIGEST}"
    assert pinned.key.digest == pinned.plaintext_key.digest
    assert DIGEST not in repr(pinned.key)
    assert plain.plaintext_key.authority_digest == ""


def test_a_pin_of_an_authority_that_did_not_issue_what_is_shown_makes_no_key(
    access: Access,
) -> None:
    chains = iter([b"by another", b"by this one"])
    create = create_join_key(access, PinAuthority(access.certificates, lambda: next(chains)))
    with pytest.raises(CertificateNotFromOwnCA):
        create(NewJoinKey(), "bob", pins_authority=True)
    with pytest.raises(NoCertificatesIssued):
        create_join_key(access, PinAuthority(None, lambda: b""))(
            NewJoinKey(), "bob", pins_authority=True
        )
    assert not ListJoinKeys(access.store)(size=1).keys

    # The one that is shown now counts.
    assert create(NewJoinKey(), "bob", pins_authority=True).plaintext_key.authority_digest == DIGEST
