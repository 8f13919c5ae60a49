from dataclasses import dataclass, field
from enum import Enum, auto

from application.access.key_cache import KeyCache
from application.access.rate_limit import RateLimit
from domain.keys import JOIN_KEY, OPERATOR_KEY, PlaintextKey, equal_in_constant_time
from domain.operator_key import BY_SETTING, LOCAL
from domain.spiffe import NOT_CERTIFIED, Certified

_SHARED_KEY = "REGISTRATION_KEY"


class CallerKind(Enum):
    """How a caller is authenticated, as far as that is known without the store."""

    CREDENTIAL = auto()
    KEY = auto()
    UNAUTHENTICATED = auto()


@dataclass(frozen=True)
class LimitCalls:
    """Limits the rate of calls of each server by its credential, of each key of hosts and of
    operators, and of unauthenticated callers by their network. So a flood of calls, with a key or
    without, does not affect other callers, even behind the same proxy.

    A new key counts after the next refresh of the key cache. Every method raises TooManyCalls and
    waits for nothing.
    """

    key_cache: KeyCache
    of_servers: RateLimit
    of_host_keys: RateLimit
    of_operators: RateLimit
    unauthenticated: RateLimit
    # The setting OPERATOR_KEY.
    operator_key: str | None = field(default=None, repr=False)

    def of_host(
        self,
        registration_key: str,
        credential: str,
        network: str,
        certified_as: Certified = NOT_CERTIFIED,
    ) -> CallerKind:
        """`network` identifies the address from which the host calls."""
        server_id = certified_as.server_id or self.key_cache.credential_owner(credential)
        if server_id is not None:
            self.of_servers.take(str(server_id))
            return CallerKind.CREDENTIAL
        key = self._host_key(registration_key)
        if key is None:
            self.unauthenticated.take(network)
            return CallerKind.UNAUTHENTICATED
        self.of_host_keys.take(key)
        return CallerKind.KEY

    def of_operator(
        self,
        presented_key: str | None,
        network: str,
        *,
        on_this_machine: bool,
        certified_as: Certified = NOT_CERTIFIED,
    ) -> CallerKind:
        """`presented_key` is None if no key was sent."""
        is_certified = presented_key is None and certified_as.key_id
        name = (
            certified_as.key_id if is_certified else self._operator(presented_key, on_this_machine)
        )
        if name is None:
            self.unauthenticated.take(network)
            return CallerKind.UNAUTHENTICATED
        self.of_operators.take(name)
        return CallerKind.KEY

    def _host_key(self, presented_key: str) -> str | None:
        if self.key_cache.admits(presented_key):
            return _SHARED_KEY
        join_key = PlaintextKey.parse(presented_key, JOIN_KEY)
        return join_key.key_id if join_key and self.key_cache.contains(join_key) else None

    def _operator(self, presented_key: str | None, on_this_machine: bool) -> str | None:
        if presented_key is None:
            needs_key = self.operator_key is not None or self.key_cache.any_admin
            return LOCAL if on_this_machine and not needs_key else None
        operator_key = PlaintextKey.parse(presented_key, OPERATOR_KEY)
        if operator_key:
            return operator_key.key_id if self.key_cache.contains(operator_key) else None
        if self.operator_key and equal_in_constant_time(presented_key, self.operator_key):
            return BY_SETTING
        return self.key_cache.token_owner(presented_key)
