from dataclasses import dataclass, field
from typing import Protocol


class KeyPairUnavailable(Exception):
    """No key pair can be created now.

    The message completes "No key for a certificate can be made: …".
    """


@dataclass(frozen=True, slots=True)
class NewKeyPair:
    """A private key in PEM, and a signing request for it: PKCS #10 in DER."""

    key: str = field(repr=False)
    signing_request: bytes = field(repr=False)


class KeyPairs(Protocol):
    """Creates key pairs for certificates."""

    def __call__(self) -> NewKeyPair:
        """Create a new key pair, within seconds. Raises KeyPairUnavailable."""
        ...
