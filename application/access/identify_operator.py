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
    """Who makes an operators' call, by the key or the token that was sent, else by the certificate.

    Without any: callers on this machine, as admins, until the API has an OPERATOR_KEY or an OIDC
    provider, or had a key of an admin, since behind a proxy every caller seems to be on this
    machine. Raises OperatorKeyRequired, LocalOperatorsOnly, OperatorKeyRefused for every
    key that is not valid, whatever is wrong with it, as OperatorCertificateRefused for every
    certificate, and what IdentifyByToken raises.
    """

    store: Store
    clock: Clock
    # The setting's.
    operator_key: str | None = field(repr=False)
    # None without an OIDC provider.
    identify_by_token: IdentifyByToken | None = None

    def __call__(
        self, given: str | None, address: str, *, on_this_machine: bool, certified_as: str = ""
    ) -> Operator:
        """`given` is None where no key was sent; one that is wrong does not count as none.

        `certified_as` is the key_id in the operator's certificate that the caller has shown.
        """
        if given is None and certified_as:
            return self._certified(certified_as, address)
        if given is None:
            return self._without_key(address, on_this_machine)
        shown = PlaintextKey.parse(given, OPERATOR_KEY)
        # First: an API that was started with somebody's own key as its setting, from the shell
        # that has it for the command say, makes nobody an admin.
        if shown:
            return self._owner(shown, address)
        if self.operator_key is not None and equal_in_constant_time(given, self.operator_key):
            return Operator(BY_SETTING, Role.ADMIN, BY_SETTING, address)
        if self.identify_by_token:
            return self.identify_by_token(given, address)
        raise OperatorKeyRefused

    def _owner(self, shown: PlaintextKey, address: str) -> Operator:
        key = self._known(shown.key_id)
        # An id that is unknown takes no less time than a wrong secret.
        is_its_secret = shown.matches(key.digest if key else None)
        if key is None or not is_its_secret or not key.is_valid(self.clock.now()):
            raise OperatorKeyRefused
        return Operator(key.name, key.role, key.key_id, address)

    def _certified(self, key_id: str, address: str) -> Operator:
        key = self._known(key_id)
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

    def _known(self, key_id: str) -> OperatorKey | None:
        with self.store.begin() as transaction:
            try:
                return transaction.operator_keys.get(key_id)
            except OperatorKeyNotFound:
                return None
