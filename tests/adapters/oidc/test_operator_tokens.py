"""Verification of the tokens of an OIDC provider, whose keys are fetched over HTTP."""

import base64
import hashlib
import hmac
import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from adapters.oidc.jwks_cache import COOL_DOWN_SECONDS, FRESH_SECONDS, JwksCache
from adapters.oidc.operator_tokens import MAX_TOKEN_LENGTH, OidcOperatorTokens
from adapters.oidc.provider import OidcProvider, ProviderTooSlow, ProviderUnusable
from adapters.oidc.url import checked_url
from adapters.oidc.verifying_key import ALGORITHMS, verifying_keys
from adapters.system.call_with_timeout import CallWithTimeout
from application.ports.operator_tokens import ProviderUnavailable
from entrypoints.api.oidc import make_provider
from entrypoints.api.settings import ApiSettings
from tests.support.certificates import CertificateFiles
from tests.support.oidc_provider import (
    AUDIENCE,
    DISCOVERY,
    KEYS,
    Provider,
    private_key,
    provider,
    published,
)

TIMEOUT_SECONDS = 10.0


@dataclass
class Verifier:
    """Verifies tokens as the API does, at a time that the test sets."""

    provider: Provider
    jwks_url: str = ""
    ca_file: Path | None = None
    timeout_seconds: float = TIMEOUT_SECONDS
    now: float = 1000.0
    keys: JwksCache = field(init=False)
    tokens: OidcOperatorTokens = field(init=False)

    def __post_init__(self) -> None:
        issuer = self.provider.issuer
        provider = OidcProvider(issuer, self.jwks_url, self.ca_file)
        fetch = CallWithTimeout(provider.keys, self.timeout_seconds, ProviderTooSlow)
        self.keys = JwksCache(issuer, fetch, lambda: self.now)
        self.tokens = OidcOperatorTokens(self.keys, issuer, AUDIENCE)

    def claims(self, token: str) -> Mapping[str, object] | None:
        return self.tokens.claims(token)

    def accepts(self, token: str) -> bool:
        return self.claims(token) is not None

    @property
    def fetches(self) -> int:
        return self.provider.asked.count(KEYS)


@pytest.fixture(autouse=True)
def _log_everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


@pytest.fixture
def idp() -> Iterator[Provider]:
    with provider() as running:
        yield running


@pytest.fixture
def verifier(idp: Provider) -> Verifier:
    return Verifier(idp)


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_a_token_may_be_signed_with_each_of_the_algorithms(
    idp: Provider, verifier: Verifier, algorithm: str
) -> None:
    idp.keys = [published("RS256", "other", 1), published(algorithm, "mine")]
    claims = verifier.claims(idp.token(algorithm, "mine", role="viewer"))

    assert claims
    assert (claims["sub"], claims["role"]) == ("5f2a-ann", "viewer")
    assert idp.asked == [DISCOVERY, KEYS]


def test_a_token_for_several_audiences_is_accepted(idp: Provider, verifier: Verifier) -> None:
    assert verifier.accepts(idp.token(aud=["account", AUDIENCE]))


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://elsewhere.example/realms/fleet"},
        {"aud": "account"},
        {"aud": ["account", "other"]},
        {"aud": [AUDIENCE, 7]},
        {"aud": AUDIENCE.upper()},
        {"aud": {AUDIENCE: True}},
        {"exp": 1},
        {"exp": "soon"},
        {"exp": 0},
        {"exp": None},
        {"nbf": 2**40},
        {"nbf": "later"},
        {"iat": 2**40},
    ],
    ids=str,
)
def test_wrong_claims_are_refused(
    idp: Provider, verifier: Verifier, claims: dict[str, Any]
) -> None:
    assert verifier.accepts(idp.token())

    assert not verifier.accepts(idp.token(**claims))


@pytest.mark.parametrize("claim", ["iss", "aud", "exp"])
def test_a_token_without_a_required_claim_is_refused(
    idp: Provider, verifier: Verifier, claim: str
) -> None:
    assert verifier.accepts(idp.token(without=("iat",)))

    assert not verifier.accepts(idp.token(without=(claim,)))


