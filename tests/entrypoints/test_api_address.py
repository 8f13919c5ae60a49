"""How a client finds the API, and whether it speaks TLS with it."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.grpc.tls.trust import Tls
from entrypoints.api.settings import ApiSettings
from entrypoints.api_address import ApiClientSettings
from entrypoints.cli.settings import CliSettings
from entrypoints.failures import ConfigurationError
from entrypoints.host.settings import HostSettings
from tests.support.certificates import CertificateFiles

HOSTS = st.from_regex(r"[a-z][a-z0-9-]{0,20}(\.[a-z]{1,9}){0,3}|10\.0\.[0-9]\.1", fullmatch=True)
HOSTS |= st.sampled_from(["[::1]", "[fe80::1]", "localhost"])


def read(**variables: str) -> ApiClientSettings:
    return CliSettings.load(variables)


def problem(settings: type[ApiClientSettings] = CliSettings, **variables: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        settings.load(variables)
    return str(caught.value)


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    return CertificateFiles(tmp_path).ca_file


@given(
    scheme=st.sampled_from(["", "http://", "https://", "HTTPS://"]),
    host=HOSTS,
    port=st.none() | st.integers(1, 65535) | st.just(443),
    ending=st.sampled_from(["", "/"]),
    use_tls=st.sampled_from(["", "true", "false"]),
)
@example(scheme="", host="api.example.com", port=443, ending="", use_tls="")
def test_an_address_names_the_api_and_decides_whether_to_use_tls(
    scheme: str, host: str, port: int | None, ending: str, use_tls: str
) -> None:
    address = f"{scheme}{host}{'' if port is None else f':{port}'}{ending}"
    says_tls, says_none = scheme.lower() == "https://", scheme == "http://"
    is_whole = (port is not None or says_tls) and (not ending or scheme)
    contradicts = (says_tls and use_tls == "false") or (says_none and use_tls == "true")
    if not is_whole or contradicts:
        message = problem(API_ADDRESS=address, API_USE_TLS=use_tls)
        assert message.startswith("API_USE_TLS" if is_whole else "API_ADDRESS: must be")
        return
    found = read(API_ADDRESS=address, API_USE_TLS=use_tls).api

    assert found.address == f"{host}:{port or 443}"
    by_port = port == 443 and not scheme and not use_tls
    assert (found.tls is not None) is (says_tls or use_tls == "true" or by_port)


def test_an_address_that_contradicts_api_use_tls_is_reported() -> None:
    assert problem(API_ADDRESS="https://api.example.com", API_USE_TLS="false") == (
        "API_USE_TLS is false, but API_ADDRESS begins with https://: unset one, or write"
        " api.example.com:443."
    )
    assert problem(API_ADDRESS="http://localhost:50051", API_USE_TLS="true") == (
        "API_USE_TLS is true, but API_ADDRESS begins with http://: write https://, or unset"
        " API_USE_TLS."
    )


def test_a_client_with_a_ca_file_does_not_connect_without_tls_by_mistake(ca_file: Path) -> None:
    message = problem(API_CA_CERT_PATH=str(ca_file), API_TLS_SERVER_NAME="api")

    assert message == (
        "API_CA_CERT_PATH and API_TLS_SERVER_NAME: without effect, because API_ADDRESS does not use"
        " TLS: set API_ADDRESS to https://localhost:50051, or API_USE_TLS=false to stay without"
        " TLS."
    )
    for way in ({"API_USE_TLS": "false"}, {"API_ADDRESS": "http://localhost:50051"}):
        assert read(API_CA_CERT_PATH=str(ca_file), **way).api.tls is None


@pytest.mark.parametrize("settings", [CliSettings, HostSettings])
def test_the_settings_for_checking_the_certificate_are_read(
    settings: type[ApiClientSettings], ca_file: Path
) -> None:
    variables = {
        "API_ADDRESS": "https://10.0.0.7:8443",
        "API_CA_CERT_PATH": str(ca_file),
        "API_TLS_SERVER_NAME": "api.example.com",
    }
    found = settings.load(variables).api

    assert found.address == "10.0.0.7:8443"
    assert found.tls == Tls(ca_file, "api.example.com")


def test_a_ca_file_is_checked_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    missing = problem(API_ADDRESS="https://api", API_CA_CERT_PATH=str(file))
    file.write_text("no certificate")
    strange = problem(API_ADDRESS="https://api", API_CA_CERT_PATH=str(file))

    cure = "set it to the file of the CA that issues the API's certificate."
    assert missing == f"API_CA_CERT_PATH: {file} cannot be read: {cure}"
    assert strange == f"API_CA_CERT_PATH: {file} holds no PEM certificate: {cure}"


@pytest.mark.parametrize("name", ["https://api", "two words", "api:443", "a..b"])
def test_a_server_name_is_a_name_without_port_or_scheme(name: str) -> None:
    assert problem(API_TLS_SERVER_NAME=name, API_USE_TLS="true") == (
        "API_TLS_SERVER_NAME: must be a host name or an address alone, for example api.example.com."
    )


def test_a_host_with_a_fixed_id_refuses_settings_for_tls(ca_file: Path) -> None:
    message = problem(
        HostSettings,
        SERVER_ID="7",
        RABBITMQ_URL="amqp://nowhere",
        API_USE_TLS="true",
        API_CA_CERT_PATH=str(ca_file),
    )

    assert message.startswith("SERVER_ID is set together with API_USE_TLS and API_CA_CERT_PATH: ")


@pytest.mark.parametrize(
    ("there", "missing"), [("TLS_CERT_PATH", "TLS_KEY_PATH"), ("TLS_KEY_PATH", "TLS_CERT_PATH")]
)
def test_an_api_needs_both_a_certificate_and_its_key_or_neither(there: str, missing: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ApiSettings.load({there: "/nowhere"})

    assert str(caught.value) == (
        f"{missing}: must be set, because {there} is; to use neither, unset both."
    )
    assert not ApiSettings.load({}).speaks_tls
    assert ApiSettings.load({there: "/nowhere", missing: "/nowhere"}).speaks_tls
