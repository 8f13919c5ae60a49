import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import jwt

from adapters.oidc.jwks_cache import JwksCache
from adapters.oidc.verifying_key import ALGORITHMS, VerifyingKey
from application.ports.operator_tokens import ProviderUnavailable

_log = logging.getLogger(__name__)

MAX_TOKEN_LENGTH = 12 * 1024
LEEWAY_SECONDS = 60
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")

# The library's errors about claims. The first that fits counts.
_WRONG_CLAIMS: Mapping[type[jwt.InvalidTokenError], str] = {
    jwt.ExpiredSignatureError: "it has expired",
    jwt.ImmatureSignatureError: "it is not valid yet: do the clocks agree?",
    jwt.InvalidAudienceError: "it is for others than OIDC_AUDIENCE",
    jwt.InvalidIssuerError: "it is of another issuer than OIDC_ISSUER",
    jwt.MissingRequiredClaimError: "it lacks one of iss, aud and exp",
    jwt.InvalidTokenError: "its claims make no sense",
}


@dataclass(frozen=True)
class OidcOperatorTokens:
    """JSON Web Tokens (RFC 7519) that are signed by one of the keys."""

    keys: JwksCache
    issuer: str
    audience: str

    def claims(self, token: str) -> Mapping[str, object] | None:
        wanted = _key_that_is_named(token)
        if wanted is None:
            _log.debug("a token was refused: it is none, or is signed in a way that is not taken")
            return None
        try:
            claims = self._verified(token, *wanted)
        except jwt.InvalidTokenError as error:
            # Only the provider can have made it, so nobody else fills the log with these.
            why = next(why for kind, why in _WRONG_CLAIMS.items() if isinstance(error, kind))
            _log.info("a token of the OIDC provider was refused: %s", why)
            return None
        if claims is None:
            _log.debug("a token was refused: it is signed by no key of the OIDC provider")
        return claims

    def _verified(self, token: str, key_id: str | None, algorithm: str) -> dict[str, Any] | None:
        """None for what none of the keys has signed. Raises InvalidTokenError for claims that are
        wrong, and ProviderUnavailable."""
        known = self.keys.known
        claims = self._signed_by(known, token, key_id, algorithm)
        if claims is not None:
            return claims
        self.keys.refresh()
        # In this order: whoever else asks tells the keys before the end.
        may_be_incomplete = self.keys.may_be_incomplete
        if self.keys.known is not known:
            known = self.keys.known
            claims = self._signed_by(known, token, key_id, algorithm)
        is_strange = not any(key.fits(key_id, algorithm) for key in known)
        if claims is None and is_strange and may_be_incomplete:
            raise ProviderUnavailable
        return claims

    def _signed_by(
        self, known: Sequence[VerifyingKey], token: str, key_id: str | None, algorithm: str
    ) -> dict[str, Any] | None:
        for key in known:
            if key.fits(key_id, algorithm):
                # The signature is looked at before the claims.
                with suppress(jwt.InvalidSignatureError):
                    return self._decode(token, key, algorithm)
        return None

    def _decode(self, token: str, key: VerifyingKey, algorithm: str) -> dict[str, Any]:
        return jwt.decode(
            token,
            key.public_key,
            algorithms=[algorithm],
            issuer=self.issuer,
            audience=self.audience,
            leeway=LEEWAY_SECONDS,
            options={"require": ["iss", "aud", "exp"]},
        )


def _key_that_is_named(token: str) -> tuple[str | None, str] | None:
    """The id of the key, where there is one, and the algorithm; None for what is no token."""
    if len(token) > MAX_TOKEN_LENGTH or not _TOKEN.fullmatch(token):
        return None
    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError:
        return None
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        return None
    return header.get("kid"), algorithm
