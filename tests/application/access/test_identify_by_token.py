"""Which operator makes a call, by a token of an OIDC provider."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.memory.clock import MemoryClock
from adapters.memory.store import MemoryStore
from application.access.identify_by_token import IdentifyByToken
from application.access.identify_operator import IdentifyOperator
from application.operators.create_operator_key import CreateOperatorKey
from application.ports.operator_tokens import ProviderUnavailable
from domain.errors import NotAnOperator, OperatorKeyRefused, OperatorKeyRequired
from domain.operator_key import Operator
from domain.operator_token import ROLES_BY_NAME, ClaimRules
from domain.role import Role
from tests.support.builders import NOW
from tests.support.canary_keys import CanaryKeys
from tests.support.canary_secrets import canary
from tests.support.fleet import UnreliableStore

HERE, ELSEWHERE = True, False
SETTING = canary("operator key")
TOKEN = canary("token")


@dataclass
class FakeTokens:
    """`good` has the claims of tokens; `asked` are those that came here."""

    good: dict[str, dict[str, object]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    is_unavailable: bool = False

    def claims(self, token: str) -> Mapping[str, object] | None:
        self.asked.append(token)
        if self.is_unavailable:
            raise ProviderUnavailable
        return self.good.get(token)


class Access:
    def __init__(self, setting: str | None = None) -> None:
        self.store = UnreliableStore(MemoryStore())
        self.tokens = FakeTokens({TOKEN: {"sub": "ann", "role": ["operator"]}})
        clock = MemoryClock(NOW)
        self.create = CreateOperatorKey(self.store, clock, CanaryKeys())
        rules = ClaimRules("sub", "role", ROLES_BY_NAME)
        by_token = IdentifyByToken(self.tokens, rules)
        self.identify = IdentifyOperator(self.store, clock, setting, by_token)

    def identify_with(self, given: str | None = None, *, on_this_machine: bool = HERE) -> Operator:
        return self.identify(given, "10.0.0.7", on_this_machine=on_this_machine)


@pytest.fixture
def access() -> Access:
    return Access()


@pytest.mark.parametrize("on_this_machine", [HERE, ELSEWHERE])
@pytest.mark.parametrize("setting", [None, SETTING])
def test_a_valid_token_identifies_its_operator(setting: str | None, on_this_machine: bool) -> None:
    assert Access(setting).identify_with(TOKEN, on_this_machine=on_this_machine) == Operator(
        "ann", Role.OPERATOR, "oidc:ann", "10.0.0.7"
    )


def test_a_token_needs_no_store(access: Access) -> None:
    access.store.is_unavailable = True

    assert access.identify_with(TOKEN).name == "ann"


@pytest.mark.parametrize("on_this_machine", [HERE, ELSEWHERE])
def test_with_a_provider_every_operator_needs_a_credential(
    access: Access, on_this_machine: bool
) -> None:
    with pytest.raises(OperatorKeyRequired):
        access.identify_with(on_this_machine=on_this_machine)


def test_keys_are_accepted_beside_tokens_and_the_provider_never_sees_them() -> None:
    access = Access(SETTING)
    key = str(access.create("bob", Role.VIEWER, None, "local")[1])
    access.tokens.is_unavailable = True

    assert access.identify_with(key).credential_id == "ok-aaaaaaaaaa"
    assert access.identify_with(SETTING).credential_id == "OPERATOR_KEY"
    with pytest.raises(OperatorKeyRefused):
        access.identify_with(key[:-1])
    assert access.tokens.asked == []


def test_an_invalid_token_is_refused_like_an_invalid_key(access: Access) -> None:
    with pytest.raises(OperatorKeyRefused) as refused:
        access.identify_with("another")

    assert str(refused.value) == (
        "the operator key or token is not valid: it is mistyped, expired, revoked"
        " or for another API"
    )


def test_a_token_without_a_role_is_refused_and_logged(
    access: Access, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    access.tokens.good[TOKEN] = {"sub": "a\nn", "role": "cook"}
    with pytest.raises(NotAnOperator, match="claim sub contains a character that is not printable"):
        access.identify_with(TOKEN)
    access.tokens.good[TOKEN] = {"sub": "ann", "role": "cook"}
    with pytest.raises(NotAnOperator) as refused:
        access.identify_with(TOKEN)

    first, second = caplog.messages
    assert first.startswith(r"refused 'a\nn' at 10.0.0.7: ")
    assert second == f"refused 'ann' at 10.0.0.7: {refused.value}"


def test_a_token_that_cannot_be_checked_is_not_refused_as_invalid(access: Access) -> None:
    access.tokens.is_unavailable = True

    with pytest.raises(ProviderUnavailable, match="try again, or use an operator's key"):
        access.identify_with(TOKEN)


@given(st.text(st.characters()))
def test_no_other_text_at_all_is_a_token(text: str) -> None:
    with pytest.raises(OperatorKeyRefused):
        Access().identify_with(text)
