from dataclasses import dataclass, field

from application.access.identify_by_token import IdentifyByToken
from application.ports.clock import Clock
from application.ports.store.store import Store
from domain.errors import (
    LocalOperatorsOnly,
    OperatorCertificateRefused,
    OperatorKeyNotFound,
    OperatorKeyRefused,
    OperatorKeyRequired,
)
from domain.keys import OPERATOR_KEY, PlaintextKey, equal_in_constant_time
from domain.operator_key import BY_SETTING, LOCAL, Operator, OperatorKey
from domain.role import Role


@dataclass(frozen=True)
class IdentifyOperator:
    """Which operator makes a call, by the key or the token that was sent, otherwise by the
    certificate.

    A caller with none of these is an admin if it is on this machine, until the API has an
    OPERATOR_KEY or an OIDC provider, or once had a key of an admin: behind a proxy every caller
    seems to be on this machine.

    Raises OperatorKeyRequired, LocalOperatorsOnly, OperatorKeyRefused for every invalid key and
    OperatorCertificateRefused for every invalid certificate, whatever is wrong with it, and what
    IdentifyByToken raises.
    """

    store: Store
    clock: Clock
    # The setting OPERATOR_KEY.
    operator_key: str | None = field(repr=False)
    # None without an OIDC provider.
    identify_by_token: IdentifyByToken | None = None

    def __call__(
        self,
        presented_key: str | None,
        address: str,
        *,
        on_this_machine: bool,
        certified_as: str = "",
    ) -> Operator:
        """`presented_key` is None if no key was sent; a wrong key does not count as none.

        `certified_as` is the key_id in the operator's certificate that the caller presented.
        """
        if presented_key is None and certified_as:
            return self._certified(certified_as, address)
        if presented_key is None:
            return self._without_key(address, on_this_machine)
        plaintext_key = PlaintextKey.parse(presented_key, OPERATOR_KEY)
        # Checked before the setting, which may hold an operator's own key, for example when the API
        # was started from a shell that has it for the command. Its holder must not become an admin.
        if plaintext_key:
            return self._owner(plaintext_key, address)
        if self.operator_key is not None and equal_in_constant_time(
            presented_key, self.operator_key
        ):
            return Operator(BY_SETTING, Role.ADMIN, BY_SETTING, address)
        if self.identify_by_token:
            return self.identify_by_token(presented_key, address)
        raise OperatorKeyRefused

    def _owner(self, plaintext_key: PlaintextKey, address: str) -> Operator:
        key = self._find(plaintext_key.key_id)
        # Compared also where the id is unknown, so that this takes as long as a wrong secret.
        has_its_secret = plaintext_key.matches(key.digest if key else None)
        if key is None or not has_its_secret or not key.is_valid(self.clock.now()):
            raise OperatorKeyRefused
        return Operator(key.name, key.role, key.key_id, address)

    def _certified(self, key_id: str, address: str) -> Operator:
        key = self._find(key_id)
        if key is None or not key.is_valid(self.clock.now()):
            raise OperatorCertificateRefused
        return Operator(key.name, key.role, key.key_id, address)

    def _without_key(self, address: str, on_this_machine: bool) -> Operator:
        if self.operator_key is not None or self.identify_by_token:
            raise OperatorKeyRequired
        with self.store.begin() as transaction:
            has_admin = transaction.operator_keys.any_admin()
        if has_admin:
            raise OperatorKeyRequired
        if not on_this_machine:
            raise LocalOperatorsOnly
        return Operator(LOCAL, Role.ADMIN, "", address)

    def _find(self, key_id: str) -> OperatorKey | None:
        with self.store.begin() as transaction:
            try:
                return transaction.operator_keys.get(key_id)
            except OperatorKeyNotFound:
                return None
