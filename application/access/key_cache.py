from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from application.access.authenticate_host import AuthenticateHost
from application.ports.store.store import Store
from domain.errors import InvalidRegistrationKey
from domain.keys import PlaintextKey
from domain.shared_keys import check_registration_key

# For each kind. Keys beyond this are valid, but their callers share the limit of unauthenticated
# callers.
_MAX_KEYS = 20_000
_MAX_TOKENS = 10_000


@dataclass
class KeyCache:
    """The keys that existed at the last refresh. They tell authenticated callers from others before
    anything waits for a store or a disk; they do not decide whether a call is admitted.
    """

    store: Store
    authenticate_host: AuthenticateHost
    # None before the first refresh, when every caller is unauthenticated.
    _shared: Sequence[str] | None = field(init=False, default=None, repr=False)
    _knows_credentials: bool = field(init=False, default=False)
    _digests: Mapping[str, str] = field(init=False, default_factory=dict, repr=False)
    _any_admin: bool = field(init=False, default=True)
    # Credential ids by the digest of the token, oldest first.
    _tokens: dict[bytes, str] = field(init=False, default_factory=dict, repr=False)

    def refresh(self) -> None:
        """Read the keys. May wait for the store; raises StoreUnavailable and StoreFailed."""
        self._shared = tuple(self.authenticate_host.registration_keys())
        if self.authenticate_host.credentials:
            self.authenticate_host.credentials.prepare()
        self._knows_credentials = True
        with self.store.begin() as transaction:
            any_admin = transaction.operator_keys.any_admin()
            operator_keys = transaction.operator_keys.page("", _MAX_KEYS)
            join_keys = transaction.join_keys.page("", _MAX_KEYS)
        digests = {key.key_id: key.digest for key in operator_keys if key.revoked_at is None}
        digests |= {key.key_id: key.digest for key in join_keys if key.revoked_at is None}
        self._digests, self._any_admin = digests, any_admin

    @property
    def any_admin(self) -> bool:
        """Whether an admin's key existed at the last refresh."""
        return self._any_admin

    def remember_token(self, token: str | None, credential_id: str) -> None:
        """Remember that the token was valid a moment ago. The store does not know tokens of an OIDC
        provider, so `refresh` does not find them."""
        if token:
            while len(self._tokens) >= _MAX_TOKENS:
                del self._tokens[next(iter(self._tokens))]
            self._tokens[_digest(token)] = credential_id

    def token_owner(self, token: str) -> str | None:
        """The public id of the operator who sends the token; None unless it was valid before."""
        return self._tokens.get(_digest(token)) if self._tokens else None

    def credential_owner(self, credential: str) -> int | None:
        """The id of the credential's server; None if it is missing, forged or expired."""
        proof = (
            self.authenticate_host.proof_of_identity(credential)
            if self._knows_credentials
            else None
        )
        return proof.server_id if proof else None

    def admits(self, registration_key: str) -> bool:
        """Whether the configuration admits a host with this key. It admits any host if no key is
        configured or required."""
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

    def contains(self, plaintext_key: PlaintextKey) -> bool:
        return plaintext_key.matches(self._digests.get(plaintext_key.key_id))


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="surrogatepass")).digest()
