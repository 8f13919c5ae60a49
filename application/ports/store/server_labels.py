from collections.abc import Mapping
from typing import Protocol


class ServerLabels(Protocol):
    """What is said of servers, see domain.labels. The server exists and is locked."""

    def set_host_labels(self, server_id: int, labels: Mapping[str, str]) -> bool:
        """Replace what its host says; whether any effective label changed."""
        ...

    def set_operator_labels(self, server_id: int, labels: Mapping[str, str]) -> bool:
        """Replace what operators say; whether any effective label changed."""
        ...
