from dataclasses import dataclass, field
from typing import Protocol


class KeyPairUnavailable(Exception):
    """None can be made now. The message completes "No key for a certificate can be made: …"."""


@dataclass(frozen=True, slots=True)
class NewKeyPair:
    """A private key in PEM, and a signing request for it, which is PKCS #10 in DER."""

    key: str = field(repr=False)
    signing_request: bytes = field(repr=False)


class KeyPairs(Protocol):
    """Makes key pairs for certificates."""

    def __call__(self) -> NewKeyPair:
        """Another one each time, within seconds. Raises KeyPairUnavailable."""
        ...
