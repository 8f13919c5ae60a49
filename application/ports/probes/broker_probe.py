from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BrokerStatus:
    """`product` with its version. Known: an API or a host of ours was there before."""

    product: str
    known: bool


class BrokerProbe(Protocol):
    def check(self) -> BrokerStatus:
        """Whether this user may do there what is needed; changes nothing.

        Raises BrokerUnavailable, within a few seconds.
        """
        ...
