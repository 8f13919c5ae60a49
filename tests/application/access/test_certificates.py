from datetime import timedelta

import pytest

from application.access.certificates import Certificates
from domain.errors import InvalidField
from tests.support.builders import NOW, SECOND
from tests.support.operators import DAY, HOUR, REQUEST, FakeAuthority


def test_certificates_name_the_server_and_its_registration() -> None:
    authority = FakeAuthority()
    certificates = Certificates(authority, "example.com", host_lifetime=HOUR)

    assert certificates.of_server(42, 7, REQUEST) == "certificate of spiffe://example.com/server/42"
    assert authority.issued == [("spiffe://example.com/server/42", HOUR)]
    assert authority.common_names == ["server 42 epoch 7"]


def test_certificates_name_the_key_of_an_operator() -> None:
    authority = FakeAuthority()
    Certificates(authority).of_operator("oc-aaaaaaaaaa", REQUEST, DAY)

    assert authority.issued == [("spiffe://manmanv2/operator/oc-aaaaaaaaaa", DAY)]
    assert authority.common_names == ["oc-aaaaaaaaaa"]


def test_hosts_get_certificates_for_a_day_by_default() -> None:
    authority = FakeAuthority()
    Certificates(authority).of_server(1, 1, REQUEST)

    assert authority.issued == [("spiffe://manmanv2/server/1", timedelta(hours=24))]


def test_a_signing_request_is_checked_without_issuing_anything() -> None:
    authority = FakeAuthority()
    certificates = Certificates(authority)
    certificates.check(REQUEST)
    with pytest.raises(InvalidField):
        certificates.check(b"no request")

    assert not authority.issued


@pytest.mark.parametrize(
    ("left", "warning"),
    [
        (30 * DAY + SECOND, ""),
        (30 * DAY, "issues nothing after 2026-03-30"),
        (DAY, "issues nothing after 2026-03-01"),
        (-DAY, "issues nothing after 2026-02-27"),
    ],
)
def test_an_authority_that_expires_within_thirty_days_is_warned_of(
    left: timedelta, warning: str
) -> None:
    certificates = Certificates(FakeAuthority(expires_at=NOW + left))

    assert certificates.expiry_warning(NOW) == warning
