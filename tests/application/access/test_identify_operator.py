"""Which operator makes a call, by the key that it presents."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.ports.store.store import StoreUnavailable
from domain.errors import (
    LocalOperatorsOnly,
    OperatorKeyRefused,
    OperatorKeyRequired,
)
from domain.keys import PlaintextKey
from domain.operator_key import Operator
from domain.role import Role
from tests.support.builders import SECOND
from tests.support.canary_secrets import almost, canary
from tests.support.operators import ELSEWHERE, HERE, HOUR, Access

SETTING = canary("operator key")


@pytest.fixture
def access() -> Access:
    return Access()


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("on_this_machine", [HERE, ELSEWHERE])
def test_a_key_identifies_its_owner_and_role_from_any_machine(
    access: Access, role: Role, on_this_machine: bool
) -> None:
    presented_key = access.key("ann", role)

    assert access.identify_with(presented_key, on_this_machine=on_this_machine) == Operator(
        "ann", role, "ok-aaaaaaaaaa", "10.0.0.7"
    )


@pytest.mark.parametrize("on_this_machine", [HERE, ELSEWHERE])
def test_the_key_of_the_setting_identifies_an_admin(on_this_machine: bool) -> None:
    access = Access(SETTING)

    assert access.identify_with(SETTING, on_this_machine=on_this_machine) == Operator(
        "OPERATOR_KEY", Role.ADMIN, "OPERATOR_KEY", "10.0.0.7"
    )


def test_an_operators_key_in_the_setting_does_not_make_its_owner_an_admin() -> None:
    access = Access(f"ok-aaaaaaaaaa.{canary('secret a')}")
    with pytest.raises(OperatorKeyRefused):
        access.identify_with(access.identify.operator_key)
    presented_key = access.key("ann", Role.VIEWER)

    assert access.identify_with(presented_key).role is Role.VIEWER
    with pytest.raises(OperatorKeyRequired):
        access.identify_with()


@pytest.mark.parametrize("presented_key", almost(SETTING))
def test_a_key_that_is_almost_the_setting_is_refused(presented_key: str) -> None:
    with pytest.raises(OperatorKeyRefused):
        Access(SETTING).identify_with(presented_key)


def test_a_local_caller_needs_no_key_while_no_key_exists(access: Access) -> None:
    assert access.identify_with() == Operator("local", Role.ADMIN, "", "10.0.0.7")
    with pytest.raises(LocalOperatorsOnly):
        access.identify_with(on_this_machine=ELSEWHERE)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_keys_of_lower_roles_do_not_close_the_machine(access: Access, role: Role) -> None:
    access.key("ann", role)

    assert access.identify_with().role is Role.ADMIN


@pytest.mark.parametrize("on_this_machine", [HERE, ELSEWHERE])
def test_with_a_key_in_the_setting_every_caller_needs_one(on_this_machine: bool) -> None:
    with pytest.raises(OperatorKeyRequired):
        Access(SETTING).identify_with(on_this_machine=on_this_machine)


@pytest.mark.parametrize("on_this_machine", [HERE, ELSEWHERE])
def test_with_an_admins_key_every_caller_needs_one(access: Access, on_this_machine: bool) -> None:
    access.key("ann", Role.ADMIN)

    with pytest.raises(OperatorKeyRequired):
        access.identify_with(on_this_machine=on_this_machine)


def test_the_machine_stays_closed_when_the_last_admins_key_becomes_invalid(
    access: Access,
) -> None:
    access.key("ann", Role.ADMIN, HOUR)
    access.key("bob", Role.ADMIN)
    access.clock.advance(HOUR)
    access.revoke("ok-bbbbbbbbbb")

    with pytest.raises(OperatorKeyRequired):
        access.identify_with()


def wrong_secret(access: Access) -> str:
    return access.key()[:-1] + "é"


def unknown(access: Access) -> str:
    return "ok-zzzzzzzzzz" + access.key()[13:]


def secret_of_another(access: Access) -> str:
    return access.key()[:13] + access.key("bob")[13:]


def expired(access: Access) -> str:
    key = access.key(expires_in=HOUR)
    access.clock.advance(HOUR)
    return key


def revoked(access: Access) -> str:
    key = access.key()
    access.revoke(key[:13])
    return key


def without_its_secret(access: Access) -> str:
    return access.key()[:13]


def its_digest(access: Access) -> str:
    key, _ = access.create("ann", Role.ADMIN, None, "local")
    return f"{key.key_id}.{key.digest}"


def of_a_host(access: Access) -> str:
    return access.key().replace("ok-", "jk-")


@pytest.mark.parametrize("on_this_machine", [HERE, ELSEWHERE])
@pytest.mark.parametrize(
    "wrong",
    [
        wrong_secret,
        unknown,
        secret_of_another,
        expired,
        revoked,
        without_its_secret,
        its_digest,
        of_a_host,
        lambda _: "",
        lambda _: "guess",
    ],
)
def test_every_invalid_key_gets_the_same_answer(
    access: Access, wrong: Callable[[Access], str], on_this_machine: bool
) -> None:
    presented_key = wrong(access)

    with pytest.raises(OperatorKeyRefused) as refused:
        access.identify_with(presented_key, on_this_machine=on_this_machine)
    assert str(refused.value) == str(OperatorKeyRefused())


def test_a_wrong_key_is_refused_where_no_key_is_needed(access: Access) -> None:
    assert access.identify_with().name == "local"

    with pytest.raises(OperatorKeyRefused):
        access.identify_with("ok-aaaaaaaaaa.guess")


def test_a_secret_is_compared_even_for_an_unknown_id(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[Any] = []
    matches = PlaintextKey.matches

    def recorded(key: PlaintextKey, digest: str) -> bool:
        compared.append(key.key_id)
        return matches(key, digest)

    monkeypatch.setattr(PlaintextKey, "matches", recorded)
    for sent in (access.key()[:-1], unknown(access)):
        with pytest.raises(OperatorKeyRefused):
            access.identify_with(sent)

    assert compared == ["ok-aaaaaaaaaa", "ok-zzzzzzzzzz"]


def test_a_key_is_valid_until_it_expires(access: Access) -> None:
    presented_key = access.key(expires_in=HOUR)
    access.clock.advance(HOUR - SECOND)

    assert access.identify_with(presented_key).name == "ann"

    access.clock.advance(SECOND)

    with pytest.raises(OperatorKeyRefused):
        access.identify_with(presented_key)


def test_no_caller_is_admitted_while_the_store_is_unavailable(access: Access) -> None:
    presented_key = access.key()
    access.store.is_unavailable = True

    for sent in (None, presented_key):
        with pytest.raises(StoreUnavailable):
            access.identify_with(sent)


def test_the_key_of_the_setting_needs_no_store() -> None:
    access = Access(SETTING)
    access.store.is_unavailable = True

    assert access.identify_with(SETTING).role is Role.ADMIN
    with pytest.raises(OperatorKeyRequired):
        access.identify_with()


@given(st.text(st.characters()))
def test_no_other_text_is_accepted_as_a_key(text: str) -> None:
    access = Access(SETTING)
    access.key()

    with pytest.raises(OperatorKeyRefused):
        access.identify_with(text)
