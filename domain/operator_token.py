"""Operators whom an OIDC provider knows, by what its tokens claim of them."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from domain.errors import InvalidField, NotAnOperator
from domain.naming import check_text
from domain.operator_key import BY_SETTING, LOCAL, Operator
from domain.role import Role

# What OIDC allows a subject, and the audit an actor.
_MAX_NAME_LENGTH = 255
_MAX_CREDENTIAL_ID_LENGTH = 64
_OTHER_CALLERS = (LOCAL.casefold(), BY_SETTING.casefold())
ROLES_BY_NAME: Mapping[str, Role] = {role.value: role for role in Role}

Claims = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """Which operator the claims of a token make of whoever sends it.

    A claim is named as it is in the token, or with dots where it lies within others, as
    `realm_access.roles`. `roles` says which role a value of the role claim stands for; of several
    the highest counts.
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
        # Nor in letters that only look otherwise.
        if unicodedata.normalize("NFKC", name).casefold() in _OTHER_CALLERS:
            problem = "is reserved for callers without a key of their own"
            raise NotAnOperator(self.name_claim, problem)
        return name

    def _role(self, claims: Claims) -> Role:
        found = _claim(claims, self.role_claim)
        values = found if isinstance(found, list) else [found]
        roles = [
            self.roles[value] for value in values if isinstance(value, str) and value in self.roles
        ]
        if not roles:
            raise NotAnOperator(self.role_claim, f"contains none of {', '.join(self.roles)}")
        return max(roles, key=list(Role).index)


def credential_id_of(claims: Claims) -> str:
    """By which the audit tells the provider's users from each other, whatever they call
    themselves, and from whoever has a key. Raises NotAnOperator."""
    subject = _text(claims, "sub")
    plain = f"oidc:{subject}"
    if len(plain) <= _MAX_CREDENTIAL_ID_LENGTH and plain.isprintable() and " " not in plain:
        return plain
    digest = sha256(subject.encode(errors="surrogatepass")).hexdigest()
    return f"oidc:sha256:{digest}"[:_MAX_CREDENTIAL_ID_LENGTH]


def _text(claims: Claims, name: str) -> str:
    found = _claim(claims, name)
    if not isinstance(found, str) or not found:
        raise NotAnOperator(name, "is missing or is not a string")
    return found


def _claim(claims: Claims, name: str) -> object:
    """None where there is none. A whole name comes first: those of some providers are URLs."""
    if name in claims:
        return claims[name]
    for dot in (at for at, sign in enumerate(name) if sign == "."):
        inner = claims.get(name[:dot])
        found = _claim(inner, name[dot + 1 :]) if isinstance(inner, Mapping) else None
        if found is not None:
            return found
    return None
