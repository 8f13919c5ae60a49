from typing import Protocol


class Sleep(Protocol):
    def wait(self, seconds: float) -> bool:
        """Wait that long, or less when a command arrives or the host is asked to stop.

        Whether it is asked to stop.
        """
        ...
