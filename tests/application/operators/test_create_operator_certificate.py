import pytest

from application.operators.create_operator_certificate import CreateOperatorCertificate
from application.ports.certificate_authority import AuthorityExpired
from domain.errors import (
    InvalidField,
    NoCertificatesIssued,
)
from domain.role import Role
from tests.support.builders import NOW
from tests.support.canary_keys import CanaryKeys
from tests.support.operators import DAY, HOUR, REQUEST, Access


@pytest.fixture
def access() -> Access:
    return Access()


def test_a_certificate_is_stored_like_a_key_and_expires_with_its_row(access: Access) -> None:
    usual, certificate = access.create_certificate("ann", Role.VIEWER, None, REQUEST, "bob")
    short, _ = access.create_certificate("ann", Role.VIEWER, HOUR, REQUEST, "bob")

    assert access.list(size=10).keys == [usual, short]
    assert (usual.key_id, usual.created_by) == ("oc-aaaaaaaaaa", "bob")
    assert usual.expires_at == NOW + 90 * DAY
    assert short.expires_at == NOW + HOUR
    ids = [f"spiffe://example.com/operator/{key.key_id}" for key in (usual, short)]
    assert access.authority.issued == [(ids[0], 90 * DAY), (ids[1], HOUR)]
    assert certificate == f"certificate of {ids[0]}"


def test_a_row_expires_no_later_than_the_authority(access: Access) -> None:
    access.authority.expires_at = NOW + HOUR
    key_id = access.certify()

    assert access.list(size=1).keys[0].expires_at == NOW + HOUR
    assert access.authority.issued == [(f"spiffe://example.com/operator/{key_id}", HOUR)]


@pytest.mark.parametrize(
    ("name", "request_", "field_"),
    [("", REQUEST, "name"), ("local", REQUEST, "name"), ("ann", b"no", "signing_request")],
)
def test_an_invalid_request_creates_no_row(
    access: Access, name: str, request_: bytes, field_: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        access.create_certificate(name, Role.VIEWER, None, request_, "bob")

    assert refused.value.field == field_
    assert not access.list(size=1).keys
    assert not access.authority.issued


def test_an_authority_that_cannot_issue_creates_no_row(access: Access) -> None:
    access.authority.error = AuthorityExpired()
    with pytest.raises(AuthorityExpired):
        access.certify()
    with pytest.raises(NoCertificatesIssued):
        CreateOperatorCertificate(access.store, access.clock, CanaryKeys(), None)(
            "ann", Role.ADMIN, None, REQUEST, "bob"
        )

    assert not access.list(size=1).keys
