"""Who makes an operators' call, by which key, and who makes the keys."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.memory.clock import MemoryClock
from adapters.memory.store import MemoryStore
from adapters.system.new_key import new_key
from application.access.identify_operator import IdentifyOperator
from application.operators.create_operator_key import CreateOperatorKey
from application.operators.list_operator_keys import ListOperatorKeys
from application.operators.revoke_operator_key import RevokeOperatorKey
from application.ports.store.store import StoreUnavailable
from domain.errors import (
    InvalidField,
    LocalOperatorsOnly,
    OperatorKeyNotFound,
    OperatorKeyRefused,
    OperatorKeyRequired,
)
from domain.keys import OPERATOR_KEY, PlaintextKey
from domain.operator_key import Operator, OperatorKey
from domain.role import Role
from tests.support.builders import NOW, SECOND
from tests.support.canary_keys import CanaryKeys
from tests.support.canary_secrets import almost, canary
from tests.support.fleet import TroubledStore

HERE, ELSEWHERE = True, False
SETTING = canary("operator key")
HOUR = timedelta(hours=1)


class Access:
    def __init__(self, setting: str | None = None) -> None:
        self.store = TroubledStore(MemoryStore())
        self.clock = MemoryClock(NOW)
        self.create = CreateOperatorKey(self.store, self.clock, CanaryKeys())
        self.revoke = RevokeOperatorKey(self.store, self.clock)
        self.list = ListOperatorKeys(self.store)
        self.identify = IdentifyOperator(self.store, self.clock, setting)

    def key(
        self, name: str = "ann", role: Role = Role.ADMIN, expires_in: timedelta | None = None
    ) -> str:
        return str(self.create(name, role, expires_in, "local")[1])

    def who(self, given: str | None = None, *, on_this_machine: bool = HERE) -> Operator:
        return self.identify(given, "10.0.0.7", on_this_machine=on_this_machine)


@pytest.fixture
def access() -> Access:
    return Access()


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("on_this_machine", [HERE, ELSEWHERE])
def test_who_sends_a_key_is_its_owner_with_its_role_from_anywhere(
    access: Access, role: Role, on_this_machine: bool
) -> None:
    given = access.key("ann", role)

    assert access.who(given, on_this_machine=on_this_machine) == Operator(
        "ann", role, "ok-aaaaaaaaaa", "10.0.0.7"
    )


@pytest.mark.parametrize("on_this_machine", [HERE, ELSEWHERE])
def test_who_sends_the_key_of_the_setting_is_an_admin(on_this_machine: bool) -> None:
    access = Access(SETTING)

    assert access.who(SETTING, on_this_machine=on_this_machine) == Operator(
        "OPERATOR_KEY", Role.ADMIN, "OPERATOR_KEY", "10.0.0.7"
    )


def test_the_key_of_an_operator_as_the_setting_makes_nobody_an_admin() -> None:
    access = Access(f"ok-aaaaaaaaaa.{canary('secret a')}")
    with pytest.raises(OperatorKeyRefused):
        access.who(access.identify.operator_key)
    given = access.key("ann", Role.VIEWER)

    assert access.who(given).role is Role.VIEWER
    with pytest.raises(OperatorKeyRequired):
        access.who()


@pytest.mark.parametrize("given", almost(SETTING))
def test_what_is_nearly_the_key_of_the_setting_is_refused(given: str) -> None:
    with pytest.raises(OperatorKeyRefused):
        Access(SETTING).who(given)


def test_a_caller_on_this_machine_needs_no_key_while_there_is_none(access: Access) -> None:
    assert access.who() == Operator("local", Role.ADMIN, "", "10.0.0.7")
    with pytest.raises(LocalOperatorsOnly):
        access.who(on_this_machine=ELSEWHERE)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_keys_of_others_than_admins_close_nothing(access: Access, role: Role) -> None:
    access.key("ann", role)

    assert access.who().role is Role.ADMIN


@pytest.mark.parametrize("on_this_machine", [HERE, ELSEWHERE])
def test_with_a_key_in_the_setting_nobody_comes_without(on_this_machine: bool) -> None:
    with pytest.raises(OperatorKeyRequired):
        Access(SETTING).who(on_this_machine=on_this_machine)


@pytest.mark.parametrize("on_this_machine", [HERE, ELSEWHERE])
def test_with_a_key_of_an_admin_nobody_comes_without(access: Access, on_this_machine: bool) -> None:
    access.key("ann", Role.ADMIN)

    with pytest.raises(OperatorKeyRequired):
        access.who(on_this_machine=on_this_machine)


def test_when_the_last_key_of_an_admin_is_of_no_use_this_machine_stays_closed(
    access: Access,
) -> None:
    access.key("ann", Role.ADMIN, HOUR)
    access.key("bob", Role.ADMIN)
    access.clock.advance(HOUR)
    access.revoke("ok-bbbbbbbbbb")

    with pytest.raises(OperatorKeyRequired):
        access.who()


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
def test_whatever_is_wrong_with_a_key_the_answer_is_the_same(
    access: Access, wrong: Callable[[Access], str], on_this_machine: bool
) -> None:
    given = wrong(access)

    with pytest.raises(OperatorKeyRefused) as refused:
        access.who(given, on_this_machine=on_this_machine)
    assert str(refused.value) == str(OperatorKeyRefused())


def test_a_wrong_key_is_not_as_good_as_none(access: Access) -> None:
    assert access.who().name == "local"

    with pytest.raises(OperatorKeyRefused):
        access.who("ok-aaaaaaaaaa.guess")


def test_a_secret_is_compared_also_where_nobody_has_the_id(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[Any] = []
    digests = PlaintextKey.matches

    def has(shown: PlaintextKey, digest: str) -> bool:
        compared.append(shown.key_id)
        return digests(shown, digest)

    monkeypatch.setattr(PlaintextKey, "matches", has)
    for sent in (access.key()[:-1], unknown(access)):
        with pytest.raises(OperatorKeyRefused):
            access.who(sent)

    assert compared == ["ok-aaaaaaaaaa", "ok-zzzzzzzzzz"]


def test_a_key_holds_until_its_last_moment(access: Access) -> None:
    given = access.key(expires_in=HOUR)
    access.clock.advance(HOUR - SECOND)

    assert access.who(given).name == "ann"

    access.clock.advance(SECOND)

    with pytest.raises(OperatorKeyRefused):
        access.who(given)


def test_who_is_unknown_while_the_store_is_away_is_let_in_by_no_way(access: Access) -> None:
    given = access.key()
    access.store.is_away = True

    for sent in (None, given):
        with pytest.raises(StoreUnavailable):
            access.who(sent)


def test_the_key_of_the_setting_needs_no_store() -> None:
    access = Access(SETTING)
    access.store.is_away = True

    assert access.who(SETTING).role is Role.ADMIN
    with pytest.raises(OperatorKeyRequired):
        access.who()


@given(st.text(st.characters()))
def test_no_other_text_at_all_is_a_key(text: str) -> None:
    access = Access(SETTING)
    access.key()

    with pytest.raises(OperatorKeyRefused):
        access.who(text)


def test_a_key_is_kept_as_a_digest_with_who_made_it(access: Access) -> None:
    key, shown = access.create("ann", Role.VIEWER, HOUR, "bob")
    with access.store.begin() as transaction:
        kept = transaction.operator_keys.get("ok-aaaaaaaaaa")

    assert kept == key
    assert kept == OperatorKey(
        "ok-aaaaaaaaaa", shown.digest, "ann", Role.VIEWER, NOW, "bob", NOW + HOUR
    )
    assert shown.secret not in repr((kept, shown))


@pytest.mark.parametrize(
    "name", ["", " ", " ann", "ann ", "an\nn", "x" * 101, "\u200b", "local", "OPERATOR_KEY"]
)
def test_a_name_that_is_none_gets_no_key(access: Access, name: str) -> None:
    with pytest.raises(InvalidField) as refused:
        access.create(name, Role.VIEWER, None, "local")

    assert refused.value.field == "name"
    assert not access.list(size=1).keys


def test_keys_are_listed_in_pages_also_those_of_no_use(access: Access) -> None:
    for name in ("ann", "bob", "cleo"):
        access.key(name, Role.VIEWER, HOUR)
    access.revoke("ok-bbbbbbbbbb")
    access.clock.advance(HOUR)
    first = access.list(size=2)
    last = access.list(size=2, after=first.next_after or "")

    assert [key.name for key in first.keys] == ["ann", "bob"]
    assert first.next_after == "ok-bbbbbbbbbb"
    assert [key.name for key in last.keys] == ["cleo"]
    assert last.next_after is None


def test_who_revokes_a_key_twice_leaves_the_first_time(access: Access) -> None:
    access.key()
    first = access.revoke("ok-aaaaaaaaaa")
    access.clock.advance(HOUR)

    assert first.revoked_at == NOW
    assert access.revoke("ok-aaaaaaaaaa") == first


def test_a_key_that_is_none_cannot_be_revoked(access: Access) -> None:
    given = access.key()
    with pytest.raises(OperatorKeyNotFound):
        access.revoke("ok-zzzzzzzzzz")
    with pytest.raises(InvalidField) as refused:
        access.revoke(given)

    assert refused.value.field == "key_id"
    assert canary("secret a") not in str(refused.value)
    assert access.who(given).name == "ann"


def test_made_keys_are_of_their_kind_and_never_the_same() -> None:
    made = [new_key(OPERATOR_KEY) for _ in range(100)]

    assert len({key.key_id for key in made}) == len({key.secret for key in made}) == 100
    for key in made:
        assert PlaintextKey.parse(str(key), OPERATOR_KEY) == key
        assert len(key.secret) == 43
