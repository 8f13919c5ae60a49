import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.configuration import MAX_DOCUMENT_BYTES, check_configuration_name, check_document
from domain.errors import InvalidField

NUMBERS = st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
JSON_VALUES: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    max_leaves=10,
)


@given(value=JSON_VALUES, escaped=st.booleans(), indent=st.sampled_from([None, 2]))
def test_every_json_value_is_a_document(value: object, escaped: bool, indent: int | None) -> None:
    check_document(json.dumps(value, ensure_ascii=escaped, indent=indent))


@given(st.text())
def test_any_text_is_json_or_refused(text: str) -> None:
    try:
        check_document(text)
    except InvalidField:
        return

    json.loads(text)


@pytest.mark.parametrize(
    "document",
    [
        "",
        " ",
        "{",
        "{'a': 1}",
        "[1,]",
        "NaN",
        "[-Infinity]",
        "// no",
        "\ufeff{}",
        '"\x00"',
        "{}\x00",
    ],
)
def test_what_is_not_json_is_refused(document: str) -> None:
    with pytest.raises(InvalidField, match=r"^document is not JSON: "):
        check_document(document)


def test_a_document_that_is_nested_without_end_is_refused() -> None:
    with pytest.raises(InvalidField):
        check_document("[" * 100_000)


def test_the_size_of_a_document_is_counted_in_bytes() -> None:
    largest = json.dumps("é" * (MAX_DOCUMENT_BYTES // 2 - 1), ensure_ascii=False)
    check_document(largest)

    with pytest.raises(InvalidField, match=f"has {MAX_DOCUMENT_BYTES + 1} bytes"):
        check_document(largest + " ")


@pytest.mark.parametrize("name", ["a", "7", "games.json", "valheim_2-eu", "x" * 100])
def test_a_name_that_is_fit_for_a_file_is_accepted(name: str) -> None:
    check_configuration_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "-x", "a/b", "a\\b", "A", "é", "a\n", "a\x00", "x" * 101]
)
def test_a_name_that_is_not_fit_for_a_file_is_refused(name: str) -> None:
    with pytest.raises(InvalidField) as refused:
        check_configuration_name(name)

    assert refused.value.field == "name"


@given(st.text(max_size=120))
def test_an_accepted_name_stays_in_its_folder(name: str) -> None:
    try:
        check_configuration_name(name)
    except InvalidField:
        return

    assert re.fullmatch(r"(?!\.)[a-z0-9._-]+", name)
