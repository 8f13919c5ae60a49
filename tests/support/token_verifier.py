"""Verifies tokens of a fake OIDC provider."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from adapters.oidc.jwks_cache import JwksCache
from adapters.oidc.operator_tokens import OidcOperatorTokens
from adapters.oidc.provider import OidcProvider, ProviderTooSlow
from adapters.system.call_with_timeout import CallWithTimeout
from tests.support.oidc_provider import (
    AUDIENCE,
    KEYS,
    Provider,
)

TIMEOUT_SECONDS = 10.0


@dataclass
class Verifier:
    """Verifies tokens as the API does, at a time that the test sets."""

    provider: Provider
    jwks_url: str = ""
    ca_file: Path | None = None
    timeout_seconds: float = TIMEOUT_SECONDS
    now: float = 1000.0
    keys: JwksCache = field(init=False)
    tokens: OidcOperatorTokens = field(init=False)

    def __post_init__(self) -> None:
        issuer = self.provider.issuer
        provider = OidcProvider(issuer, self.jwks_url, self.ca_file)
        fetch = CallWithTimeout(provider.keys, self.timeout_seconds, ProviderTooSlow)
        self.keys = JwksCache(issuer, fetch, lambda: self.now)
        self.tokens = OidcOperatorTokens(self.keys, issuer, AUDIENCE)

    def claims(self, token: str) -> Mapping[str, object] | None:
        return self.tokens.claims(token)

    def accepts(self, token: str) -> bool:
        return self.claims(token) is not None

    @property
    def fetches(self) -> int:
        return self.provider.asked.count(KEYS)
