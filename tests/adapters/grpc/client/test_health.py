from collections.abc import Sequence

import pytest

from adapters.grpc.client.health import NotServing, check_own_serving
from tests.support.certificates import CertificateFiles, without_tls
from tests.support.tls_api import api_over_tls


@pytest.mark.parametrize("names", [["127.0.0.1"], ["api.example.com"], ["*.example.com"]])
def test_an_api_can_check_its_own_health_whatever_names_its_certificate_has(
    files: CertificateFiles, names: Sequence[str]
) -> None:
    files.issue(*names)
    with api_over_tls(files) as (_, address):
        check_own_serving(address, over_tls=True)


def test_an_api_whose_tls_differs_from_the_settings_is_unhealthy(
    files: CertificateFiles,
) -> None:
    with api_over_tls(files) as (_, address), pytest.raises(NotServing) as tls_there:
        check_own_serving(address, over_tls=False)
    with without_tls() as address, pytest.raises(NotServing) as none_there:
        check_own_serving(address, over_tls=True)

    fix = "check TLS_CERT_PATH and TLS_KEY_PATH, here and where the API was started"
    assert str(tls_there.value) == f"requires TLS: {fix}"
    assert str(none_there.value) == f"does not use TLS: {fix}"