def test_a_small_difference_of_clocks_is_tolerated(idp: Provider, verifier: Verifier) -> None:
    now = int(time.time())

    assert verifier.accepts(idp.token(exp=now - 30, nbf=now + 30, iat=now + 30))
    assert not verifier.accepts(idp.token(exp=now - 90))
    assert not verifier.accepts(idp.token(nbf=now + 90))
    assert not verifier.accepts(idp.token(iat=now + 90))


def segment(content: object) -> str:
    encoded = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(encoded).rstrip(b"=").decode()


def with_header(token: str, **header: object) -> str:
    """The token with another header and the same signature."""
    _, payload, signature = token.split(".")
    return f"{segment(header)}.{payload}.{signature}"


def unsigned(idp: Provider, algorithm: str, signature: str = "") -> str:
    token = with_header(idp.token(), alg=algorithm, kid="first", typ="JWT")
    return f"{token.rpartition('.')[0]}.{signature}"


def hmac_with(idp: Provider, secret: bytes, algorithm: str = "HS256") -> str:
    """A token that anyone who knows the public key can create."""
    signed = unsigned(idp, algorithm).rpartition(".")[0]
    return f"{signed}.{segment(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def test_without_the_private_key_no_algorithm_yields_a_valid_token(
    idp: Provider, verifier: Verifier
) -> None:
    public = private_key("RS256").public_key()
    secrets = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(idp.keys[0]).encode(),
        idp.keys[0]["n"].encode(),
        b"",
    ]
    forged = [
        *(unsigned(idp, name) for name in ("none", "None", "NONE", "", "RS256")),
        *(unsigned(idp, name, "AA") for name in ("none", "RS256", "RS1", "EdDSA", "ES256")),
        *(hmac_with(idp, secret) for secret in secrets),
        *(hmac_with(idp, secret, "RS256") for secret in secrets),
    ]
    assert verifier.accepts(idp.token())

    assert [verifier.claims(token) for token in forged] == [None] * len(forged)


def test_a_token_with_another_algorithm_causes_no_request_to_the_provider(
    idp: Provider, verifier: Verifier
) -> None:
    assert not verifier.accepts(unsigned(idp, "none", "AA"))
    assert not verifier.accepts(hmac_with(idp, b"secret"))
    assert idp.asked == []


def test_text_after_a_token_makes_it_invalid(idp: Provider, verifier: Verifier) -> None:
    good = idp.token()

    assert verifier.accepts(good)
    for more in ("\n", " ", "\ud800", "=", ".", f".{good}", f" {good}"):
        assert not verifier.accepts(good + more)


def test_a_published_symmetric_key_verifies_no_token(idp: Provider, verifier: Verifier) -> None:
    secret = b"s" * 64
    idp.keys.append({"kty": "oct", "kid": "shared", "alg": "HS256", "k": segment(secret)})
    token = jwt.encode(
        {"iss": idp.issuer, "aud": AUDIENCE, "exp": time.time() + 300, "sub": "ann"},
        secret,
        "HS256",
        {"kid": "shared"},
    )

    assert verifier.accepts(idp.token())
    assert not verifier.accepts(token)


@pytest.mark.parametrize(
    ("key", "signed"),
    [("RS256", "ES256"), ("RS256", "EdDSA"), ("ES256", "ES384"), ("EdDSA", "RS256")],
)
def test_a_token_must_be_signed_with_an_algorithm_of_the_key(
    idp: Provider, verifier: Verifier, key: str, signed: str
) -> None:
    idp.keys = [published(key, "first")]

    assert not verifier.accepts(idp.token(signed))
    assert verifier.accepts(idp.token(key))


def test_a_key_that_names_one_algorithm_verifies_no_other(
    idp: Provider, verifier: Verifier
) -> None:
    idp.keys = [{**published("RS256", "first"), "alg": "RS256"}]

    assert verifier.accepts(idp.token("RS256"))
    assert not verifier.accepts(idp.token("PS256"))


def test_keys_for_other_purposes_verify_no_tokens(idp: Provider, verifier: Verifier) -> None:
    idp.keys.append({**published("ES256", "second"), "use": "enc"})

    assert verifier.accepts(idp.token())
    assert not verifier.accepts(idp.token("ES256", "second"))


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": []},
        {"kid": 7},
        {"kid": ["first"]},
        {"kid": None},
        {"alg": 7},
        {"alg": None},
        {"alg": ["RS256"]},
        {"b64": False, "crit": ["b64"]},
    ],
    ids=str,
)
def test_a_header_with_an_unknown_or_invalid_field_is_refused(
    idp: Provider, verifier: Verifier, header: dict[str, object]
) -> None:
    assert verifier.accepts(idp.token())

    assert not verifier.accepts(with_header(idp.token(), **{"alg": "RS256", **header}))


