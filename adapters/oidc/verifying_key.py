from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jwt.algorithms import get_default_algorithms

# By kind and curve. A key is good for these alone, so that no token says how it is to be checked.
_ALGORITHMS: Mapping[tuple[object, object], tuple[str, ...]] = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
ALGORITHMS = frozenset(name for names in _ALGORITHMS.values() for name in names)
# What is public of a key, whatever else somebody has published.
_PUBLIC = frozenset(("kty", "crv", "n", "e", "x", "y"))


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key of a provider, and the algorithms for which it is good."""

    key_id: str | None
    algorithms: frozenset[str]
    public_key: Any

    def fits(self, key_id: str | None, algorithm: str) -> bool:
        """A token that names no key may be signed by any."""
        return algorithm in self.algorithms and key_id in (None, self.key_id)


def verifying_keys(published: Iterable[object]) -> Iterator[VerifyingKey]:
    """Of the keys of a JSON Web Key Set (RFC 7517) those that tokens may be signed with.

    Others are left out: a provider may have them for other ends, and too short ones.
    """
    for described in published:
        key = _read(described) if isinstance(described, Mapping) else None
        if key:
            yield key


def _read(described: Mapping[str, Any]) -> VerifyingKey | None:
    if described.get("use", "sig") != "sig":
        return None
    try:
        fitting = _ALGORITHMS.get((described.get("kty"), described.get("crv")), ())
        algorithms = frozenset(name for name in fitting if described.get("alg") in (None, name))
        if not algorithms:
            return None
        reader = get_default_algorithms()[min(algorithms)]
        public_key = reader.from_jwk({name: described[name] for name in _PUBLIC & described.keys()})
        is_too_short = reader.check_key_length(public_key) is not None
    except Exception:  # noqa: BLE001 - one that cannot be read spoils no other
        return None
    key_id = described.get("kid") if isinstance(described.get("kid"), str) else None
    return None if is_too_short else VerifyingKey(key_id, algorithms, public_key)
