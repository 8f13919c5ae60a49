from collections.abc import Mapping
from typing import Protocol


class ProviderUnavailable(Exception):
    """Whether a token is good cannot be told, for want of the keys of who issues them."""

    def __init__(self) -> None:
        super().__init__(
            "the OIDC provider's keys cannot be fetched now, so the token cannot be"
            " checked: try again, or use an operator's key"
        )


class OperatorTokens(Protocol):
    """Tokens by which an OIDC provider vouches for operators."""

    def claims(self, token: str) -> Mapping[str, object] | None:
        """What a good token says of its bearer; None for every other, whatever is wrong with it.

        Takes any text, and a few seconds at most. Raises ProviderUnavailable.
        """
        ...
