from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import NotAnOperator
from domain.operator_key import Operator
from domain.operator_token import ROLES_BY_NAME, ClaimRules, credential_id_of
from domain.role import Role

RULES = ClaimRules("sub", "role", ROLES_BY_NAME)
KEYCLOAK = ClaimRules(
    "preferred_username",
    "realm_access.roles",
    {"fleet-admins": Role.ADMIN, "sre": Role.OPERATOR, "staff": Role.VIEWER},
)


def refusal(rules: ClaimRules, claims: dict[str, Any]) -> str:
    with pytest.raises(NotAnOperator) as refused:
        rules.operator(claims)
    return str(refused.value)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("as_list", [False, True])
def test_the_claims_identify_the_operator(role: Role, as_list: bool) -> None:
    value = ["offline_access", role.value] if as_list else role.value

    assert RULES.operator({"sub": "ann", "role": value}, "10.0.0.7") == Operator(
        "ann", role, "oidc:ann", "10.0.0.7"
    )


def test_nested_claims_are_found_and_their_values_map_to_roles() -> None:
    claims = {
        "sub": "4711",
        "preferred_username": "ann",
        "realm_access": {"roles": ["staff", "sre", "admin"]},
    }

    assert KEYCLOAK.operator(claims) == Operator("ann", Role.OPERATOR, "oidc:4711")


@pytest.mark.parametrize(
    ("name", "claims"),
    [
        ("https://example.com/roles", {"https://example.com/roles": ["admin"]}),
        ("resource_access.man.man.roles", {"resource_access": {"man.man": {"roles": ["admin"]}}}),
        ("a.b", {"a.b": "admin", "a": {"b": "viewer"}}),
    ],
)
def test_claim_names_may_contain_dots(name: str, claims: dict[str, Any]) -> None:
    rules = ClaimRules("sub", name, ROLES_BY_NAME)

    assert rules.operator({"sub": "ann", **claims}).role is Role.ADMIN


@pytest.mark.parametrize(
    "value",
    [
        *(None, "", "root", "Admin", "admin ", "viewer operator", 7, True),
        *([], ["root"], [["admin"]], [None, {}], {"admin": True}, {"role": "admin"}),
    ],
)
def test_a_token_without_a_known_role_identifies_no_operator(value: object) -> None:
    assert refusal(RULES, {"sub": "ann", "role": value}) == (
        "the token is valid, but does not make the caller an operator: its claim role"
        " contains none of viewer, operator, admin"
    )


def test_other_values_map_to_no_role() -> None:
    claims = {"sub": "4711", "preferred_username": "ann", "realm_access": {"roles": ["admin"]}}

    assert refusal(KEYCLOAK, claims).endswith(
        "its claim realm_access.roles contains none of fleet-admins, sre, staff"
    )


@pytest.mark.parametrize("claims", [{}, {"realm_access": ["roles"]}, {"realm_access": None}])
def test_a_missing_claim_maps_to_no_role(claims: dict[str, Any]) -> None:
    refusal(KEYCLOAK, {"sub": "4711", "preferred_username": "ann", **claims})


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (None, "is missing or is not a string"),
        ("", "is missing or is not a string"),
        (7, "is missing or is not a string"),
        (["ann"], "is missing or is not a string"),
        (" ann", "begins or ends with a space"),
        ("an\nn", "contains a character that is not printable"),
        ("a\u202enn", "contains a character that is not printable"),
        ("\ud800", "contains a character that is not printable"),
        ("x" * 256, "has 256 characters; the maximum is 255"),
        *(
            (name, "is reserved for callers without a key of their own")
            for name in (
                "local",
                "Local",
                "OPERATOR_KEY",
                "operator_key",
                "\N{FULLWIDTH LATIN SMALL LETTER L}ocal",
            )
        ),
    ],
)
def test_an_invalid_or_reserved_name_is_refused(name: object, problem: str) -> None:
    claims = {"sub": "4711", "preferred_username": name, "realm_access": {"roles": ["sre"]}}

    assert refusal(KEYCLOAK, claims).endswith(f"its claim preferred_username {problem}")


def test_the_longest_name_is_accepted() -> None:
    assert RULES.operator({"sub": "x" * 255, "role": "admin"}).name == "x" * 255


def test_users_with_the_same_name_have_different_ids() -> None:
    long = "x" * 300
    ids = [
        credential_id_of({"sub": subject, "preferred_username": "ann"})
        for subject in ("ann", "ok-aaaaaaaaaa", "OPERATOR_KEY", long, f"{long}y", "a b", "a\tb")
    ]

    assert len(set(ids)) == len(ids)
    assert ids[:3] == ["oidc:ann", "oidc:ok-aaaaaaaaaa", "oidc:OPERATOR_KEY"]


@given(st.text(st.characters(), min_size=1))
def test_an_id_is_short_and_printable_for_any_subject(subject: str) -> None:
    found = credential_id_of({"sub": subject})

    assert found.startswith("oidc:")
    assert len(found) <= 64
    assert found.isprintable()
    assert " " not in found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["sub", "role", "realm_access", "preferred_username"]), JSON)
)
def test_no_claims_cause_another_error(claims: dict[str, Any]) -> None:
    for rules in (RULES, KEYCLOAK):
        try:
            operator = rules.operator(claims)
        except NotAnOperator:
            continue
        assert operator.name == claims[rules.name_claim]
