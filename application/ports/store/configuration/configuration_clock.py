from typing import Protocol


class ConfigurationClock(Protocol):
    """Assigns a revision to every change of configuration, of a server or of a selector.

    Every transaction that changes which documents apply must use the clock before it locks any
    server. So the documents of a selector and the servers it selects never change concurrently.
    """

    def tick(self, above: int = 0) -> int:
        """A revision higher than all before and than `above`. No other transaction gets one until
        this one ends."""
        ...

    def hold(self) -> int:
        """The last revision. No new one is assigned until this transaction ends. Many transactions
        can hold the clock at once, each for a change of one server's labels."""
        ...
