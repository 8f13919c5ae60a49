import logging
from dataclasses import dataclass

from application.ports.operator_tokens import OperatorTokens
from domain.errors import NotAnOperator, OperatorKeyRefused
from domain.operator_key import Operator
from domain.operator_token import ClaimRules

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class IdentifyByToken:
    """Which operator makes a call, by the token of an OIDC provider.

    Raises OperatorKeyRefused for every invalid token, whatever is wrong with it, NotAnOperator for
    a valid token whose claims grant no role, and ProviderUnavailable.
    """

    tokens: OperatorTokens
    rules: ClaimRules

    def __call__(self, token: str, address: str) -> Operator:
        claims = self.tokens.claims(token)
        if claims is None:
            raise OperatorKeyRefused
        try:
            return self.rules.operator(claims, address)
        except NotAnOperator as error:
            _log.info("refused %.70r at %s: %s", claims.get("sub"), address, error)
            raise
