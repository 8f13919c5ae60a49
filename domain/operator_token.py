"""Operators that an OIDC provider identifies by the claims in its tokens."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from domain.errors import InvalidField, NotAnOperator
from domain.naming import check_text
from domain.operator_key import BY_SETTING, LOCAL, Operator
from domain.role import Role

# The limit of OIDC for a subject, and of the audit for an actor.
_MAX_NAME_LENGTH = 255
_MAX_CREDENTIAL_ID_LENGTH = 64
_RESERVED_NAMES = (LOCAL.casefold(), BY_SETTING.casefold())
ROLES_BY_NAME: Mapping[str, Role] = {role.value: role for role in Role}

Claims = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """Which operator the claims of a token identify.

    A claim is given by its name in the token, with dots for a nested claim, for example
    `realm_access.roles`. `roles` maps values of the role claim to roles; the highest role wins.
    """

    name_claim: str
    role_claim: str
    roles: Mapping[str, Role]

    def operator(self, claims: Claims, address: str = "") -> Operator:
        """Raises NotAnOperator."""
        credential_id = credential_id_of(claims)
        return Operator(self._name(claims), self._role(claims), credential_id, address)

    def _name(self, claims: Claims) -> str:
        name = _text(claims, self.name_claim)
        try:
            check_text(self.name_claim, name, _MAX_NAME_LENGTH)
        except InvalidField as error:
            raise NotAnOperator(self.name_claim, error.problem) from None
        # Also reserved in letters that are only compatibility variants of these.
        if unicodedata.normalize("NFKC", name).casefold() in _RESERVED_NAMES:
            problem = "is reserved for callers without a key of their own"
            raise NotAnOperator(self.name_claim, problem)
        return name

    def _role(self, claims: Claims) -> Role:
        claim = _claim(claims, self.role_claim)
        values = claim if isinstance(claim, list) else [claim]
        roles = [
            self.roles[value] for value in values if isinstance(value, str) and value in self.roles
        ]
        if not roles:
            raise NotAnOperator(self.role_claim, f"contains none of {', '.join(self.roles)}")
        return max(roles, key=list(Role).index)


def credential_id_of(claims: Claims) -> str:
    """The id under which the audit records the provider's user, whatever name the user chooses.

    It never equals the id of a key. Raises NotAnOperator.
    """
    subject = _text(claims, "sub")
    plain = f"oidc:{subject}"
    if len(plain) <= _MAX_CREDENTIAL_ID_LENGTH and plain.isprintable() and " " not in plain:
        return plain
    digest = sha256(subject.encode(errors="surrogatepass")).hexdigest()
    return f"oidc:sha256:{digest}"[:_MAX_CREDENTIAL_ID_LENGTH]


def _text(claims: Claims, name: str) -> str:
    claim = _claim(claims, name)
    if not isinstance(claim, str) or not claim:
        raise NotAnOperator(name, "is missing or is not a string")
    return claim


def _claim(claims: Claims, name: str) -> object:
    """None if missing. The whole name is tried first, because some providers use URLs as names."""
    if name in claims:
        return claims[name]
    for dot in (at for at, character in enumerate(name) if character == "."):
        inner = claims.get(name[:dot])
        claim = _claim(inner, name[dot + 1 :]) if isinstance(inner, Mapping) else None
        if claim is not None:
            return claim
    return None