def test_keys_that_a_token_itself_names_are_not_used(idp: Provider, verifier: Verifier) -> None:
    mine = published("RS256", "mine", 1)
    headers = {"jku": f"{idp.url}/elsewhere", "jwk": mine, "x5u": f"{idp.url}/elsewhere"}

    assert not verifier.accepts(idp.token("RS256", "first", number=1, headers=headers))
    assert set(idp.asked) == {DISCOVERY, KEYS}


def test_a_token_has_a_maximum_length(idp: Provider, verifier: Verifier) -> None:
    def padded(size: int) -> str:
        missing = size - len(idp.token(groups=""))
        return idp.token(groups="x" * (missing * 3 // 4))

    assert verifier.accepts(padded(MAX_TOKEN_LENGTH - 10))
    assert not verifier.accepts(padded(MAX_TOKEN_LENGTH + 10))


NO_TOKENS = ["", ".", "..", "a.b.c", "eyJ.eyJ.x", "guess", "ok-aaaaaaaaaa.x", "a.b.c.d", "ä.b.c"]


@pytest.mark.parametrize("text", [*NO_TOKENS, "\ud800.a.b", "a.b.c\n", "x" * 100_000])
def test_a_text_that_is_not_a_token_causes_no_request_to_the_provider(
    idp: Provider, verifier: Verifier, text: str
) -> None:
    assert not verifier.accepts(text)
    assert idp.asked == []


def test_a_deeply_nested_header_is_refused_without_an_error(verifier: Verifier) -> None:
    deep = f"{segment(b'[' * 8000)}.AA.AA"

    assert len(deep) < MAX_TOKEN_LENGTH
    assert not verifier.accepts(deep)


@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_variation_of_a_valid_token_is_valid(
    idp: Provider, verifier: Verifier, data: st.DataObject
) -> None:
    good = verifier.provider.token()
    assert verifier.accepts(good)
    text = st.text(st.characters()) | st.binary().map(lambda raw: raw.decode("latin-1"))
    parts = good.split(".")
    kind = data.draw(st.sampled_from(["text", "segment", "json", "cut", "inserted"]))
    at = data.draw(st.integers(0, 2))
    if kind == "text":
        other = data.draw(text)
    elif kind == "inserted":
        place = data.draw(st.integers(0, len(good)))
        other = good[:place] + data.draw(st.text(st.characters(), min_size=1)) + good[place:]
    elif kind == "cut":
        other = good[: data.draw(st.integers(0, len(good) - 1))]
    else:
        drawn = data.draw(text) if kind == "segment" else segment(data.draw(HEADERS))
        other = ".".join([*parts[:at], drawn, *parts[at + 1 :]])

    assert other == good or not verifier.accepts(other)


HEADERS = st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "crit", "b64", "exp"]),
    st.none()
    | st.sampled_from(["none", "HS256", "RS256", "ES256", "EdDSA", "first"])
    | st.integers()
    | st.lists(st.text(max_size=3), max_size=2),
)


def test_a_new_key_is_fetched_when_a_token_names_it(idp: Provider, verifier: Verifier) -> None:
    assert verifier.accepts(idp.token())
    idp.keys = [published("RS256", "second", 1), published("ES256", "third")]
    verifier.now += COOL_DOWN_SECONDS
    fetched = verifier.fetches

    assert verifier.accepts(idp.token("RS256", "second", number=1))
    assert verifier.accepts(idp.token("ES256", "third"))
    assert verifier.fetches == fetched + 1
    assert not verifier.accepts(idp.token())


def test_unknown_keys_cause_one_fetch_in_each_cool_down(idp: Provider, verifier: Verifier) -> None:
    assert verifier.accepts(idp.token())
    for number in range(50):
        assert not verifier.accepts(idp.token(key_id=f"unknown {number}"))
    verifier.now += COOL_DOWN_SECONDS - 1
    assert not verifier.accepts(idp.token(key_id="unknown"))

    assert verifier.fetches == 1

    verifier.now += 1
    for _ in range(50):
        assert not verifier.accepts(idp.token(key_id="unknown"))

    assert verifier.fetches == 2


