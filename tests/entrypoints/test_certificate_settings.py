"""Settings about certificates that do not go together, of the API and of the command."""

from pathlib import Path

import pytest

from domain.enforcement import Switch
from entrypoints.api.settings import ApiSettings
from entrypoints.api.tls import read_certificates
from entrypoints.cli.settings import CliSettings
from entrypoints.failures import ConfigurationError
from entrypoints.settings import Settings
from tests.support.certified import Site

TLS = {"TLS_CERT_PATH": "/x/tls.crt", "TLS_KEY_PATH": "/x/tls.key"}
CA = {"CA_CERT_PATH": "/x/ca.crt", "CA_KEY_PATH": "/x/ca.key"}
BOTH = {**TLS, **CA}


def problem(settings: type[Settings], variables: dict[str, str]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        settings.load(variables)
    return str(caught.value)


def test_an_api_without_a_ca_has_no_mutual_tls_port() -> None:
    assert ApiSettings.load({}).mutual_tls_address == ""
    assert ApiSettings.load(TLS).mutual_tls_port == 0
    assert read_certificates(ApiSettings.load(TLS)) is None


def test_the_mutual_tls_port_is_the_next_one_unless_another_is_set() -> None:
    after = ApiSettings.load({**BOTH, "LISTEN_ADDRESS": "[::1]:443"})
    another = ApiSettings.load({**BOTH, "MTLS_LISTEN_ADDRESS": "0.0.0.0:8443"})

    assert (after.mutual_tls_address, after.mutual_tls_port) == ("[::1]:444", 444)
    assert (another.mutual_tls_address, another.mutual_tls_port) == ("0.0.0.0:8443", 8443)


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        (
            {**TLS, "CA_CERT_PATH": "/x"},
            "CA_KEY_PATH: must be set, because CA_CERT_PATH is; to use neither, unset both.",
        ),
        (
            {**TLS, "CA_KEY_PATH": "/x"},
            "CA_CERT_PATH: must be set, because CA_KEY_PATH is; to use neither, unset both.",
        ),
        (
            CA,
            (
                "TLS_CERT_PATH: must be set, because CA_CERT_PATH is, and clients present their"
                " certificates over TLS."
            ),
        ),
        (
            {**TLS, "MTLS_LISTEN_ADDRESS": "0.0.0.0:50052"},
            (
                "MTLS_LISTEN_ADDRESS: has no effect without CA_CERT_PATH: set CA_CERT_PATH, or"
                " unset MTLS_LISTEN_ADDRESS."
            ),
        ),
        (
            {"TRUST_DOMAIN": "example.com"},
            (
                "TRUST_DOMAIN: has no effect without CA_CERT_PATH: set CA_CERT_PATH, or unset"
                " TRUST_DOMAIN."
            ),
        ),
        *(
            (
                {"ENFORCEMENT": f"certificate={mode}"},
                (
                    "ENFORCEMENT: certificate needs hosts with certificates, but this API issues"
                    " none: set CA_CERT_PATH and CA_KEY_PATH, or remove certificate."
                ),
            )
            for mode in ("warn", "enforce")
        ),
        (
            {**BOTH, "LISTEN_ADDRESS": "127.0.0.1:65535"},
            (
                "MTLS_LISTEN_ADDRESS: must be set, because no port follows that of LISTEN_ADDRESS,"
                " 127.0.0.1:65535."
            ),
        ),
        (
            {**BOTH, "MTLS_LISTEN_ADDRESS": "127.0.0.1:50051"},
            "MTLS_LISTEN_ADDRESS: must differ from LISTEN_ADDRESS, which is 127.0.0.1:50051.",
        ),
        (
            {
                **BOTH,
                "HOST_CERTIFICATE_LIFETIME_SECONDS": "239",
                "HEARTBEAT_INTERVAL_SECONDS": "60",
            },
            (
                "HOST_CERTIFICATE_LIFETIME_SECONDS is 239, but a certificate is renewed between"
                " heartbeats: set it to four times HEARTBEAT_INTERVAL_SECONDS or more."
            ),
        ),
    ],
)
def test_contradicting_settings_are_reported_in_one_sentence(
    variables: dict[str, str], sentence: str
) -> None:
    assert problem(ApiSettings, variables) == sentence


@pytest.mark.parametrize("mode", ["off", "warn", "enforce"])
def test_certificates_can_be_enforced_if_there_is_a_ca(mode: str) -> None:
    loaded = ApiSettings.load({**BOTH, "ENFORCEMENT": f"certificate={mode}"})

    assert loaded.enforcement.of(Switch.CERTIFICATE) == mode


@pytest.mark.parametrize("name", ["Example.com", "a/b", "a b", "x" * 256, "spiffe://x"])
def test_an_invalid_trust_domain_is_refused(name: str) -> None:
    assert problem(ApiSettings, {**BOTH, "TRUST_DOMAIN": name}).startswith("TRUST_DOMAIN: ")


def test_an_api_with_an_unusable_ca_does_not_start(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.ca_key.write_text("no")
    with pytest.raises(ConfigurationError, match=f"^CA_KEY_PATH {site.ca_key} contains no PEM"):
        read_certificates(ApiSettings.load(site.variables))


# The command's


def test_one_file_holds_certificate_and_key_unless_a_key_file_is_set() -> None:
    variables = {"API_ADDRESS": "https://api:50052", "API_CLIENT_CERT_PATH": "/x/ann.pem"}
    one = CliSettings.load(variables).api.tls
    two = CliSettings.load({**variables, "API_CLIENT_KEY_PATH": "/x/ann.key"}).api.tls
    none = CliSettings.load({"API_ADDRESS": "https://api:50052"}).api.tls

    assert one
    assert one.client
    assert one.client.certificate_file == one.client.key_file == Path("/x/ann.pem")
    assert two
    assert two.client
    assert two.client.key_file == Path("/x/ann.key")
    assert none
    assert none.client is None


def test_a_client_certificate_without_tls_is_refused() -> None:
    for variables in (
        {},
        {"API_USE_TLS": "false"},
        {"API_ADDRESS": "http://localhost:50051"},
    ):
        assert problem(CliSettings, {**variables, "API_CLIENT_CERT_PATH": "/x"}) == (
            "API_CLIENT_CERT_PATH: has no effect because API_ADDRESS does not use TLS; set"
            " API_ADDRESS to https://localhost:50051."
        )


def test_a_client_key_without_its_certificate_is_refused() -> None:
    assert problem(CliSettings, {"API_CLIENT_KEY_PATH": "/x"}) == (
        "API_CLIENT_KEY_PATH: has no effect without API_CLIENT_CERT_PATH; set that too, or unset"
        " this."
    )
