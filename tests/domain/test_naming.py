import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidField
from domain.naming import (
    MAX_ENVIRONMENT_LENGTH,
    MAX_NAME_LENGTH,
    ChosenName,
    SavedName,
    check_environment,
    check_name,
    choose_name,
)

ANYTHING = st.text(max_size=300)
SUFFIXES = st.text("0123456789abcdef", min_size=8, max_size=8)
VISIBLE = st.characters(exclude_categories=("C", "Z"))
GOOD_NAMES = st.text(VISIBLE, min_size=1, max_size=MAX_NAME_LENGTH)
HOSTNAMES = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,62}", fullmatch=True)
ENVIRONMENTS = st.text(VISIBLE, max_size=MAX_ENVIRONMENT_LENGTH)

BAD_TEXTS = [" web", "web ", "  ", "we\nb", "web\x00", "we\tb", "we\x7fb", "we\u200bb", "\udcff"]


@given(server_name=GOOD_NAMES, hostname=ANYTHING, environment=ANYTHING, suffix=SUFFIXES)
def test_server_name_takes_precedence(
    server_name: str, hostname: str, environment: str, suffix: str
) -> None:
    chosen = choose_name(server_name, hostname, environment, suffix)

    assert chosen == ChosenName(server_name, ephemeral=False)


def test_without_server_name_the_name_is_hostname_and_environment() -> None:
    chosen = choose_name("", "box-7", "production", "0a1b2c3d")

    assert chosen == ChosenName("box-7-production", ephemeral=False)


def test_without_both_the_name_is_hostname_and_a_random_suffix() -> None:
    chosen = choose_name("", "box-7", "", "0a1b2c3d")

    assert chosen == ChosenName("box-7-0a1b2c3d", ephemeral=True)


KEPT = SavedName(ChosenName("old-0a1b2c3d", ephemeral=True), "production")


@pytest.mark.parametrize("environment", ["", "production"])
def test_a_saved_name_stays_when_the_hostname_changes(environment: str) -> None:
    assert choose_name("", "box-7", environment, "ffffffff", KEPT) == KEPT.chosen


@pytest.mark.parametrize(
    ("server_name", "environment", "name"),
    [("web", "production", "web"), ("web", "", "web"), ("", "dev", "box-7-dev")],
)
def test_a_setting_takes_precedence_over_a_saved_name(
    server_name: str, environment: str, name: str
) -> None:
    chosen = choose_name(server_name, "box-7", environment, "ffffffff", KEPT)

    assert chosen == ChosenName(name, ephemeral=False)


@given(
    server_name=st.just("") | GOOD_NAMES,
    hostname=HOSTNAMES,
    environment=ENVIRONMENTS,
    suffix=SUFFIXES,
)
def test_a_name_is_ephemeral_only_if_neither_setting_is_set(
    server_name: str, hostname: str, environment: str, suffix: str
) -> None:
    chosen = choose_name(server_name, hostname, environment, suffix)

    assert chosen.ephemeral == (not server_name and not environment)


@given(
    server_name=st.just("") | GOOD_NAMES,
    hostname=HOSTNAMES,
    environment=ENVIRONMENTS,
    suffixes=st.tuples(SUFFIXES, SUFFIXES),
)
def test_a_name_that_is_not_ephemeral_is_the_same_at_every_start(
    server_name: str, hostname: str, environment: str, suffixes: tuple[str, str]
) -> None:
    first, second = (choose_name(server_name, hostname, environment, suffix) for suffix in suffixes)

    assert first == second or first.ephemeral


@given(server_name=ANYTHING, hostname=ANYTHING, environment=ANYTHING, suffix=SUFFIXES)
def test_a_chosen_name_is_valid_or_refused(
    server_name: str, hostname: str, environment: str, suffix: str
) -> None:
    try:
        chosen = choose_name(server_name, hostname, environment, suffix)
    except InvalidField:
        return

    check_name(chosen.name)


@pytest.mark.parametrize("name", ["w", "web 1", "Küche", "🎲" * MAX_NAME_LENGTH, "-", "a/b"])
def test_a_name_may_contain_any_printable_characters(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", "x" * (MAX_NAME_LENGTH + 1), *BAD_TEXTS])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidField) as refused:
        check_name(name)

    assert refused.value.field == "name"
    assert str(refused.value) == f"name {refused.value.problem}"


@pytest.mark.parametrize("environment", ["", "production", "🎲" * MAX_ENVIRONMENT_LENGTH])
def test_an_environment_may_be_absent(environment: str) -> None:
    check_environment(environment)


@pytest.mark.parametrize("environment", ["x" * (MAX_ENVIRONMENT_LENGTH + 1), *BAD_TEXTS])
def test_a_bad_environment_is_refused(environment: str) -> None:
    with pytest.raises(InvalidField) as refused:
        check_environment(environment)

    assert refused.value.field == "environment"


def test_a_name_has_at_most_255_characters_and_an_environment_100() -> None:
    check_name("x" * 255)
    check_environment("x" * 100)

    with pytest.raises(InvalidField):
        check_name("x" * 256)
    with pytest.raises(InvalidField):
        check_environment("x" * 101)
