from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class KnownAuthority:
    """By which certificates, in PEM, a host knows the API, and by which digest of a join key it
    came to know them."""

    authority_digest: str
    certificates: str


class AuthorityFolder(Protocol):
    """Where a host keeps by whom it knows the API. Every call raises OSError."""

    def read(self) -> KnownAuthority | None:
        """None when none is kept. What cannot be used is left alone, with a warning."""
        ...

    def write(self, authority: KnownAuthority) -> None:
        """Wholly or not at all."""
        ...
