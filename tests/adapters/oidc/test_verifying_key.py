"""The keys of a JSON Web Key Set."""

from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from adapters.oidc.verifying_key import ALGORITHMS, verifying_keys
from tests.support.oidc_provider import (
    private_key,
    published,
)


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
