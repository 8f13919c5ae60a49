from typing import Protocol


class Pause(Protocol):
    def wait(self, seconds: float) -> bool:
        """Wait that long, or less once the host is asked to stop; whether it is asked to."""
        ...
