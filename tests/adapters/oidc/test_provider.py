"""An OIDC provider that is asked over HTTP, and its wrong answers."""

import logging
from pathlib import Path
from typing import Any

import pytest

from adapters.oidc.provider import OidcProvider, ProviderUnusable
from application.ports.operator_tokens import ProviderUnavailable
from entrypoints.api.oidc import make_provider
from entrypoints.api.settings import ApiSettings
from tests.support.certificates import CertificateFiles
from tests.support.oidc_provider import (
    DISCOVERY,
    KEYS,
    Provider,
    provider,
    published,
)
from tests.support.token_verifier import Verifier


def redirected(idp: Provider) -> None:
    idp.answers[KEYS] = 302


def huge(idp: Provider) -> None:
    idp.answers[KEYS] = {"keys": idp.keys, "padding": "x" * 1024 * 1024}


def not_json(idp: Provider) -> None:
    idp.answers[KEYS] = b"<html>"


def too_deep(idp: Provider) -> None:
    idp.answers[KEYS] = b"[" * 100_000


def a_list(idp: Provider) -> None:
    idp.answers[KEYS] = [1]


def no_keys(idp: Provider) -> None:
    idp.keys = []


def keys_in_no_list(idp: Provider) -> None:
    idp.answers[KEYS] = {"keys": "first"}


def many_keys(idp: Provider) -> None:
    idp.keys = idp.keys * 101


def only_secrets(idp: Provider) -> None:
    idp.keys = [{"kty": "oct", "k": "c2VjcmV0"}]


def of_another_issuer(idp: Provider) -> None:
    idp.answers[DISCOVERY] = {"issuer": f"{idp.issuer}/", "jwks_uri": f"{idp.url}{KEYS}"}


def keys_without_tls(idp: Provider) -> None:
    idp.answers[DISCOVERY] = {"issuer": idp.issuer, "jwks_uri": "http://id.example.com/keys"}


def keys_nowhere(idp: Provider) -> None:
    idp.answers[DISCOVERY] = {"issuer": idp.issuer}


def truncated(idp: Provider) -> None:
    def send(request: Any) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        request.wfile.write(b"{")
        request.close_connection = True

    idp.answers[KEYS] = send


@pytest.mark.parametrize(
    ("break_provider", "problem"),
    [
        (redirected, "/realms/fleet/keys answers with HTTP status 302"),
        (huge, "/realms/fleet/keys answers with more than 1 MiB"),
        (not_json, "/realms/fleet/keys is not JSON;"),
        (too_deep, "/realms/fleet/keys is not JSON;"),
        (a_list, "/realms/fleet/keys is not a JSON object"),
        (keys_in_no_list, "/realms/fleet/keys is not a JSON Web Key Set"),
        (many_keys, "/realms/fleet/keys has more than 100 keys"),
        (no_keys, "has no key for the algorithms RS256"),
        (only_secrets, "has no key for the algorithms RS256"),
        (of_another_issuer, "/realms/fleet/', and OIDC_ISSUER must be the same;"),
        (keys_without_tls, "openid-configuration must be https://"),
        (keys_nowhere, "openid-configuration must be https://"),
        (truncated, "/realms/fleet/keys cannot be reached"),
    ],
)
def test_a_wrong_answer_of_the_provider_admits_no_token_and_is_logged(
    idp: Provider,
    verifier: Verifier,
    caplog: pytest.LogCaptureFixture,
    break_provider: Any,
    problem: str,
) -> None:
    break_provider(idp)
    with pytest.raises(ProviderUnavailable):
        verifier.claims(idp.token())

    [warning] = [each.message for each in caplog.records if each.levelno >= logging.WARNING]
    assert problem in warning
    assert warning.endswith("until then all of its tokens are refused")
    assert "/elsewhere" not in idp.asked


def test_the_url_of_the_keys_can_be_set(idp: Provider) -> None:
    verifier = Verifier(idp, jwks_url=f"{idp.url}/elsewhere?version=2")
    idp.answers["/elsewhere?version=2"] = {"keys": [published("ES256", "first")]}

    assert verifier.accepts(idp.token("ES256"))
    assert idp.asked == ["/elsewhere?version=2"]


def test_the_certificate_of_the_provider_is_checked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = CertificateFiles(tmp_path)
    files.issue("127.0.0.1")
    with provider(files) as idp:
        assert Verifier(idp, ca_file=files.ca_file).accepts(idp.token())
        with pytest.raises(ProviderUnavailable):
            Verifier(idp).claims(idp.token())
        with pytest.raises(ProviderUnavailable):
            Verifier(idp, ca_file=tmp_path / "gone").claims(idp.token())

    assert "presents no trusted certificate (OIDC_CA_CERT_PATH)" in caplog.text
    assert "the file at OIDC_CA_CERT_PATH cannot be read" in caplog.text


def test_a_ca_that_the_machine_trusts_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = CertificateFiles(tmp_path)
    files.issue("127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(files.ca_file))
    with provider(files) as idp:
        [key] = make_provider(ApiSettings.load(idp.variables)).keys()

    assert key.key_id == "first"


def test_a_provider_on_this_machine_is_asked_without_a_proxy(
    idp: Provider, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert verifier.accepts(idp.token())


def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    files = CertificateFiles(tmp_path)
    files.issue("id.example.com")
    with provider(files) as idp, pytest.raises(ProviderUnavailable):
        Verifier(idp, ca_file=files.ca_file).claims(idp.token())


def test_the_error_of_a_provider_names_the_url_and_the_status(idp: Provider) -> None:
    idp.answers[DISCOVERY] = 404
    with pytest.raises(ProviderUnusable, match=f"^{idp.url}{DISCOVERY} answers with HTTP status"):
        OidcProvider(idp.issuer).keys()
