from dataclasses import dataclass

from application.admit_host import AdmitHost
from application.ports.clock import Clock
from application.ports.new_key import NewKey
from application.ports.store import Store
from domain.join_key import JoinKey, NewJoinKey
from domain.keys import JOIN_KEY, ShownKey


@dataclass(frozen=True, slots=True)
class CreatedJoinKey:
    """`everybody_may_join` also without it: then it limits nobody."""

    key: JoinKey
    shown: ShownKey
    everybody_may_join: bool


@dataclass(frozen=True)
class CreateJoinKey:
    """Make a key by which hosts join, and show it this once. Raises InvalidField."""

    store: Store
    clock: Clock
    new_key: NewKey
    admit_host: AdmitHost

    def __call__(self, new: NewJoinKey, created_by: str) -> CreatedJoinKey:
        new.check()
        shown = self.new_key(JOIN_KEY)
        key = new.key(shown.key_id, shown.digest, self.clock.now(), created_by)
        with self.store.begin() as transaction:
            transaction.join_keys.add(key)
        return CreatedJoinKey(key, shown, self.admit_host.everybody_may_join)
