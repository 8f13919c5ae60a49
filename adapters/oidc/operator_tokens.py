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

# The errors of the library about claims. The first class that matches counts.
_WRONG_CLAIMS: Mapping[type[jwt.InvalidTokenError], str] = {
    jwt.ExpiredSignatureError: "it has expired",
    jwt.ImmatureSignatureError: "it is not valid yet: check the clocks",
    jwt.InvalidAudienceError: "its audience is not OIDC_AUDIENCE",
    jwt.InvalidIssuerError: "its issuer is not OIDC_ISSUER",
    jwt.MissingRequiredClaimError: "it lacks one of the claims iss, aud and exp",
    jwt.InvalidTokenError: "its claims are invalid",
}


@dataclass(frozen=True)
class OidcOperatorTokens:
    """Verifies JSON Web Tokens (RFC 7519) that are signed with one of the keys."""

    keys: JwksCache
    issuer: str
    audience: str

    def claims(self, token: str) -> Mapping[str, object] | None:
        key_and_algorithm = _key_and_algorithm(token)
        if key_and_algorithm is None:
            _log.debug("a token was refused: it is not a token, or its algorithm is not accepted")
            return None
        try:
            claims = self._verified(token, *key_and_algorithm)
        except jwt.InvalidTokenError as error:
            # The signature is valid, so that only the provider can cause this log line.
            problem = next(text for kind, text in _WRONG_CLAIMS.items() if isinstance(error, kind))
            _log.info("a token of the OIDC provider was refused: %s", problem)
            return None
        if claims is None:
            _log.debug("a token was refused: it is not signed by a key of the OIDC provider")
        return claims

    def _verified(self, token: str, key_id: str | None, algorithm: str) -> dict[str, Any] | None:
        """None if no key has signed the token. Raises InvalidTokenError for wrong claims, and
        ProviderUnavailable."""
        known = self.keys.known
        claims = self._signed_by(known, token, key_id, algorithm)
        if claims is not None:
            return claims
        self.keys.refresh()
        # In this order: another thread that fetches sets the keys before it releases the lock.
        may_be_incomplete = self.keys.may_be_incomplete
        if self.keys.known is not known:
            known = self.keys.known
            claims = self._signed_by(known, token, key_id, algorithm)
        is_unknown_key = not any(key.fits(key_id, algorithm) for key in known)
        if claims is None and is_unknown_key and may_be_incomplete:
            raise ProviderUnavailable
        return claims

    def _signed_by(
        self, known: Sequence[VerifyingKey], token: str, key_id: str | None, algorithm: str
    ) -> dict[str, Any] | None:
        for key in known:
            if key.fits(key_id, algorithm):
                # The library checks the signature before the claims.
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


def _key_and_algorithm(token: str) -> tuple[str | None, str] | None:
    """The id of the key, if the token names one, and the algorithm; None if it is not a token."""
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