def test_a_failed_fetch_also_starts_a_cool_down(idp: Provider, verifier: Verifier) -> None:
    idp.answers[KEYS] = 503
    for _ in range(50):
        with pytest.raises(ProviderUnavailable):
            verifier.claims(idp.token())

    assert verifier.fetches == 1

    verifier.now += COOL_DOWN_SECONDS
    del idp.answers[KEYS]

    assert verifier.accepts(idp.token())
    assert verifier.fetches == 2


def test_a_new_key_under_an_old_id_is_fetched(idp: Provider, verifier: Verifier) -> None:
    assert verifier.accepts(idp.token())
    idp.keys = [published("RS256", "first", 1)]
    verifier.now += COOL_DOWN_SECONDS

    assert verifier.accepts(idp.token(number=1))
    assert not verifier.accepts(idp.token())


def test_all_keys_with_the_same_id_are_tried(idp: Provider, verifier: Verifier) -> None:
    idp.keys = [
        published("RS256", "first", 1),
        published("ES256", "first"),
        published("RS256", "first"),
    ]

    assert verifier.accepts(idp.token("RS256", "first"))
    assert verifier.accepts(idp.token("RS256", "first", number=1))
    assert verifier.accepts(idp.token("ES256", "first"))
    assert not verifier.accepts(idp.token("RS256", "first", number=2))


def test_keys_and_tokens_need_no_key_id(idp: Provider, verifier: Verifier) -> None:
    idp.keys = [published("ES256", None), published("RS256", None)]

    assert verifier.accepts(idp.token(key_id=None))
    assert not verifier.accepts(idp.token(key_id="first"))


def test_keys_are_fetched_again_after_an_hour(idp: Provider, verifier: Verifier) -> None:
    verifier.keys.refresh_if_stale()
    verifier.now += FRESH_SECONDS - 1
    verifier.keys.refresh_if_stale()

    assert verifier.fetches == 1

    idp.keys = [published("RS256", "second", 1)]
    verifier.now += 1
    verifier.keys.refresh_if_stale()

    assert verifier.fetches == 2
    assert not verifier.accepts(idp.token())


def test_while_the_provider_is_unavailable_its_keys_stay_valid_and_one_warning_is_logged(
    idp: Provider, verifier: Verifier, caplog: pytest.LogCaptureFixture
) -> None:
    assert verifier.accepts(idp.token())
    idp.stop()
    for _ in range(5):
        verifier.now += FRESH_SECONDS
        verifier.keys.refresh_if_stale()
        assert verifier.accepts(idp.token())
        with pytest.raises(ProviderUnavailable):
            verifier.claims(idp.token(key_id="new"))

    warnings = [each.message for each in caplog.records if each.levelno >= logging.WARNING]
    [warning] = warnings
    assert warning == (
        f"cannot fetch the keys of the OIDC provider {idp.issuer} (OIDC_ISSUER):"
        f" {idp.url}{DISCOVERY} cannot be reached; until then its previous keys stay valid"
    )

    idp.start_again()
    verifier.now += COOL_DOWN_SECONDS
    verifier.keys.refresh_if_stale()

    recovery = f"the keys of the OIDC provider {idp.issuer} can be fetched again"
    assert recovery in caplog.messages
    assert not verifier.accepts(idp.token(key_id="new"))


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


