import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.configuration import (
    MAX_DOCUMENT_BYTES,
    ConfigurationSummary,
    check_configuration_name,
    check_document,
    effective,
    has_older_revision,
)
from domain.errors import InvalidField
from domain.labels import parse_selector
from tests.support.builders import NOW

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
def test_a_text_that_is_not_json_is_refused(document: str) -> None:
    with pytest.raises(InvalidField, match=r"^document is not valid JSON: "):
        check_document(document)


def test_a_document_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(InvalidField):
        check_document("[" * 100_000)


def test_the_size_of_a_document_is_counted_in_bytes() -> None:
    largest = json.dumps("é" * (MAX_DOCUMENT_BYTES // 2 - 1), ensure_ascii=False)
    check_document(largest)

    with pytest.raises(InvalidField, match=f"has {MAX_DOCUMENT_BYTES + 1} bytes"):
        check_document(largest + " ")


@pytest.mark.parametrize("name", ["a", "7", "games.json", "valheim_2-eu", "x" * 100])
def test_a_name_that_can_be_a_file_name_is_accepted(name: str) -> None:
    check_configuration_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "-x", "a/b", "a\\b", "A", "é", "a\n", "a\x00", "x" * 101]
)
def test_a_name_that_cannot_be_a_file_name_is_refused(name: str) -> None:
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


def summaries(*, of_selectors: bool) -> st.SearchStrategy[list[ConfigurationSummary]]:
    """Few names, so that they collide; each selector and name has one document."""
    selectors = [parse_selector(text) for text in ("a", "!b", "a,c", "c!=x,a", "a,b in (x,y),c")]
    return st.lists(
        st.builds(
            ConfigurationSummary,
            name=st.sampled_from(["limits", "motd", "ports"]),
            revision=st.integers(1, 9),
            updated_at=st.just(NOW),
            selector=st.sampled_from(selectors) if of_selectors else st.none(),
        ),
        unique_by=lambda found: (found.name, found.selector),
    )


OWN, OF_SELECTORS = summaries(of_selectors=False), summaries(of_selectors=True)


@given(own=OWN, of_selectors=OF_SELECTORS)
def test_a_server_gets_one_document_per_name(
    own: list[ConfigurationSummary], of_selectors: list[ConfigurationSummary]
) -> None:
    found = effective(own, of_selectors)

    assert [one.name for one in found] == sorted({one.name for one in (*own, *of_selectors)})
    assert set(found) <= {*own, *of_selectors}


@given(own=OWN, of_selectors=OF_SELECTORS)
def test_the_own_document_wins_then_the_most_specific_then_the_last_one_put(
    own: list[ConfigurationSummary], of_selectors: list[ConfigurationSummary]
) -> None:
    for winner in effective(own, of_selectors):
        if winner.selector is None:
            continue
        assert winner.name not in {one.name for one in own}
        for other in of_selectors:
            if other.name == winner.name and other.selector:
                assert other.selector.specificity <= winner.selector.specificity
                if other.selector.specificity == winner.selector.specificity:
                    assert other.revision <= winner.revision


@given(own=OWN, of_selectors=OF_SELECTORS, data=st.data())
def test_the_order_of_the_documents_does_not_matter(
    own: list[ConfigurationSummary], of_selectors: list[ConfigurationSummary], data: st.DataObject
) -> None:
    # The clock gives each change its own revision.
    of_selectors = [
        ConfigurationSummary(one.name, number, one.updated_at, one.selector)
        for number, one in enumerate(of_selectors)
    ]
    shuffled = data.draw(st.permutations(of_selectors))

    assert effective(own, shuffled) == effective(own, of_selectors)


def test_a_document_in_effect_counts_as_older_unless_above_the_known_revision() -> None:
    old = ConfigurationSummary("limits", 3, NOW)
    new = ConfigurationSummary("motd", 8, NOW, parse_selector("a"))

    assert not has_older_revision([], [], 5)
    assert not has_older_revision([old], [old, new], 7)
    assert has_older_revision([old], [old, new], 8)
    assert has_older_revision([new], [old], 3)
    assert not has_older_revision([old, new], [old], 9)
    # The same name and revision, but not the same document.
    assert has_older_revision([old], [ConfigurationSummary("limits", 3, NOW, new.selector)], 3)
