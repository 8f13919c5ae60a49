from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from domain.approval import Approval
from domain.liveness import Status
from domain.server import Server

if TYPE_CHECKING:
    from adapters.grpc.client.operator_client import OperatorClient

# As servers show it: see `shown_status`.
STATUSES = (*Status, *(approval for approval in Approval if approval is not Approval.APPROVED))


@dataclass(frozen=True)
class FleetFilter:
    """Which servers an operator asks for; what is empty or zero lets all pass."""

    environment: str = ""
    status: str = ""
    not_seen_for: timedelta = timedelta(0)
    selector: str = ""

    def __bool__(self) -> bool:
        return self != FleetFilter()

    def servers(self, client: "OperatorClient") -> Iterator[Server]:
        is_of_life = self.status in tuple(Status)
        # Who is shown as online or offline is let in.
        approval = Approval.APPROVED if is_of_life else self.status
        return client.servers(
            self.environment,
            self.status if is_of_life else "",
            self.not_seen_for,
            approval=approval,
            selector=self.selector,
        )
