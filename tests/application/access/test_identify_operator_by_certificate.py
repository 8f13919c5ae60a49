"""Which operator makes a call, by the certificate that it presents."""

from collections.abc import Callable

import pytest

from domain.errors import (
    OperatorCertificateRefused,
    OperatorKeyRefused,
    OperatorKeyRequired,
)
from domain.operator_key import Operator
from domain.role import Role
from tests.support.builders import SECOND
from tests.support.canary_secrets import canary
from tests.support.operators import HOUR, REQUEST, Access


@pytest.fixture
def access() -> Access:
    return Access()


@pytest.mark.parametrize("role", Role)
def test_a_certificate_identifies_an_operator_with_the_role_of_its_row(
    access: Access, role: Role
) -> None:
    key_id = access.certify(role)

    assert access.identify_certified(key_id) == Operator("ann", role, key_id, "10.0.0.7")


def expired(access: Access) -> str:
    key_id = access.certify(expires_in=HOUR)
    access.clock.advance(HOUR)
    return key_id


def revoked(access: Access) -> str:
    key_id = access.certify()
    access.revoke(key_id)
    return key_id


@pytest.mark.parametrize("wrong", [expired, revoked, lambda _: "oc-7777777777"])
def test_every_invalid_certificate_gets_the_same_answer(
    access: Access, wrong: Callable[[Access], str]
) -> None:
    with pytest.raises(OperatorCertificateRefused) as refused:
        access.identify_certified(wrong(access))

    assert str(refused.value) == str(OperatorCertificateRefused())


def test_a_certificate_is_valid_until_it_expires(access: Access) -> None:
    key_id = access.certify(expires_in=HOUR)
    access.clock.advance(HOUR - SECOND)

    assert access.identify_certified(key_id).name == "ann"

    access.clock.advance(SECOND)

    with pytest.raises(OperatorCertificateRefused):
        access.identify_certified(key_id)


def test_a_key_takes_precedence_over_the_certificate(access: Access) -> None:
    key_id = access.certify(Role.ADMIN)
    _, plaintext_key = access.create("viewer", Role.VIEWER, None, "bob")

    assert access.identify_certified(key_id, str(plaintext_key)).role is Role.VIEWER
    with pytest.raises(OperatorKeyRefused):
        access.identify_certified(key_id, "guess")


@pytest.mark.parametrize("end", ["", ".", ".{digest}", ".{secret}", ".x"])
@pytest.mark.parametrize("kind", ["oc", "ok"])
def test_the_id_of_a_certificate_is_never_accepted_as_a_key(end: str, kind: str) -> None:
    access = Access(canary("operator key"))
    row, _ = access.create_certificate("ann", Role.ADMIN, None, REQUEST, "bob")
    presented_key = f"{kind}{row.key_id[2:]}" + end.format(
        digest=row.digest, secret=canary("secret a")
    )

    with pytest.raises(OperatorKeyRefused):
        access.identify_certified(presented_key=presented_key)


def test_the_first_admins_certificate_closes_the_machine(access: Access) -> None:
    access.certify(Role.VIEWER)
    assert access.identify(None, "127.0.0.1", on_this_machine=True).name == "local"

    access.certify(Role.ADMIN)

    with pytest.raises(OperatorKeyRequired):
        access.identify(None, "127.0.0.1", on_this_machine=True)
