from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class KnownAuthority:
    """The CA certificates, in PEM, that a host verifies the API with, and the digest in the join
    key that made it trust them."""

    authority_digest: str
    certificates: str


class AuthorityFolder(Protocol):
    """Where a host stores the API's certificate authority. Every call may raise OSError."""

    def read(self) -> KnownAuthority | None:
        """None if none is stored. An unusable file is left in place, with a warning."""
        ...

    def write(self, authority: KnownAuthority) -> None:
        """Write completely or not at all."""
        ...
