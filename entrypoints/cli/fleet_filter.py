from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from domain.approval import Approval
from domain.liveness import Status
from domain.server import Server

if TYPE_CHECKING:
    from adapters.grpc.client.operator_client import OperatorClient

# The statuses that `status_text` shows.
STATUSES = (*Status, *(approval for approval in Approval if approval is not Approval.APPROVED))


@dataclass(frozen=True)
class FleetFilter:
    """The servers that an operator asks for; an empty or zero field matches all."""

    environment: str = ""
    status: str = ""
    not_seen_for: timedelta = timedelta(0)
    selector: str = ""

    def __bool__(self) -> bool:
        return self != FleetFilter()

    def servers(self, client: "OperatorClient") -> Iterator[Server]:
        is_presence = self.status in tuple(Status)
        # Only approved servers are shown as online or offline.
        approval = Approval.APPROVED if is_presence else self.status
        return client.servers(
            self.environment,
            self.status if is_presence else "",
            self.not_seen_for,
            approval=approval,
            selector=self.selector,
        )
