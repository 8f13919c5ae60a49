from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BrokerStatus:
    """`product` includes the version. `known`: an API or a host has used the broker before."""

    product: str
    known: bool


class BrokerProbe(Protocol):
    def check(self) -> BrokerStatus:
        """Check that this user has the permissions that are needed. Changes nothing.

        Raises BrokerUnavailable, within a few seconds.
        """
        ...
