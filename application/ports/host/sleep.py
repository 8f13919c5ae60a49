from typing import Protocol


class Sleep(Protocol):
    def wait(self, seconds: float) -> bool:
        """Wait that long, or until a command arrives or the host is to stop.

        Returns whether the host is to stop.
        """
        ...
