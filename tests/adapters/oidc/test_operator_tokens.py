"""Verification of the tokens of an OIDC provider."""

import base64
import hashlib
import hmac
import json
import logging
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.oidc.operator_tokens import MAX_TOKEN_LENGTH
from adapters.oidc.verifying_key import ALGORITHMS
from tests.support.oidc_provider import (
    AUDIENCE,
    DISCOVERY,
    KEYS,
    Provider,
    private_key,
    published,
)
from tests.support.token_verifier import Verifier


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
