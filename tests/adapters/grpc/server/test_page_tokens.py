import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.grpc.server.page_tokens import (
    decode_key_page_token,
    decode_page_token,
    encode_key_page_token,
    encode_page_token,
)
from domain.errors import InvalidField
from domain.keys import JOIN_KEY
from domain.keys import OPERATOR_KEY as OPERATORS

INT64_MAX = 2**63 - 1


@given(st.integers(1, INT64_MAX // 10))
def test_a_page_token_decodes_to_the_id_that_it_encodes(after: int) -> None:
    assert decode_page_token(encode_page_token(after)) == after


@given(st.from_regex(r"ok-[a-z2-7]{10}", fullmatch=True))
def test_a_page_token_for_keys_is_valid_for_its_kind_of_keys_only(key_id: str) -> None:
    token = encode_key_page_token(key_id)

    assert decode_key_page_token(token, OPERATORS) == key_id
    for decode in (decode_page_token, lambda token: decode_key_page_token(token, JOIN_KEY)):
        with pytest.raises(InvalidField):
            decode(token)


@given(st.text(max_size=40) | st.integers(0, 99).map(encode_page_token))
def test_any_other_page_token_is_refused_with_its_field(token: str) -> None:
    if token:
        with pytest.raises(InvalidField) as refused:
            decode_key_page_token(token, OPERATORS)

        assert refused.value.field == "page_token"


@given(st.text(max_size=40))
def test_any_other_page_token_with_a_number_is_refused_with_its_field(token: str) -> None:
    if token:
        with pytest.raises(InvalidField) as refused:
            decode_page_token(token)

        assert refused.value.field == "page_token"
