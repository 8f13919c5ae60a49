"""The keys that hosts join with, and which hosts they admit."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidField, JoinKeyRefused
from domain.join_key import JoinKey, NewJoinKey, check_admits, check_not_revoked, matches
from tests.support.builders import NOW, SECOND

KEY = JoinKey("jk-abcdefghij", "0" * 64, NOW, "anna")
NAMES = st.text("ab.*?[]", max_size=8)
PATTERNS = st.text("ab*?.[", max_size=8)


def why_refused(key: JoinKey, **others: Any) -> str:
    """The end of the refusal, empty if the host is admitted."""
    asked = {"name": "web", "environment": "", "now": NOW, "has_joined": False, **others}
    try:
        check_admits(key, **asked)
    except JoinKeyRefused as error:
        return str(error).removeprefix(f"the join key {key.key_id} ")
    return ""


@cache
def means(pattern: str, name: str) -> bool:
    """The definition of * and ?."""
    if not pattern:
        return not name
    first, rest = pattern[0], pattern[1:]
    if first == "*":
        return any(means(rest, name[begin:]) for begin in range(len(name) + 1))
    return bool(name) and first in ("?", name[0]) and means(rest, name[1:])


@given(pattern=PATTERNS, name=NAMES)
def test_stars_and_question_marks_match_as_documented(pattern: str, name: str) -> None:
    assert matches(pattern, name) is means(pattern, name)


@given(name=st.text(max_size=20), data=st.data())
def test_a_name_matches_itself_and_patterns_for_its_parts(name: str, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(name)))
    end = data.draw(st.integers(begin, len(name)))

    assert matches("*", name)
    assert matches("?" * len(name), name)
    assert not matches("?" * (len(name) + 1), name)
    assert matches(f"{name[:begin]}*{name[end:]}", name)
    assert matches(f"{name[:begin]}{'?' * (end - begin)}{name[end:]}", name)


def test_a_pattern_has_no_other_special_characters_and_is_case_sensitive() -> None:
    assert not matches("web-[0-9]", "web-1")
    assert not matches("web.1", "web-1")
    assert not matches("Web-*", "web-1")
    assert matches("web-[0-9]", "web-[0-9]")


def test_no_pattern_takes_long_to_match() -> None:
    assert not matches("*a" * 127 + "*", "a" * 126)
    assert not matches("*" + "a*" * 100 + "b", "a" * 255)
    assert matches("*a" * 127 + "*", "a" * 255)


def test_a_key_without_terms_admits_any_host() -> None:
    assert why_refused(KEY) == ""
    assert why_refused(KEY, name="db", environment="prod", used=10**6) == ""


@pytest.mark.parametrize("has_joined", [False, True])
@pytest.mark.parametrize(
    ("terms", "asked", "why"),
    [
        ({"revoked_at": NOW}, {}, "was revoked"),
        (
            {"name_pattern": "game-*"},
            {},
            "admits only names like 'game-*', not 'web'",
        ),
        ({"environment": "prod"}, {"environment": "test"}, "admits only the environment prod"),
    ],
)
def test_a_revoked_key_or_one_of_another_scope_is_refused_even_after_joining(
    terms: dict[str, Any], asked: dict[str, Any], why: str, has_joined: bool
) -> None:
    assert why_refused(replace(KEY, **terms), has_joined=has_joined, **asked) == why


def test_a_host_without_an_environment_is_admitted() -> None:
    key = replace(KEY, environment="prod")

    assert why_refused(key, environment="") == ""
    assert why_refused(key, environment="prod") == ""


@pytest.mark.parametrize(
    ("terms", "used", "why"),
    [
        (
            {"expires_at": datetime(2026, 2, 28, 10, 0, tzinfo=UTC)},
            0,
            "expired at 2026-02-28 10:00 UTC",
        ),
        ({"expires_at": NOW}, 0, "expired at 2026-02-28 23:59 UTC"),
        ({"uses": 5}, 5, "has already admitted 5 servers, its maximum"),
        ({"uses": 1}, 1, "has already admitted 1 server, its maximum"),
    ],
)
def test_an_expired_key_or_one_at_its_limit_is_refused_only_before_joining(
    terms: dict[str, Any], used: int, why: str
) -> None:
    key = replace(KEY, **terms)

    assert why_refused(key, used=used) == why
    assert why_refused(key, used=used, has_joined=True) == ""


def test_a_key_admits_until_it_expires_or_reaches_its_limit() -> None:
    key = replace(KEY, uses=5, expires_at=NOW + SECOND)

    assert why_refused(key, used=4) == ""


def test_a_key_is_not_revoked_by_default() -> None:
    check_not_revoked(KEY)

    with pytest.raises(JoinKeyRefused, match=r"^the join key jk-abcdefghij was revoked$"):
        check_not_revoked(replace(KEY, revoked_at=NOW))


@given(
    expires_in=st.none() | st.integers(-100, 100),
    uses=st.none() | st.integers(1, 5),
    used=st.integers(0, 6),
    revoked=st.booleans(),
    environment=st.sampled_from(["", "prod", "test"]),
    has_joined=st.booleans(),
)
def test_a_server_that_has_joined_is_admitted_wherever_a_new_one_is(
    expires_in: int | None,
    uses: int | None,
    used: int,
    revoked: bool,
    environment: str,
    has_joined: bool,
) -> None:
    key = replace(
        KEY,
        environment="prod",
        uses=uses,
        expires_at=None if expires_in is None else NOW + timedelta(seconds=expires_in),
        revoked_at=NOW if revoked else None,
    )
    why = why_refused(key, environment=environment, used=used, has_joined=has_joined)
    in_scope = environment != "test" and not revoked
    has_life = expires_in is None or expires_in > 0
    has_uses = uses is None or used < uses

    assert (why == "") is (in_scope and (has_joined or (has_life and has_uses)))


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"environment": "x" * 101}, "environment"),
        ({"environment": " prod"}, "environment"),
        ({"name_pattern": "x" * 256}, "name_pattern"),
        ({"name_pattern": "web\n*"}, "name_pattern"),
        ({"labels": {"a b": ""}}, "labels"),
        ({"labels": {"a": "-"}}, "labels"),
        ({"uses": 0}, "uses"),
        ({"uses": -1}, "uses"),
        ({"uses": 1_000_001}, "uses"),
        ({"expires_in_seconds": 59}, "expires_in_seconds"),
        ({"expires_in_seconds": -60}, "expires_in_seconds"),
        ({"expires_in_seconds": 10 * 365 * 86400 + 1}, "expires_in_seconds"),
    ],
)
def test_invalid_terms_make_no_key(terms: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        NewJoinKey(**terms).check()

    assert refused.value.field == field


def test_a_key_may_have_the_largest_and_the_smallest_values() -> None:
    NewJoinKey().check()
    NewJoinKey("e" * 100, "*" * 255, {"tier": "gold"}, 1_000_000, 10 * 365 * 86400).check()
    NewJoinKey(uses=1, expires_in_seconds=60).check()


def test_a_new_key_has_the_requested_terms() -> None:
    new = NewJoinKey("prod", "game-*", {"tier": "gold"}, 5, 60, ephemeral=True, pre_approved=True)

    assert new.key("jk-abcdefghij", "0" * 64, NOW, "anna") == replace(
        KEY,
        environment="prod",
        name_pattern="game-*",
        labels={"tier": "gold"},
        uses=5,
        expires_at=NOW + timedelta(minutes=1),
        ephemeral=True,
        pre_approved=True,
    )
    assert NewJoinKey().key("jk-abcdefghij", "0" * 64, NOW, "anna") == KEY
