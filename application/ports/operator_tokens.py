from collections.abc import Mapping
from typing import Protocol


class ProviderUnavailable(Exception):
    """A token cannot be checked, because the keys of its issuer cannot be fetched."""

    def __init__(self) -> None:
        super().__init__(
            "the OIDC provider's keys cannot be fetched now, so the token cannot be"
            " checked: try again, or use an operator's key"
        )


class OperatorTokens(Protocol):
    """Checks the tokens of an OIDC provider that identify operators."""

    def claims(self, token: str) -> Mapping[str, object] | None:
        """The claims of a valid token; None for any other text, whatever is wrong with it.

        Takes a few seconds at most. Raises ProviderUnavailable.
        """
        ...
