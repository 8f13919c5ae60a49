import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidField
from domain.labels import (
    MAX_LABELS,
    MAX_REQUIREMENTS,
    MAX_SELECTOR_LENGTH,
    SELECTOR_EXAMPLE,
    Labels,
    Operator,
    Requirement,
    check_labels,
    parse_selector,
)
from tests.support.selectors import BLANKS, LABELS, REQUIREMENTS, selector_texts


def meets(text: str, **labels: str) -> bool:
    return parse_selector(text).matches(labels)


def test_operators_labels_override_the_hosts() -> None:
    labels = Labels({"region": "nyc", "tier": "gold"}, {"tier": "silver", "rack": "7"})

    assert labels.effective == {"region": "nyc", "tier": "silver", "rack": "7"}


@pytest.mark.parametrize("key", ["a", "7", "example.com/tier", "A-b_c.d/e", "x" * 63])
@pytest.mark.parametrize("value", ["", "a", "1.2-b_C", "x" * 63])
def test_labels_follow_the_rules_of_kubernetes(key: str, value: str) -> None:
    check_labels({key: value})


@pytest.mark.parametrize("key", ["", "-a", "a-", "/a", "a b", "a=b", "ä", "a\n", "x" * 64])
def test_an_invalid_label_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidField, match=r"^labels has the key"):
        check_labels({key: "a"})


@pytest.mark.parametrize("value", ["-", "a-", "a b", "a/b", "ä", "a\n", "x" * 64])
def test_an_invalid_label_value_is_refused(value: str) -> None:
    with pytest.raises(InvalidField, match=r"^set has the value"):
        check_labels({"a": value}, "set")


def test_a_server_has_a_limited_number_of_labels() -> None:
    check_labels({str(number): "" for number in range(MAX_LABELS)})

    with pytest.raises(InvalidField, match=f"has {MAX_LABELS + 1} labels"):
        check_labels({str(number): "" for number in range(MAX_LABELS + 1)})


