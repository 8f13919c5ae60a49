from collections.abc import Callable

import pytest

from application.join_keys.create_join_key import CreateJoinKey
from application.join_keys.list_join_keys import ListJoinKeys
from application.join_keys.pin_authority import PinAuthority
from domain.errors import (
    CertificateNotFromOwnCA,
    NoCertificatesIssued,
)
from domain.join_key import NewJoinKey
from tests.support.canary_keys import CanaryKeys
from tests.support.canary_secrets import canary
from tests.support.fleet import OPEN
from tests.support.operators import DIGEST, Access


@pytest.fixture
def access() -> Access:
    return Access()


def create_join_key(access: Access, pin: Callable[[], str]) -> CreateJoinKey:
    return CreateJoinKey(access.store, access.clock, CanaryKeys(), OPEN, pin)


def test_a_join_key_names_the_apis_authority_if_it_is_asked_to(
    access: Access,
) -> None:
    create = create_join_key(access, PinAuthority(access.certificates, lambda: b"by this one"))
    pinned, plain = create(NewJoinKey(), "bob", pins_authority=True), create(NewJoinKey(), "bob")

    assert str(pinned.plaintext_key) == f"jk-aaaaaaaaaa.{canary('secret a')}.{DIGEST}"
    assert pinned.key.digest == pinned.plaintext_key.digest
    assert DIGEST not in repr(pinned.key)
    assert plain.plaintext_key.authority_digest == ""


def test_no_key_is_created_if_the_authority_did_not_issue_the_apis_certificate(
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

    # The present certificate counts.
    assert create(NewJoinKey(), "bob", pins_authority=True).plaintext_key.authority_digest == DIGEST
