from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from application.access.authenticate_host import AuthenticateHost
from application.ports.store.store import Store
from domain.errors import InvalidRegistrationKey
from domain.keys import PlaintextKey
from domain.shared_keys import check_registration_key

# Of each kind. Those beyond are as good, and their callers under the limit of strangers.
_MAX_KEYS = 20_000
_MAX_TOKENS = 10_000


@dataclass
class KeyCache:
    """The keys that there were at the last look, by which a caller is told from strangers before
    anything waits for a store or a disk. Whether the call is let in is for others to say.
    """

    store: Store
    authenticate_host: AuthenticateHost
    # Before the first look nobody is known.
    _shared: Sequence[str] | None = field(init=False, default=None, repr=False)
    _knows_credentials: bool = field(init=False, default=False)
    _digests: Mapping[str, str] = field(init=False, default_factory=dict, repr=False)
    _any_admin: bool = field(init=False, default=True)
    # By digest, the oldest first.
    _tokens: dict[bytes, str] = field(init=False, default_factory=dict, repr=False)

    def refresh(self) -> None:
        """May wait for the store, and raises StoreUnavailable and StoreFailed."""
        self._shared = tuple(self.authenticate_host.registration_keys())
        if self.authenticate_host.credentials:
            self.authenticate_host.credentials.prepare()
        self._knows_credentials = True
        with self.store.begin() as transaction:
            any_admin = transaction.operator_keys.any_admin()
            of_operators = transaction.operator_keys.page("", _MAX_KEYS)
            of_hosts = transaction.join_keys.page("", _MAX_KEYS)
        digests = {key.key_id: key.digest for key in of_operators if key.revoked_at is None}
        digests |= {key.key_id: key.digest for key in of_hosts if key.revoked_at is None}
        self._digests, self._any_admin = digests, any_admin

    @property
    def any_admin(self) -> bool:
        """Whether there was a key of an administrator."""
        return self._any_admin

    def remember_token(self, token: str | None, credential_id: str) -> None:
        """That it was good just now, which no look at the store tells of a provider's token."""
        if token:
            while len(self._tokens) >= _MAX_TOKENS:
                del self._tokens[next(iter(self._tokens))]
            self._tokens[_digest(token)] = credential_id

    def token_owner(self, token: str) -> str | None:
        """The public id of who sends it; None for one that is not known to have been good."""
        return self._tokens.get(_digest(token)) if self._tokens else None

    def server_of(self, credential: str) -> int | None:
        """Whose credential it is; None for one that is missing, forged or expired."""
        own = (
            self.authenticate_host.proof_of_identity(credential)
            if self._knows_credentials
            else None
        )
        return own.server_id if own else None

    def admits(self, registration_key: str) -> bool:
        """Whether what is configured lets in who shows it, as everybody where there is no key."""
        if self._shared is None:
            return False
        try:
            required = self.authenticate_host.key_required
            return (
                check_registration_key(self._shared, registration_key, key_required=required)
                is None
            )
        except InvalidRegistrationKey:
            return False

    def contains(self, shown: PlaintextKey) -> bool:
        return shown.matches(self._digests.get(shown.key_id))


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="surrogatepass")).digest()
