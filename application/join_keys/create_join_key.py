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
    """With `is_open_registration` any host may join without a key, so the key restricts nothing."""

    key: JoinKey
    plaintext_key: PlaintextKey
    is_open_registration: bool


def no_certificate_authority() -> str:
    raise NoCertificatesIssued


@dataclass(frozen=True)
class CreateJoinKey:
    """Create a key that hosts can join with. It is shown only once.

    Raises InvalidField, and the errors of `pin_authority` if the key is to pin the authority.
    """

    store: Store
    clock: Clock
    new_key: NewKey
    authenticate_host: AuthenticateHost
    # Returns the digest of the certificate authority that hosts can verify this API with.
    pin_authority: Callable[[], str] = no_certificate_authority

    def __call__(
        self, new: NewJoinKey, created_by: str, *, pins_authority: bool = False
    ) -> CreatedJoinKey:
        new.check()
        authority_digest = self.pin_authority() if pins_authority else ""
        plaintext_key = replace(self.new_key(JOIN_KEY), authority_digest=authority_digest)
        key = new.key(plaintext_key.key_id, plaintext_key.digest, self.clock.now(), created_by)
        with self.store.begin() as transaction:
            transaction.join_keys.add(key)
        return CreatedJoinKey(key, plaintext_key, self.authenticate_host.is_open_registration)
