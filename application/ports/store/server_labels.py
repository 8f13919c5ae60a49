from collections.abc import Mapping
from typing import Protocol


class ServerLabels(Protocol):
    """The labels of servers, see domain.labels. The server must exist and be locked."""

    def set_host_labels(self, server_id: int, labels: Mapping[str, str]) -> bool:
        """Replace the labels of its host. Returns whether any effective label changed."""
        ...

    def set_operator_labels(self, server_id: int, labels: Mapping[str, str]) -> bool:
        """Replace the labels of operators. Returns whether any effective label changed."""
        ...
