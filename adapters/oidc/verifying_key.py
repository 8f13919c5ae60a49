from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jwt.algorithms import get_default_algorithms

# By key type and curve. A key verifies these algorithms only, so that a token cannot choose how it
# is verified.
_ALGORITHMS: Mapping[tuple[object, object], tuple[str, ...]] = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
ALGORITHMS = frozenset(name for names in _ALGORITHMS.values() for name in names)
# The public fields of a key, in case others are published.
_PUBLIC = frozenset(("kty", "crv", "n", "e", "x", "y"))


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key of a provider, and the algorithms that it can verify."""

    key_id: str | None
    algorithms: frozenset[str]
    public_key: Any

    def fits(self, key_id: str | None, algorithm: str) -> bool:
        """A token that names no key may be signed with any key."""
        return algorithm in self.algorithms and key_id in (None, self.key_id)


def verifying_keys(published: Iterable[object]) -> Iterator[VerifyingKey]:
    """The keys of a JSON Web Key Set (RFC 7517) that can verify tokens.

    Other keys are skipped: a provider may publish keys for other purposes, and keys that are too
    short.
    """
    for fields in published:
        key = _read(fields) if isinstance(fields, Mapping) else None
        if key:
            yield key


def _read(fields: Mapping[str, Any]) -> VerifyingKey | None:
    if fields.get("use", "sig") != "sig":
        return None
    try:
        possible = _ALGORITHMS.get((fields.get("kty"), fields.get("crv")), ())
        algorithms = frozenset(name for name in possible if fields.get("alg") in (None, name))
        if not algorithms:
            return None
        reader = get_default_algorithms()[min(algorithms)]
        public_key = reader.from_jwk({name: fields[name] for name in _PUBLIC & fields.keys()})
        is_too_short = reader.check_key_length(public_key) is not None
    except Exception:  # noqa: BLE001 - an unreadable key must not affect the others
        return None
    key_id = fields.get("kid") if isinstance(fields.get("kid"), str) else None
    return None if is_too_short else VerifyingKey(key_id, algorithms, public_key)
