from dataclasses import dataclass
from typing import Protocol

from domain.labels import Selector


@dataclass(frozen=True, slots=True)
class SelectorChange:
    """A change on a selector that has not reached all selected servers yet: those with a server_id
    above `reached` are still missing.

    `revision` is that of the change. `resync` means that older documents came into effect too.
    `cause` is the cause of the events to publish.
    """

    revision: int
    selector: Selector
    resync: bool
    cause: str
    reached: int = 0


class SelectorChanges(Protocol):
    """The changes on selectors that are not propagated completely."""

    def add(self, change: SelectorChange) -> None: ...

    def oldest(self) -> SelectorChange | None:
        """The oldest change, locked until the transaction ends.

        None if there is none, or if another transaction has just finished it.
        """
        ...

    def reach(self, revision: int, server_id: int) -> None:
        """Record that the change has reached all servers up to this one."""
        ...

    def finish(self, revision: int) -> None: ...

    def any(self) -> bool: ...
