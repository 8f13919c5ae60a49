from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidField
from domain.keys import (
    JOIN_KEY,
    OPERATOR_CERTIFICATE,
    OPERATOR_KEY,
    OPERATOR_KINDS,
    PlaintextKey,
    check_key_id,
    equal_in_constant_time,
    public_id,
    without_secrets,
)

KEY_ID = st.from_regex(r"(jk|ok)-[a-z2-7]{10}", fullmatch=True)
SECRET = st.from_regex(r"[A-Za-z0-9_-]{43}", fullmatch=True)


@given(KEY_ID, SECRET)
def test_the_public_part_of_a_key_is_its_id(key_id: str, secret: str) -> None:
    assert public_id(str(PlaintextKey(key_id, secret))) == public_id(key_id) == key_id


@pytest.mark.parametrize(
    "text", ["", "ok-", "ok-abcdefgh2", "ok-abcdefgh234", "xx-abcdefgh23.s", "s", " ok-abcdefgh23"]
)
def test_a_text_that_is_not_a_key_has_no_public_part(text: str) -> None:
    assert public_id(text) == ""


@given(KEY_ID, SECRET, st.sampled_from(["{}", "'{}'", "name={} x", '"{}"', "({})"]))
def test_a_key_in_a_text_loses_its_secret(key_id: str, secret: str, around: str) -> None:
    text = without_secrets(around.format(f"{key_id}.{secret}"))

    assert secret not in text
    assert key_id in text


@pytest.mark.parametrize("text", ["", "ok-abcdefgh23", "look. here", "jk-short.secret", "1.5 GB"])
def test_a_text_without_keys_stays_as_it_is(text: str) -> None:
    assert without_secrets(text) == text


@given(KEY_ID, SECRET)
def test_a_key_has_one_kind(key_id: str, secret: str) -> None:
    kinds = [
        kind for kind in (JOIN_KEY, OPERATOR_KEY) if PlaintextKey.parse(f"{key_id}.{secret}", kind)
    ]

    assert kinds == [key_id[:2]]


DIGEST = "0123456789abcdef" * 4


@given(KEY_ID, SECRET)
def test_a_key_may_name_the_apis_authority(key_id: str, secret: str) -> None:
    key = PlaintextKey.parse(f"{key_id}.{secret}.{DIGEST}", key_id[:2])

    assert key == PlaintextKey(key_id, secret, DIGEST)
    assert key.digest == PlaintextKey(key_id, secret).digest
    assert str(key) == f"{key_id}.{secret}.{DIGEST}"


@pytest.mark.parametrize(
    "digest", ["", "abc", DIGEST.upper(), f"{DIGEST}0", f"{DIGEST}.", "-" * 64]
)
def test_a_key_with_an_invalid_end_is_refused(digest: str) -> None:
    assert PlaintextKey.parse(f"jk-abcdefgh23.secret.{digest}", JOIN_KEY) is None


@given(KEY_ID, SECRET)
def test_a_key_with_a_pin_in_a_text_loses_its_secret_and_its_pin(key_id: str, secret: str) -> None:
    key = f"{key_id}.{secret}.{DIGEST}"

    assert without_secrets(f"name='{key}' x") == f"name='{key_id}' x"
    assert public_id(key) == key_id


@given(SECRET)
def test_the_id_of_a_certificate_never_begins_a_key(secret: str) -> None:
    for kind in (JOIN_KEY, OPERATOR_KEY):
        assert PlaintextKey.parse(f"oc-abcdefgh23.{secret}", kind) is None


def test_an_id_must_have_one_of_the_requested_kinds() -> None:
    for key_id in ("ok-abcdefgh23", "oc-abcdefgh23"):
        check_key_id(key_id, *OPERATOR_KINDS)
    for key_id in ("jk-abcdefgh23", "oc-abcdefgh23.secret", "oc-abcdefgh2", ""):
        with pytest.raises(InvalidField) as refused:
            check_key_id(key_id, *OPERATOR_KINDS)
        assert str(refused.value) == (
            "key_id must be ok- or oc- followed by 10 letters and digits, without the secret"
        )
    with pytest.raises(InvalidField):
        check_key_id("ok-abcdefgh23", OPERATOR_CERTIFICATE)


@pytest.mark.parametrize("expected", ["", "secret", "sécret", "\ud800"])
def test_only_equal_texts_are_equal_in_constant_time(expected: str) -> None:
    assert equal_in_constant_time(expected, expected)
    assert not equal_in_constant_time(f"{expected}x", expected)


def test_a_key_matches_only_the_digest_of_its_secret() -> None:
    key, other = (PlaintextKey("jk-aaaaaaaaaa", secret) for secret in ("right", "wrong"))

    assert key.digest == sha256(b"right").hexdigest()
    assert key.matches(key.digest)
    assert not key.matches(other.digest)
    assert not key.matches(None)
