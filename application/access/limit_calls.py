from dataclasses import dataclass, field
from enum import Enum, auto

from application.access.key_cache import KeyCache
from application.access.rate_limit import RateLimit
from domain.keys import JOIN_KEY, OPERATOR_KEY, PlaintextKey, equal_in_constant_time
from domain.operator_key import BY_SETTING, LOCAL
from domain.spiffe import NOT_CERTIFIED, Certified

_SHARED_KEY = "REGISTRATION_KEY"


class Caller(Enum):
    """By what one is known, as far as that is told without the store."""

    CREDENTIAL = auto()
    KEY = auto()
    NOTHING = auto()


@dataclass(frozen=True)
class LimitCalls:
    """Who calls too often, by the key that is shown: each server by its credential, each key of
    hosts and of operators, and each address from which others are shown. So who floods without a
    key, or with one, leaves the others alone, also behind the same proxy.

    A key that is new is known after the next look. Each call raises TooManyCalls, and waits for
    nothing.
    """

    key_cache: KeyCache
    of_servers: RateLimit
    of_host_keys: RateLimit
    of_operators: RateLimit
    unauthenticated: RateLimit
    # The setting's.
    operator_key: str | None = field(default=None, repr=False)

    def of_host(
        self,
        registration_key: str,
        credential: str,
        network: str,
        certified_as: Certified = NOT_CERTIFIED,
    ) -> Caller:
        """`network` is from where it calls."""
        server_id = certified_as.server_id or self.key_cache.server_of(credential)
        if server_id is not None:
            self.of_servers.take(str(server_id))
            return Caller.CREDENTIAL
        key = self._host_key(registration_key)
        if key is None:
            self.unauthenticated.take(network)
            return Caller.NOTHING
        self.of_host_keys.take(key)
        return Caller.KEY

    def of_operator(
        self,
        given: str | None,
        network: str,
        *,
        on_this_machine: bool,
        certified_as: Certified = NOT_CERTIFIED,
    ) -> Caller:
        """`given` is None where no key was sent."""
        is_certified = given is None and certified_as.key_id
        name = certified_as.key_id if is_certified else self._operator(given, on_this_machine)
        if name is None:
            self.unauthenticated.take(network)
            return Caller.NOTHING
        self.of_operators.take(name)
        return Caller.KEY

    def _host_key(self, given: str) -> str | None:
        if self.key_cache.admits(given):
            return _SHARED_KEY
        shown = PlaintextKey.parse(given, JOIN_KEY)
        return shown.key_id if shown and self.key_cache.contains(shown) else None

    def _operator(self, given: str | None, on_this_machine: bool) -> str | None:
        if given is None:
            needs_key = self.operator_key is not None or self.key_cache.any_admin
            return LOCAL if on_this_machine and not needs_key else None
        shown = PlaintextKey.parse(given, OPERATOR_KEY)
        if shown:
            return shown.key_id if self.key_cache.contains(shown) else None
        if self.operator_key and equal_in_constant_time(given, self.operator_key):
            return BY_SETTING
        return self.key_cache.token_owner(given)
