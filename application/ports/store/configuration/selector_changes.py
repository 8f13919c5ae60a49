from dataclasses import dataclass
from typing import Protocol

from domain.labels import Selector


@dataclass(frozen=True, slots=True)
class SelectorChange:
    """A change on a selector of which not all whom it selects are told yet: those with a
    server_id above `reached`.

    `revision` is its own. With `resync` documents came into effect that are older. `cause` is what
    to tell of it.
    """

    revision: int
    selector: Selector
    resync: bool
    cause: str
    reached: int = 0


class SelectorChanges(Protocol):
    """What remains to be done of changes that are for many servers."""

    def add(self, change: SelectorChange) -> None: ...

    def oldest(self) -> SelectorChange | None:
        """Locked until the transaction ends; None also when somebody else has just finished it."""
        ...

    def reach(self, revision: int, server_id: int) -> None:
        """Servers up to this one are told."""
        ...

    def finish(self, revision: int) -> None: ...

    def any(self) -> bool: ...