def test_a_provider_that_hangs_delays_only_one_caller_up_to_the_timeout(
    idp: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    verifier = Verifier(idp, timeout_seconds=2.0)
    token = idp.token()
    idp.answers[DISCOVERY] = idp.hang
    results: list[object] = []

    def ask() -> None:
        try:
            results.append(verifier.claims(token))
        except ProviderUnavailable as error:
            results.append(error)

    first = threading.Thread(target=ask)
    first.start()
    while not idp.asked:
        time.sleep(0.001)
    ask()

    # The first one is not answered yet.
    assert len(results) == 1

    first.join()

    assert [type(each) for each in results] == [ProviderUnavailable] * 2
    assert idp.asked == [DISCOVERY]
    assert "it does not answer within 5 s" in caplog.text


def test_during_a_fetch_other_callers_use_the_known_keys(idp: Provider) -> None:
    verifier = Verifier(idp)
    token, token_of_new_key = idp.token(), idp.token(key_id="new")
    assert verifier.accepts(token)
    verifier.now += COOL_DOWN_SECONDS
    idp.answers[DISCOVERY] = idp.hang
    other = threading.Thread(target=verifier.keys.refresh)
    other.start()
    while idp.asked.count(DISCOVERY) < 2:
        time.sleep(0.001)

    assert verifier.accepts(token)
    with pytest.raises(ProviderUnavailable):
        verifier.claims(token_of_new_key)

    idp.let_go.set()
    other.join()


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


def test_only_the_public_part_of_a_published_private_key_is_used() -> None:
    private = RSAAlgorithm.to_jwk(private_key("RS256"), as_dict=True)
    [key] = verifying_keys([private])

    assert key.public_key == private_key("RS256").public_key()


def test_unusable_keys_are_skipped() -> None:
    short = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True)
    good = published("ES256", "good")
    keys = verifying_keys(
        [
            *(None, 7, "key", [], {}, {"kty": ["RSA"]}, {"kty": "RSA"}, {"kty": "RSA", "n": 7}),
            *({**good, "x": "AA"}, {**good, "crv": "P-384"}, {**good, "alg": "none"}, short),
            *({**good, "kty": "OKP"}, {**good, "use": ["sig"]}, good),
        ]
    )

    assert [key.key_id for key in keys] == ["good"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["kty", "crv", "n", "e", "x", "y", "d", "alg", "use", "kid"]),
            st.sampled_from(["RSA", "EC", "OKP", "P-256", "Ed25519", "sig", "AQAB"]) | JSON,
        )
        | JSON,
        max_size=4,
    )
)
def test_no_key_set_causes_an_error(fields: list[Any]) -> None:
    for key in verifying_keys(fields):
        assert key.algorithms <= ALGORITHMS


@pytest.mark.parametrize(
    "url",
    [
        "https://id.example.com",
        "https://id.example.com:8443/realms/fleet",
        "https://id.example.com/keys?version=2",
        "http://localhost:8080/",
        "http://127.0.0.1:8080",
        "http://[::1]:8080",
    ],
)
def test_a_url_with_tls_or_on_this_machine_is_accepted(url: str) -> None:
    assert checked_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        *("", "id.example.com", "http://id.example.com", "http://10.0.0.7", "ftp://localhost"),
        *("https://", "https://id.example.com:0", "https://id.example.com:x", "https://a b"),
        *("https://us:er@id.example.com", "https://id.example.com/#x", "https://[::1"),
        *("http://localhost.example.com", "http://127.0.0.1@id.example.com", "https://ä.example"),
    ],
)
def test_a_url_without_tls_or_with_a_user_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must be https"):
        checked_url(url)


def test_the_error_of_a_provider_names_the_url_and_the_status(idp: Provider) -> None:
    idp.answers[DISCOVERY] = 404
    with pytest.raises(ProviderUnusable, match=f"^{idp.url}{DISCOVERY} answers with HTTP status"):
        OidcProvider(idp.issuer).keys()


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"exp": 1}, "it has expired"),
        ({"nbf": 2**40}, "it is not valid yet: check the clocks"),
        ({"aud": "account"}, "its audience is not OIDC_AUDIENCE"),
        ({"iss": "https://elsewhere"}, "its issuer is not OIDC_ISSUER"),
        ({"iss": 7}, "its issuer is not OIDC_ISSUER"),
        ({"exp": None}, "it lacks one of the claims iss, aud and exp"),
        ({"exp": "soon"}, "its claims are invalid"),
    ],
)
def test_the_reason_for_refusing_a_token_of_the_provider_is_logged(
    idp: Provider,
    verifier: Verifier,
    caplog: pytest.LogCaptureFixture,
    claims: dict[str, Any],
    why: str,
) -> None:
    caplog.set_level(logging.INFO)
    verifier.keys.refresh_if_stale()
    caplog.clear()

    assert not verifier.accepts(idp.token(**claims))
    assert not verifier.accepts(idp.token(number=1))
    assert caplog.messages == [f"a token of the OIDC provider was refused: {why}"]
