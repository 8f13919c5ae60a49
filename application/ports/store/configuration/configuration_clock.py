from typing import Protocol


class ConfigurationClock(Protocol):
    """Gives every change of configuration, of a server or of a selector, a revision.

    Whoever changes what servers are configured with comes here before it locks any server, so that
    what is put on a selector and who is selected by it never change past each other.
    """

    def tick(self, above: int = 0) -> int:
        """A revision that is higher than all before, and than that one; nobody else gets one
        until the transaction ends."""
        ...

    def hold(self) -> int:
        """The last revision, and no other is given until the transaction ends. Many can hold it
        at once: for a change of one server's labels."""
        ...