@pytest.mark.parametrize(
    ("text", "requirement"),
    [
        ("region=nyc", Requirement("region", Operator.EQUALS, ("nyc",))),
        (" region == nyc ", Requirement("region", Operator.EQUALS, ("nyc",))),
        ("region=", Requirement("region", Operator.EQUALS, ("",))),
        ("tier!=gold", Requirement("tier", Operator.DIFFERS, ("gold",))),
        ("zone in (b, a,b)", Requirement("zone", Operator.IN, ("a", "b"))),
        ("zone in(a)", Requirement("zone", Operator.EQUALS, ("a",))),
        ("zone in (,a)", Requirement("zone", Operator.IN, ("", "a"))),
        ("zone in ()", Requirement("zone", Operator.EQUALS, ("",))),
        ("zone notin (a,b)", Requirement("zone", Operator.NOT_IN, ("a", "b"))),
        ("zone notin ( a )", Requirement("zone", Operator.DIFFERS, ("a",))),
        ("gpu", Requirement("gpu", Operator.EXISTS)),
        ("! old", Requirement("old", Operator.ABSENT)),
        ("in", Requirement("in", Operator.EXISTS)),
        ("notin notin (in)", Requirement("notin", Operator.DIFFERS, ("in",))),
        (
            "example.com/tier=1.2-b_C",
            Requirement("example.com/tier", Operator.EQUALS, ("1.2-b_C",)),
        ),
    ],
)
def test_a_requirement_is_parsed_from_a_text(text: str, requirement: Requirement) -> None:
    assert parse_selector(text).requirements == (requirement,)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "cannot be read at its end: expected the key of a label"),
        (" ", "cannot be read at its end: expected the key of a label"),
        ("a=b,", "cannot be read at its end: expected the key of a label"),
        ("!", "cannot be read at its end: expected the key of a label"),
        (",a", "cannot be read at character 1, ',a': expected the key of a label"),
        ("-a=b", "cannot be read at character 1, '-a=b': expected the key of a label"),
        ("a, !=b", "cannot be read at character 4, '!=b': expected the key of a label"),
        (
            f"{'a' * 64}=b",
            "cannot be read at character 1, 'aaaaaaaaaaaaaaaaaaaa': expected the key of a label",
        ),
        ("a b", "cannot be read at character 3, 'b': expected a comma"),
        ("a>3", "cannot be read at character 2, '>3': expected a comma"),
        ("a=ü", "cannot be read at character 3, 'ü': expected a comma"),
        ("a=b==c", "cannot be read at character 4, '==c': expected a comma"),
        ("a = b/c", "cannot be read at character 5, 'b/c': expected the value of a label"),
        (
            f"a={'b' * 64}",
            "cannot be read at character 3, 'bbbbbbbbbbbbbbbbbbbb': expected the value of a label",
        ),
        ("a in b", "cannot be read at character 6, 'b': expected values in parentheses"),
        ("a in", "cannot be read at its end: expected values in parentheses"),
        (
            "a in (b c)",
            "cannot be read at character 9, 'c)': expected a comma or closing parenthesis",
        ),
        ("a notin (b", "cannot be read at its end: expected a comma or closing parenthesis"),
    ],
)
def test_an_invalid_selector_is_refused_with_the_place_and_an_example(
    text: str, problem: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        parse_selector(text)

    assert str(refused.value) == f"selector {problem} (example: {SELECTOR_EXAMPLE})"


def test_a_selector_has_a_limited_number_of_requirements() -> None:
    most = [f"k{number}" for number in range(MAX_REQUIREMENTS)]
    # A repeated requirement counts once.
    parse_selector(",".join([*most, *most]))

    with pytest.raises(InvalidField, match=f"^selector has more than {MAX_REQUIREMENTS}"):
        parse_selector(",".join([*most, "one-more"]))


def test_a_selector_has_a_limited_length() -> None:
    values = [f"{number:060}" for number in range(8)]
    parse_selector(f"{'k' * 7} in ({', '.join([*values, *values])})")

    with pytest.raises(InvalidField, match=f"the maximum is {MAX_SELECTOR_LENGTH}"):
        parse_selector(f"{'k' * 8} in ({','.join(values)})")


def test_the_example_is_valid() -> None:
    assert str(parse_selector(SELECTOR_EXAMPLE)) == ("gpu,!old,region=nyc,tier!=gold,zone in (a,b)")


@given(selector_texts())
def test_the_text_of_a_selector_parses_to_an_equal_selector(text: str) -> None:
    selector = parse_selector(text)

    assert parse_selector(str(selector)) == selector


@given(st.lists(REQUIREMENTS, min_size=1, max_size=5), st.data())
def test_selectors_that_differ_only_in_order_and_spaces_are_equal(
    requirements: list[str], data: st.DataObject
) -> None:
    other_order = data.draw(st.permutations(requirements))
    blanks = data.draw(BLANKS)

    assert parse_selector(f"{blanks},{blanks}".join(other_order)) == parse_selector(
        ",".join(requirements)
    )


@given(st.text() | st.text(alphabet="ab=!,() in\tnot", max_size=30))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        selector = parse_selector(text)
    except InvalidField:
        return

    assert parse_selector(str(selector)) == selector


def test_a_server_without_the_label_meets_differs_not_in_and_absent() -> None:
    assert meets("tier!=gold")
    assert meets("tier notin (gold, silver)")
    assert meets("!tier")
    assert not meets("tier")
    assert not meets("tier=gold")
    assert not meets("tier in (gold, silver)")
    # An empty value is a value.
    assert not meets("tier=")
    assert meets("tier=", tier="")
    assert not meets("!tier", tier="")


@given(selector_texts(), LABELS)
def test_a_server_that_meets_every_requirement_is_selected(
    text: str, labels: dict[str, str]
) -> None:
    selector = parse_selector(text)

    assert selector.matches(labels) == all(
        parse_selector(str(requirement)).matches(labels) for requirement in selector.requirements
    )
    assert selector.specificity == len(selector.requirements)


@given(st.sampled_from("ab"), st.lists(st.sampled_from(["", "x", "y"]), min_size=1), LABELS)
def test_each_operator_and_its_negation_divide_the_fleet(
    key: str, values: list[str], labels: dict[str, str]
) -> None:
    among = f"({','.join(values)})"

    for one, other in (
        (f"{key} in {among}", f"{key} notin {among}"),
        (f"{key}={values[0]}", f"{key}!={values[0]}"),
        (key, f"!{key}"),
    ):
        assert parse_selector(one).matches(labels) != parse_selector(other).matches(labels)
    assert parse_selector(f"{key} in {among}").matches(labels) == (labels.get(key) in values)
