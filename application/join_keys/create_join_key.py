from collections.abc import Callable
from dataclasses import dataclass, replace

from application.access.authenticate_host import AuthenticateHost
from application.ports.clock import Clock
from application.ports.new_key import NewKey
from application.ports.store.store import Store
from domain.errors import NoCertificatesIssued
from domain.join_key import JoinKey, NewJoinKey
from domain.keys import JOIN_KEY, PlaintextKey


@dataclass(frozen=True, slots=True)
class CreatedJoinKey:
    """`everybody_may_join` also without it: then it limits nobody."""

    key: JoinKey
    plaintext_key: PlaintextKey
    is_open_registration: bool


def no_certificate_authority() -> str:
    raise NoCertificatesIssued


@dataclass(frozen=True)
class CreateJoinKey:
    """Make a key by which hosts join, and show it this once.

    Raises InvalidField, and what `pin_authority` raises where the key is to have a pin.
    """

    store: Store
    clock: Clock
    new_key: NewKey
    authenticate_host: AuthenticateHost
    # The digest of the authority by which hosts may know this API.
    pin_authority: Callable[[], str] = no_certificate_authority

    def __call__(
        self, new: NewJoinKey, created_by: str, *, pins_authority: bool = False
    ) -> CreatedJoinKey:
        new.check()
        authority_digest = self.pin_authority() if pins_authority else ""
        shown = replace(self.new_key(JOIN_KEY), authority_digest=authority_digest)
        key = new.key(shown.key_id, shown.digest, self.clock.now(), created_by)
        with self.store.begin() as transaction:
            transaction.join_keys.add(key)
        return CreatedJoinKey(key, shown, self.authenticate_host.is_open_registration)
