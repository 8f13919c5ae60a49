"""Join keys with known secrets, and hosts that join with them."""

from dataclasses import replace
from typing import Any

from application.access.authenticate_host import AuthenticateHost
from application.join_keys.create_join_key import CreatedJoinKey, CreateJoinKey
from application.join_keys.list_join_key_uses import ListJoinKeyUses
from application.join_keys.list_join_keys import ListJoinKeys
from application.join_keys.revoke_join_key import RevokeJoinKey
from application.ports.store.access.join_keys import JoinKeyUse
from application.registration.register_server import Registered, Registration
from domain.join_key import NewJoinKey
from domain.keys import PlaintextKey
from tests.support.builders import evidence
from tests.support.canary_secrets import canary
from tests.support.fleet import Fleet

SHARED = canary("registration key")
SECRET = canary("join key")
HERE = evidence("disk", "board", "boot 1", "process 1")
ELSEWHERE = evidence("other disk", "other board", "other boot", "process 3")


def with_keys(fleet: Fleet, authenticate_host: AuthenticateHost) -> Fleet:
    fleet.register = replace(fleet.register, authenticate_host=authenticate_host)
    fleet.deregister = replace(fleet.deregister, authenticate_host=authenticate_host)
    return fleet


def make(fleet: Fleet, **terms: Any) -> CreatedJoinKey:
    numbers = iter("abcdefghijklmnopqrstuvwxyz")
    taken = {used_key.key.key_id for used_key in ListJoinKeys(fleet.store)(size=50).keys}

    def canary_key(kind: str) -> PlaintextKey:
        ids = (f"{kind}-{letter * 10}" for letter in numbers)
        return PlaintextKey(next(key_id for key_id in ids if key_id not in taken), SECRET)

    create = CreateJoinKey(fleet.store, fleet.clock, canary_key, fleet.register.authenticate_host)
    return create(NewJoinKey(**terms), "anna")


def join(fleet: Fleet, key: CreatedJoinKey | str, name: str = "web", **others: Any) -> Registered:
    presented_key = key if isinstance(key, str) else str(key.plaintext_key)
    return fleet.register(Registration(name, registration_key=presented_key, **others))


def uses(fleet: Fleet, key: CreatedJoinKey) -> list[JoinKeyUse]:
    return list(ListJoinKeyUses(fleet.store)(key.key.key_id, size=50).uses)


def revoke(fleet: Fleet, key: CreatedJoinKey) -> None:
    RevokeJoinKey(fleet.store, fleet.clock)(key.key.key_id)
